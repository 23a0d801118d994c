"""Rows held against each other: difference in accuracy, and how far it can be trusted."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Literal

import numpy as np

from ta3n.train.paper.labels import paper_methods
from ta3n.train.report.data.collect import DirectionRuns, RunGroup
from ta3n.train.report.data.statistics import (
    LEVEL,
    Difference,
    Hits,
    compare_hits,
    holm,
    rank_correlation,
)
from ta3n.train.runs.records import Run

Call = Literal["ahead", "level", "behind", "one seed"]

CALL_WORDS: dict[Call, str] = {
    "ahead": "beats it",
    "level": "not told apart",
    "behind": "falls behind",
    "one seed": "one seed: no test",
}


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A row against a reference, by one selection rule: its accuracy less that of the reference.

    `p_corrected` is for all comparisons of the family together (Holm); None with one seed.
    """

    row: RunGroup
    reference: RunGroup
    difference: Difference
    p_corrected: float | None

    @property
    def points(self) -> float:
        """The difference in percentage points."""
        return self.difference.points

    @property
    def videos(self) -> float:
        """The difference in videos."""
        return self.points * self.row.total / 100

    @property
    def call(self) -> Call:
        """What the difference allows to say."""
        if self.p_corrected is None:
            return "one seed"
        if self.p_corrected >= 1 - LEVEL:
            return "level"
        return "ahead" if self.points > 0 else "behind"


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """What is said of a direction by one selection rule.

    Attributes:
        rule: Every figure that is compared was chosen by it.
        focal: The row that is held against all others, or None.
        comparisons: One for every other row that has the rule, in their order.
    """

    direction: DirectionRuns
    rule: str
    focal: RunGroup | None
    comparisons: tuple[Comparison, ...]

    @property
    def rows(self) -> list[RunGroup]:
        """The rows that have the rule."""
        return [row for row in self.direction.rows if self.rule in row.rules]

    @property
    def reads_target_labels(self) -> bool:
        """Whether the rule chose on target labels."""
        chosen = [choice for row in self.rows for choice in row.chosen(self.rule)]
        return any(choice.uses_target_labels for choice in chosen)

    def against(self, row: RunGroup) -> Comparison | None:
        """Return the comparison with a row, or None if there is none."""
        return next((c for c in self.comparisons if c.reference is row), None)


def analyse(direction: DirectionRuns, rule: str = "last") -> Analysis:
    """Hold the focal row of a direction against every other row, by one rule.

    The p values are corrected for all of these comparisons.
    """
    focal = focal_row(direction)
    if focal is None or rule not in focal.rules:
        return Analysis(direction=direction, rule=rule, focal=None, comparisons=())
    others = [row for row in direction.rows if rule in row.rules and row is not focal]
    differences = [compare(focal, row, rule) for row in others]
    corrected = holm([difference.p for difference in differences])
    comparisons = tuple(
        Comparison(row=focal, reference=row, difference=difference, p_corrected=p)
        for row, difference, p in zip(others, differences, corrected, strict=True)
    )
    return Analysis(direction=direction, rule=rule, focal=focal, comparisons=comparisons)


def compare(row: RunGroup, reference: RunGroup, rule: str) -> Difference:
    """Hold a row against another one of the same direction, by a rule that both have."""
    return compare_hits(hits_of(row, rule), hits_of(reference, rule))


def hits_of(row: RunGroup, rule: str) -> Hits:
    """Return what a row classified correctly: 1 or 0, [S seeds, N videos]."""
    hits = [[p.chosen[rule] == p.label for p in run.predictions] for run in row.runs]
    return np.array(hits, dtype=np.float64)


def gain(row: RunGroup, direction: DirectionRuns, rule: str) -> float | None:
    """Return the accuracy over source only with the same temporal module, in points, or None."""
    reference = source_only_for(row, direction)
    if reference is None or rule not in row.rules or rule not in reference.rules:
        return None
    return mean(row.percents(rule)) - mean(reference.percents(rule))


def source_only_for(row: RunGroup, direction: DirectionRuns) -> RunGroup | None:
    """Return the source-only row with the temporal module of a row, as in the paper's Table 3."""
    if row.config.method == "source-only":
        return None
    return pick(direction.rows, "source-only", row.config.temporal)


def pick(rows: Sequence[RunGroup], method: str, temporal: str | None = None) -> RunGroup | None:
    """Return the row of a method with most seeds, or None; accuracy plays no part in it."""
    named = [row for row in rows if row.config.method == method]
    fitting = [row for row in named if temporal in (None, row.config.temporal)]
    return max(fitting, key=lambda row: len(row.runs), default=None)


def focal_row(direction: DirectionRuns) -> RunGroup | None:
    """Return the row that the report is about: TA3N, else the adapting method nearest to it.

    Nearest in the paper's order, or else the first by name; not by accuracy, since that would
    choose on target labels.
    """
    adapting = [row for row in direction.rows if row.adapts]
    if not adapting:
        return None
    known = [row for row in adapting if row.config.method in paper_methods()]
    method = (known or adapting[:1])[-1].config.method
    return pick(adapting, method, "relation") or pick(adapting, method)


def rivals(focal: RunGroup, rows: Sequence[RunGroup]) -> list[RunGroup]:
    """Return one row of every other method that was run and does not see target labels.

    Of the focal row's temporal module where there is one.
    """
    names = dict.fromkeys(row.config.method for row in rows)
    others = [name for name in names if name not in ("target-only", focal.config.method)]
    found = [pick(rows, name, focal.config.temporal) or pick(rows, name) for name in others]
    return [row for row in found if row is not None]


def mean_rank_correlation(runs: Sequence[Run], rule: str) -> float | None:
    """Return Spearman's correlation of a rule's score and accuracy over epochs, mean over runs.

    It is None where no run has one: fewer than three epochs, or a score that never changes.
    """
    every = [rank_correlation(run.scores(rule), run.accuracies) for run in runs]
    known = [found for found in every if found is not None]
    return mean(known) if known else None
