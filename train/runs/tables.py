"""How results over seeds are told: figures as text."""

from collections.abc import Sequence
from statistics import mean, stdev


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Return mean and standard deviation over seeds (n - 1), or the value alone for one seed."""
    text = f"{mean(values):.{digits}f}"
    return f"{text} ± {stdev(values):.{digits}f}" if len(values) > 1 else text
