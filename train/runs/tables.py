"""How results over seeds are told: figures as text, and a terminal wide enough for a table."""

from collections.abc import Sequence
from statistics import mean, stdev
from typing import TYPE_CHECKING

from ta3n.common import log

if TYPE_CHECKING:
    from rich.console import Console


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Return mean and standard deviation over seeds (n - 1), or the value alone for one seed."""
    text = f"{mean(values):.{digits}f}"
    return f"{text} ± {stdev(values):.{digits}f}" if len(values) > 1 else text


def open_console() -> "Console":
    """Return a console that is wide where there is no terminal: a log file takes whole lines."""
    return log.open_console(width_elsewhere=180)
