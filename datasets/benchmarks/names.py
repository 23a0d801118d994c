"""Datasets by the short names that tell those of one benchmark apart."""

from collections.abc import Iterable
from itertools import takewhile


def told_apart(names: Iterable[str]) -> dict[str, str]:
    """Return each name without the words that all begin with: `a` for `synthetic-a`.

    Words end with a hyphen; a name that is nothing else is kept whole, and so are all others.
    """
    words = {name: name.split("-") for name in names}
    columns = zip(*words.values(), strict=False)
    start = len(list(takewhile(lambda column: len(set(column)) == 1, columns)))
    rests = {name: "-".join(each[start:]) for name, each in words.items()}
    return rests if all(rests.values()) else {name: name for name in words}
