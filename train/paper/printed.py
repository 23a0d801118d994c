"""Printed figures held against the number of videos they were measured on.

An accuracy is a whole number of correct videos out of N. With N known, a figure of two decimals
that no such number gives was misprinted, or measured on other videos.

No torch here.
"""

from ta3n.datasets.benchmarks.registry import BUILT_IN_CATALOGUE
from ta3n.train.paper.rows import Direction

_DIGITS = 2


def num_target_videos(direction: Direction) -> int | None:
    """Return N, the validation videos of a direction's target in the complete benchmark."""
    benchmark, _, target = direction
    totals = BUILT_IN_CATALOGUE.benchmark(benchmark).expected_totals(target)
    return None if totals is None else totals[1]


def correct_videos(percent: float, total: int) -> int | None:
    """Return the number of correct videos that is printed as a figure, or None if none is.

    Args:
        percent: As printed, with two decimals.
        total: N.
    """
    near = round(percent * total / 100)
    fitting = [k for k in (near - 1, near, near + 1) if _printed(k, total) == f"{percent:.2f}"]
    return fitting[0] if fitting else None


def why_impossible(percent: float, total: int) -> str | None:
    """Return the sentence that says why no number of videos gives a figure, or None if one does."""
    if correct_videos(percent, total) is not None:
        return None
    below = int(percent * total / 100)
    return (
        f"no number of correct videos out of {total} is {percent:.2f} %: {below} are "
        f"{_printed(below, total)}, {below + 1} are {_printed(below + 1, total)}"
    )


def _printed(correct: int, total: int) -> str:
    return f"{100 * correct / total:.{_DIGITS}f}"
