"""Folder trees of tiny files."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from ta3n.common.errors import Ta3nError

from ..support.fixtures import MakeTree, OneLine


@pytest.fixture
def make_tree() -> MakeTree:
    """Return a function that fills a folder with one-byte files and returns the folder."""

    def make(root: Path, paths: Iterable[str]) -> Path:
        root.mkdir(parents=True, exist_ok=True)
        for path in paths:
            file = root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"x")
        return root

    return make


@pytest.fixture
def one_line() -> OneLine:
    """Return a function that checks that an error is a single line and returns it."""

    def check(caught: pytest.ExceptionInfo[Ta3nError]) -> str:
        message = str(caught.value)
        assert message.isprintable(), message  # also: no line break, no half of a surrogate
        return message

    return check
