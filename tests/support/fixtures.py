"""Types of the functions that fixtures return."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from ta3n.common.errors import Ta3nError

MakeTree = Callable[[Path, Iterable[str]], Path]
"""Fills a folder with one-byte files under these paths; returns the folder."""
OneLine = Callable[["pytest.ExceptionInfo[Ta3nError]"], str]
"""Checks that an error is a single line; returns it."""
