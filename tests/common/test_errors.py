"""If this breaks, a message of several lines, or an empty one, hides what went wrong."""

import pytest

from ta3n.common.errors import first_line, reason_of


@pytest.mark.parametrize(
    ("error", "first", "reason"),
    [
        (ValueError("one\ntwo"), "one", "ValueError: one"),
        (ValueError(""), "ValueError", "ValueError"),
        (ValueError("\n \n  last"), "last", "ValueError: last"),
        (KeyError("no 'model' there"), "no 'model' there", "KeyError: no 'model' there"),
        (RuntimeError("x" * 300), "x" * 300, f"RuntimeError: {'x' * 200}"),
    ],
)
def test_the_first_line_of_an_error(error: Exception, first: str, reason: str) -> None:
    assert (first_line(error), reason_of(error)) == (first, reason)
