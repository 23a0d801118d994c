"""What can stand in a table: each cell as text to read and as plain values for a CSV file."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Protocol

from ta3n.train.report.data.statistics import Interval
from ta3n.train.runs.tables import spread


class Cell(Protocol):
    """A cell of a table."""

    def text(self) -> str:
        """Return what a reader sees."""

    def values(self) -> tuple[object, ...]:
        """Return one value for each CSV column of the table's column, unrounded."""


def signed(value: float, digits: int = 1) -> str:
    """Return a difference with its sign, a real minus; zero has none."""
    text = f"{abs(value):.{digits}f}"
    if float(text) == 0:
        return text
    return f"{'+' if value > 0 else '−'}{text}"  # noqa: RUF001


def p_text(p: float) -> str:
    """Return a p value with three decimals; what is smaller is said to be."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


@dataclass(frozen=True, slots=True)
class Words:
    """Text."""

    words: str

    def text(self) -> str:
        """Return the text."""
        return self.words

    def values(self) -> tuple[object, ...]:
        """Return the text."""
        return (self.words,)


@dataclass(frozen=True, slots=True)
class Number:
    """A number, plain or a difference with its sign."""

    value: float
    digits: int = 2
    sign: bool = False

    def text(self) -> str:
        """Return it rounded."""
        if self.sign:
            return signed(self.value, self.digits)
        return f"{self.value:.{self.digits}f}"

    def values(self) -> tuple[object, ...]:
        """Return the number."""
        return (self.value,)


@dataclass(frozen=True, slots=True)
class Probability:
    """A p value."""

    p: float

    def text(self) -> str:
        """Return it rounded."""
        return p_text(self.p)

    def values(self) -> tuple[object, ...]:
        """Return the number."""
        return (self.p,)


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean and standard deviation over seeds, in percent."""

    percents: Sequence[float]

    def text(self) -> str:
        """Return mean ± standard deviation."""
        return spread(self.percents)

    def values(self) -> tuple[object, ...]:
        """Return mean and standard deviation; the latter is empty for one seed."""
        return mean(self.percents), stdev(self.percents) if len(self.percents) > 1 else ""


@dataclass(frozen=True, slots=True)
class Tally:
    """Correct videos out of all; the former is a mean over seeds."""

    correct: float
    total: int

    def text(self) -> str:
        """Return both."""
        return f"{self.correct:.1f} of {self.total}"

    def values(self) -> tuple[object, ...]:
        """Return both."""
        return self.correct, self.total


@dataclass(frozen=True, slots=True)
class Span:
    """An interval, of a level or of a difference."""

    interval: Interval
    sign: bool = False

    def text(self) -> str:
        """Return both ends."""
        ends = (self.interval.low, self.interval.high)
        low, high = (signed(end) if self.sign else f"{end:.1f}" for end in ends)
        return f"{low} to {high}"

    def values(self) -> tuple[object, ...]:
        """Return both ends."""
        return self.interval.low, self.interval.high


@dataclass(frozen=True, slots=True)
class Printed:
    """A figure that the paper prints, with the mark of a footnote or without."""

    percent: float
    mark: str = ""

    def text(self) -> str:
        """Return it as printed, and the mark."""
        return f"{self.percent:.2f}{self.mark}"

    def values(self) -> tuple[object, ...]:
        """Return the figure and the mark."""
        return self.percent, self.mark
