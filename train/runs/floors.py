"""What always saying the same class would be worth: figures to hold an accuracy against.

No torch here.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from ta3n.train.methods.heads import ClassHead
from ta3n.train.runs.selection import ACTION

Labels = Sequence[tuple[int, ...]]

FLOORS = {
    "source": "the most frequent class of the source's training videos",
    "tested": "the most frequent class of the tested videos, by their labels",
}
"""By what the class is chosen."""


def floors_of(
    source: Labels, tested: Labels, heads: Sequence[ClassHead]
) -> dict[str, dict[str, int]]:
    """Return how many tested videos the most frequent class is right on, by trained head.

    Args:
        source: Labels of the training videos, one for each head; none where there are none.
        tested: Labels of the tested videos that have any.
        heads: All there are.

    Returns:
        For each of `FLOORS` that can be told the correct videos by head, and by `action`, the most
        frequent combination, where several are trained.
    """
    places = [place for place, head in enumerate(heads) if head.weight]
    named: dict[str, Sequence[int]] = {heads[place].name: [place] for place in places}
    if len(places) > 1:
        named[ACTION] = places
    if not tested:
        return {}
    by = {"source": source, "tested": tested}
    return {
        which: {name: _hits(labels, tested, columns) for name, columns in named.items()}
        for which, labels in by.items()
        if labels
    }


def _hits(labels: Labels, tested: Labels, places: Sequence[int]) -> int:
    (most, _), *_ = Counter(tuple(each[p] for p in places) for each in labels).most_common(1)
    return sum(tuple(each[p] for p in places) == most for each in tested)


def floor_lines(floors: Mapping[str, Mapping[str, int]], total: int) -> Iterator[str]:
    """Yield floors in words, a line each, out of so many videos."""
    for which, correct in floors.items():
        told = ", ".join(f"{name} {100 * hits / total:.2f}" for name, hits in correct.items())
        yield f"floor in percent, {FLOORS[which]}: {told}"
