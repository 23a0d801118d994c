"""Accuracies that others have published on built-in benchmarks: facts, with where they were read.

They are in `figures.csv`, a row each. Nothing of ours is computed from them. They are on features,
and mostly chosen in ways, that no run of ours shares. What is not known of one is empty; what only
notes of others quote says so.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

Pair = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """The accuracies of a method on a benchmark, in percent.

    Attributes:
        method: As the publication calls it, with venue and year where they are known.
        backbone: That made the features, or was trained; empty where it is not known.
        mean: Of all directions that the benchmark is published with.
        by_direction: By full names of source and target, where they are told.
        selection: How the epoch was chosen; empty where it is not known.
        on_test_labels: Whether that looked at the labels that the accuracy is of; None where it is
            not known.
        read_in: Where it was read.
        digits: After the decimal point, as printed.
    """

    benchmark: str
    method: str
    backbone: str = ""
    mean: float
    by_direction: Mapping[Pair, float] = field(default_factory=dict)
    selection: str = ""
    on_test_labels: bool | None = None
    read_in: str
    digits: int = 1


def _figure(row: Mapping[str, str]) -> Figure:
    by_direction: dict[Pair, float] = {}
    for told in filter(None, row["by_direction"].split("; ")):
        direction, accuracy = told.split()
        source, target = direction.split(">")
        by_direction[source, target] = float(accuracy)
    return Figure(
        benchmark=row["benchmark"],
        method=row["method"],
        backbone=row["backbone"],
        mean=float(row["mean"]),
        by_direction=by_direction,
        selection=row["selection"],
        on_test_labels={"yes": True, "no": False}.get(row["on_test_labels"]),
        read_in=row["read_in"],
        digits=len(row["mean"].partition(".")[2]),
    )


with Path(__file__).with_name("figures.csv").open(encoding="utf-8", newline="") as _file:
    FIGURES: tuple[Figure, ...] = tuple(map(_figure, csv.DictReader(_file)))
"""In the order in which a table shows them."""


def figures_of(benchmark: str) -> tuple[Figure, ...]:
    """Return what others have published on a benchmark; nothing where none is known."""
    return tuple(figure for figure in FIGURES if figure.benchmark == benchmark)
