"""Log lines, progress and tables: plain in a log file, a live bar on a terminal.

Results go to standard output, everything else to standard error.
"""

import codecs
import logging
import os
import sys
import time
import unicodedata
from collections import deque
from typing import TYPE_CHECKING, Any, Literal, Self, TextIO

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

LOGGER = logging.getLogger("ta3n")


# What a terminal without Unicode gets for the letters that our lines hold.
_PLAIN = {"→": "->", "←": "<-", "±": "+-", "…": "..."}
_PLAIN |= {"\u00d7": "x", "\u2212": "-", "\u2013": "-", "\u2014": "-"}


def set_up_streams() -> None:
    """Let standard output and error take every line, whatever their encoding, or if closed.

    Letters that an encoding lacks are spelled: an arrow as `->`, others without accents or as
    escapes. What is written to a closed stream is dropped, and no other file gets its number.
    """
    codecs.register_error("ta3n-plain", _spelled)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            # The lowest number that is free is taken: this one.
            os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:
            mode = "w" if number else "r"
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115
        if number and hasattr(stream := getattr(sys, name), "reconfigure"):
            stream.reconfigure(errors="ta3n-plain")


def _spelled(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = []
    for letter in error.object[error.start : error.end]:
        plain = _PLAIN.get(letter) or unicodedata.normalize("NFKD", letter)
        plain = plain.encode("ascii", "ignore").decode()
        letters.append(plain or letter.encode("ascii", "backslashreplace").decode())
    return "".join(letters), error.end


class _StderrHandler(logging.StreamHandler[TextIO]):
    """Writes to whatever standard error is at the moment, so that a live bar can move aside."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def set_up_logging(command: str, level: int = logging.INFO) -> None:
    """Send log lines of this process from a level on to standard error, with time and command."""
    handler = _StderrHandler()
    handler.setFormatter(
        logging.Formatter(f"%(asctime)s {command}: %(message)s", datefmt="%H:%M:%S")
    )
    LOGGER.handlers[:] = [handler]
    LOGGER.setLevel(level)
    LOGGER.propagate = False


class ProgressLine:
    """How far a job is: a bar on a terminal, elsewhere a log line every `plain_every_s` seconds.

    Use as a context manager; `unit` names what is counted, plural. It ends with how long the rest
    takes, as soon as that can be told.
    """

    def __init__(self, total: int, unit: str, *, plain_every_s: float = 15.0) -> None:
        self._total = total
        self._unit = unit
        self._plain_every_s = plain_every_s
        self._last_s = time.monotonic()
        self._pace = Pace()
        self._bar: Any = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty() and LOGGER.isEnabledFor(logging.INFO):
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

            self._bar = Progress(
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.description}"),
                console=Console(stderr=True),
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task(self._unit, total=self._total)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, done: int, details: str) -> None:
        """Show that `done` items are finished, with details in words."""
        now = time.monotonic()
        left_s = self._pace.left_s(done, self._total, now)
        if left_s is not None and done < self._total:
            details = f"{details}, {describe_duration(left_s)} left"
        if self._bar is not None:
            self._bar.update(self._task, completed=done, description=f"{self._unit}, {details}")
        elif now - self._last_s >= self._plain_every_s:
            self._last_s = now
            LOGGER.info("%d of %d %s, %s", done, self._total, self._unit, details)


class Pace:
    """How fast something goes now: over the last minute, or the last two steps if they take longer.

    What comes before the first step is finished (loading a network, compiling it) is no pace.
    """

    def __init__(self, *, window_s: float = 60.0, least_s: float = 2.0) -> None:
        self._window_s = window_s
        self._least_s = least_s
        self._steps: deque[tuple[float, int]] = deque()

    def left_s(self, done: int, total: int, now_s: float) -> float | None:
        """Return how many seconds the rest takes; None as long as that cannot be told.

        Args:
            done: How many of `total` are finished, counted anew at every call.
            now_s: Of a clock that never goes back.
        """
        if not self._steps or done > self._steps[-1][1]:
            self._steps.append((now_s, done))
        while len(self._steps) > 2 and now_s - self._steps[1][0] > self._window_s:
            self._steps.popleft()
        (first_s, first), (last_s, last) = self._steps[0], self._steps[-1]
        if last_s - first_s < self._least_s:
            return None
        # A step that takes longer than those before it slows the pace while it is waited for.
        steps = last - first
        took_s = max(last_s - first_s, (now_s - first_s) * steps / (steps + 1))
        return took_s / steps * (total - last)


def describe_duration(seconds: float) -> str:
    """Return a length of time for people: `42 s`, `3:05 min`, `2:10 h`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d} min"
    return f"{whole // 3600}:{whole % 3600 // 60:02d} h"


def counted(number: int, noun: str) -> str:
    """Return how many there are of something: `1 row`, `2 rows`."""
    return f"{number} {noun}{'s' * (number != 1)}"


def describe_bytes(num_bytes: float) -> str:
    """Return a number of bytes for people: `12.3 MB`, `4.5 GB`."""
    if num_bytes >= 1e9:
        return f"{num_bytes / 1e9:.1f} GB"
    return f"{num_bytes / 1e6:.1f} MB"


def open_console(width_elsewhere: int = 180) -> "Console":
    """Return a console that colours no words; with `NO_COLOR` set it prints no escape sequences.

    Args:
        width_elsewhere: In letters, where there is no terminal: log files and scripts take whole
            lines.
    """
    from rich.console import Console

    colours: Literal["auto"] | None = None if os.environ.get("NO_COLOR") else "auto"
    console = Console(color_system=colours, highlight=False)
    return console if console.is_terminal else Console(width=width_elsewhere, highlight=False)


def print_table(console: "Console", table: "Table") -> None:
    """Print a table, or where it does not fit, line by line what stands in each row.

    No figure is cut: a table fits if the longest word of each column does.
    """
    from rich.measure import Measurement
    from rich.text import Text

    wide = console.options.update(max_width=10_000)
    if Measurement.get(console, wide, table).minimum <= console.width:
        console.print(table)
        return
    heads = [_words(column.header) for column in table.columns]
    rows = list(zip(*(list(column.cells) for column in table.columns), strict=True))
    if table.show_footer:
        rows.append(tuple(column.footer for column in table.columns))
    if table.title:
        console.print(Text(_words(table.title)))
    for row in rows:
        for head, cell in zip(heads, row, strict=True):
            if told := _words(cell):
                console.print(Text(f"{head}: {told}"), highlight=False)
        console.print()


def _words(cell: object) -> str:
    return " ".join(str(cell).split())
