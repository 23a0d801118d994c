"""Log lines and progress: plain in a log file, a live bar on a terminal.

Results go to standard output, everything else to standard error.
"""

import codecs
import logging
import os
import sys
import time
import unicodedata
from typing import Any, Self, TextIO

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


def set_up_logging(command: str) -> None:
    """Send log lines of this process to standard error, each with time and command."""
    handler = _StderrHandler()
    handler.setFormatter(
        logging.Formatter(f"%(asctime)s {command}: %(message)s", datefmt="%H:%M:%S")
    )
    LOGGER.handlers[:] = [handler]
    LOGGER.setLevel(logging.INFO)
    LOGGER.propagate = False


class ProgressLine:
    """How far a job is: a bar on a terminal, elsewhere a log line every `plain_every_s` seconds.

    Use as a context manager; `unit` names what is counted, plural.
    """

    def __init__(self, total: int, unit: str, *, plain_every_s: float = 15.0) -> None:
        self._total = total
        self._unit = unit
        self._plain_every_s = plain_every_s
        self._last_s = time.monotonic()
        self._bar: Any = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
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
        if self._bar is not None:
            self._bar.update(self._task, completed=done, description=f"{self._unit}, {details}")
        elif now - self._last_s >= self._plain_every_s:
            self._last_s = now
            LOGGER.info("%d of %d %s, %s", done, self._total, self._unit, details)


def describe_time_left(elapsed_s: float, done: int, total: int) -> str:
    """Return how long the rest will take at the pace so far: `3:05 min left`."""
    return f"{describe_duration(max(elapsed_s / done * (total - done), 0.0))} left"


def describe_duration(seconds: float) -> str:
    """Return a length of time for people: `42 s`, `3:05 min`, `2:10 h`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d} min"
    return f"{whole // 3600}:{whole % 3600 // 60:02d} h"
