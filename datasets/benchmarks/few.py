"""What one clip is worth where a class has few: an accuracy then hangs on single clips."""

from collections.abc import Mapping

from ta3n.common.errors import shorten

_SHOWN = 4

FEW = 20
"""Fewer test clips than this of a class are few: one is 5 % of the class and more."""


def worth_of_one(counts: Mapping[str, int]) -> str:
    """Return in words what one test clip is worth, empty where no class has few.

    Mean class accuracy is the mean of the accuracies of the classes that have test clips.

    Args:
        counts: Test clips of each class.
    """
    there = {name: count for name, count in counts.items() if count}
    few = sorted((count, name) for name, count in there.items() if count < FEW)
    if not few:
        return ""
    each = [f"{100 / len(there) / count:.2f} of {name} (1 of {count})" for count, name in few]
    worth = shorten(each, _SHOWN)
    total = sum(there.values())
    return (
        f"one of {total} test clips is {100 / total:.2f} points of accuracy; of mean class "
        f"accuracy it is {worth}"
    )
