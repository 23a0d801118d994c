"""If this breaks, people wait for a job without knowing for how long."""

import pytest

from ta3n.common.log import ProgressLine, describe_duration, describe_time_left


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.4, "59 s"), (185, "3:05 min"), (3600, "1:00 h"), (7800, "2:10 h")],
)
def test_durations_are_for_people(seconds: float, text: str) -> None:
    assert describe_duration(seconds) == text


def test_the_rest_takes_as_long_as_what_is_done() -> None:
    assert describe_time_left(10.0, 2, 20) == "1:30 min left"
    assert describe_time_left(10.0, 20, 20) == "0 s left"


def test_a_log_file_gets_a_line_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="ta3n"):
        with ProgressLine(3, "epochs", plain_every_s=0.0) as line:
            line.update(1, "loss 0.5")
        with ProgressLine(3, "epochs", plain_every_s=3600.0) as line:
            line.update(2, "loss 0.4")
    assert [record.getMessage() for record in caplog.records] == ["1 of 3 epochs, loss 0.5"]
