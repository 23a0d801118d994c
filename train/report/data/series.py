"""What training measured after each epoch, as arrays over seeds and epochs.

Legend: S seeds, E epochs, K segments.
"""

from collections.abc import Iterable, Mapping
from math import isfinite, log
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ta3n.train.report.data.collect import RunGroup
from ta3n.train.runs.records import Run

Curves = NDArray[np.float64]

LEAST_ATTENTION = 1 - log(2)
"""Domain attention of a relation whose discriminator guesses (section 2.3)."""


def attention_kind(row: RunGroup) -> str:
    """Return what kind of attention a row has: `domain`, `conventional` or `none`."""
    return str(row.config.settings["method"].get("attention", "none"))


def relation_names(num_relations: int) -> list[str]:
    """Return what the relations are called, the shortest first."""
    return [f"{n}-frame" for n in range(2, num_relations + 2)]


def curves_of(row: RunGroup, *keys: str) -> Curves | None:
    """Return a measurement of every epoch: [S, E].

    A seed that lacks it in any epoch is left out, as runs of an earlier version may.

    Args:
        row: Whose seeds.
        keys: Where it lies in an epoch's record, from the outside in.

    Returns:
        The curves, or None where no seed has them.
    """
    found = [[_number(_inner(epoch, keys)) for epoch in run.epochs] for run in row.runs]
    complete = [curve for curve in found if all(isfinite(value) for value in curve)]
    return np.asarray(complete, np.float64) if complete else None


def accuracy_curves(row: RunGroup) -> Curves:
    """Return target accuracy in percent: [S, E]."""
    return np.asarray([run.accuracies for run in row.runs], np.float64)


def attention_curves(row: RunGroup) -> Curves | None:
    """Return mean attention of each relation, the 2-frame one first: [S, E, K-1], or None."""
    num_relations = row.config.settings["recipe"]["num_segments"] - 1
    found = [_attention(run, num_relations) for run in row.runs]
    complete = [curve for curve in found if curve is not None]
    return np.stack(complete) if complete else None


def measured_names(row: RunGroup, key: str) -> list[str]:
    """Return the names that a table of measurements has in any epoch, in order of appearance."""
    tables = (epoch.get(key) for run in row.runs for epoch in run.epochs)
    return list(dict.fromkeys(name for t in tables if isinstance(t, Mapping) for name in t))


def _attention(run: Run, num_relations: int) -> Curves | None:
    rows = [epoch.get("attention") for epoch in run.epochs]
    if not all(isinstance(r, list) and len(r) == num_relations for r in rows):
        return None
    curve = np.asarray([[_number(value) for value in r or ()] for r in rows], np.float64)
    return curve if np.isfinite(curve).all() else None


def _inner(record: Any, keys: Iterable[str]) -> Any:
    for key in keys:
        record = record.get(key) if isinstance(record, Mapping) else None
    return record


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")
