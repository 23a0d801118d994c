"""Rows held against each other: difference in accuracy, and how far it can be trusted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import mean
from typing import Any, Literal

import numpy as np

from ta3n.common.errors import UsageError, did_you_mean, shorten
from ta3n.train.paper.labels import paper_methods
from ta3n.train.recipe.recipes import OFFICIAL, RECIPES
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
from ta3n.train.runs.rule_notes import rules_on

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

    `p_corrected` is for all comparisons of the family together (Holm); None with one seed of a row
    in which anything is random.
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
        further: The same of further rows that the summary is to tell of.
    """

    direction: DirectionRuns
    rule: str
    focal: RunGroup | None
    comparisons: tuple[Comparison, ...]
    further: "tuple[Analysis, ...]" = ()

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


def analyse(
    direction: DirectionRuns, rule: str = "last", focal_names: Sequence[str] = ()
) -> Analysis:
    """Hold the focal row of a direction against every other row, by one rule.

    The p values are corrected for all of these comparisons. `focal_names` is for `focal_rows`, of
    which all but the first are held against all rows likewise.
    """
    rows = focal_rows(direction, focal_names)
    main = _analyse(direction, rule, rows[0] if rows else None)
    return replace(main, further=tuple(_analyse(direction, rule, row) for row in rows[1:]))


def _analyse(direction: DirectionRuns, rule: str, focal: RunGroup | None) -> Analysis:
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
    return compare_hits(
        hits_of(row, rule),
        hits_of(reference, rule),
        same_seeds=row.seeds == reference.seeds,
        exact=(row.is_exact, reference.is_exact),
    )


def hits_of(row: RunGroup, rule: str) -> Hits:
    """Return what a row classified correctly: 1 or 0, [S seeds, N videos]."""
    hits = [[p.chosen[rule] == p.label for p in run.predictions] for run in row.runs]
    return np.array(hits, dtype=np.float64)


def gain(row: RunGroup, direction: DirectionRuns, rule: str) -> float | None:
    """Return the accuracy over the source only that matches a row, in points, or None."""
    reference = source_only_for(row, direction)
    if reference is None or rule not in row.rules or rule not in reference.rules:
        return None
    return mean(row.percents(rule)) - mean(reference.percents(rule))


def source_only_for(row: RunGroup, direction: DirectionRuns) -> RunGroup | None:
    """Return the source-only row with a row's temporal module and settings, or None.

    The settings are those that source only reads, see `settings_apart`. Of a row that started from
    another one it is that one, if it is source only.
    """
    if row.config.method == "source-only":
        return None
    if start := _start(row):
        named = [each for each in direction.rows if each.config.method == "source-only"]
        return next((each for each in named if each.config.hash == start["hash"]), None)
    return pick_like(direction.rows, "source-only", row)


def no_source_only(row: RunGroup, direction: DirectionRuns) -> str:
    """Return why `source_only_for` finds nothing, as a clause."""
    temporal = row.config.temporal
    if start := _start(row):
        return f"its runs started from {start['label']}, which is no source-only row here"
    named = [r for r in direction.rows if r.config.method == "source-only"]
    near = [r for r in named if r.config.temporal == temporal]
    if not near:
        return f"there is no source-only row with {temporal}"
    apart = settings_apart(near[0], row)
    return f"source only with {temporal} was run with other settings ({shorten(apart, 3)})"


def settings_apart(reference: RunGroup, row: RunGroup) -> list[str]:
    """Return the settings of a reference that are not those of a row, such as `epochs 2, not 3`.

    With any, the difference between both is not that of their methods alone. Only what the
    reference itself reads counts, whatever its recipe is called: source only reads nothing in
    which the recipes differ. Weights of losses belong to the method.
    """
    theirs, ours = reference.config.settings, row.config.settings
    apart = recipe_apart(reference, row)
    starts = _start(reference), _start(row)
    if starts[0] != starts[1] and starts[1].get("hash") != reference.config.hash:
        told = [f"started from {start['label']}" if start else "afresh" for start in starts]
        apart.append(f"{told[0]}, not {told[1]}")
    # Told only by what tells several sources apart.
    domains = [settings["domains"] for settings in (theirs, ours) if "domains" in settings]
    if len(set(domains)) > 1:
        apart.append(f"domains {domains[0]}, not {domains[1]}")
    if theirs["classes"] != ours["classes"]:
        apart.append("other classes")
    if rules_on(theirs) != rules_on(ours):
        apart.append(f"label-free rules on {rules_on(theirs)}, not {rules_on(ours)}")
    return apart


def _start(row: RunGroup) -> Mapping[str, Any]:
    """Return what a row tells of the run that it started from; nothing where it did from none."""
    start: Mapping[str, Any] = row.config.settings.get("init_from", {})
    return start


def recipe_apart(reference: RunGroup, row: RunGroup) -> list[str]:
    """Return what of it is in the recipe."""
    theirs, ours = (each.config.settings["recipe"] for each in (reference, row))
    return [
        f"{name} {theirs[name]}, not {ours[name]}"
        for name in reference.fields_read
        if name in theirs and name in ours and theirs[name] != ours[name]
    ]


def pick_like(
    rows: Sequence[RunGroup], method: str, like: RunGroup, temporal: str | None = None
) -> RunGroup | None:
    """Return the row of a method that has the settings of another row, or None.

    Args:
        like: Whose settings it must have, as far as it reads them.
        temporal: Its temporal module; None for that of `like`.
    """
    temporal = temporal or like.config.temporal
    fitting = [
        row
        for row in rows
        if row.config.method == method and row.config.temporal == temporal
        if not settings_apart(row, like)
    ]
    return _usual(fitting)


def _usual(rows: Sequence[RunGroup]) -> RunGroup | None:
    """Return the row with most seeds, of equals the nearest to its recipe, `official` first.

    Of several sources those that are one domain come first.

    Accuracy plays no part in it.
    """

    def place(row: RunGroup) -> tuple[int, int, bool, bool]:
        recipe = row.config.settings["recipe"]
        usual = RECIPES.get(recipe["name"], OFFICIAL)
        departs = sum(getattr(usual, name, value) != value for name, value in recipe.items())
        named = recipe["name"] != OFFICIAL.name
        return -len(row.runs), departs, named, row.config.are_domains

    return min(rows, key=place, default=None)


def focal_row(direction: DirectionRuns, name: str | None = None) -> RunGroup | None:
    """Return the row that the report is about: TA3N, else the adapting method nearest to it.

    Nearest in the paper's order, or else the first by name; not by accuracy, since that would
    choose on target labels. Of several configurations the one with most seeds, then the one that
    departs least from its recipe.

    Args:
        name: Method, method and temporal module, or first digits of a configuration's hash, to
            choose it by.
    """
    if name is not None:
        return _usual([row for row in direction.rows if is_named(row, name)])
    adapting = [row for row in direction.rows if row.adapts]
    if not adapting:
        return None
    known = [row for row in adapting if row.config.method in paper_methods()]
    method = (known or adapting[:1])[-1].config.method
    named = [row for row in adapting if row.config.method == method]
    return _usual([row for row in named if row.config.temporal == "relation"]) or _usual(named)


def focal_rows(direction: DirectionRuns, names: Sequence[str]) -> list[RunGroup]:
    """Return the rows of a direction that `names` choose, or else the one it is about by itself."""
    named = [row for name in names if (row := focal_row(direction, name)) is not None]
    usual = focal_row(direction)
    return [*{id(row): row for row in named}.values()] or ([] if usual is None else [usual])


_LEAST_DIGITS = 6


def is_named(row: RunGroup, name: str) -> bool:
    """Return whether a row is called METHOD, METHOD-TEMPORAL or by digits of its hash."""
    method, temporal = row.config.method, row.config.temporal
    by_hash = len(name) >= _LEAST_DIGITS and row.config.hash.startswith(name)
    return name in (method, f"{method}-{temporal}") or by_hash


def check_focal(directions: Sequence[DirectionRuns], name: str) -> None:
    """Refuse the name of a focal row that no direction has.

    Raises:
        UsageError: With the names that there are.
    """
    rows = [row for direction in directions for row in direction.rows]
    if not any(is_named(row, name) for row in rows):
        known = list(dict.fromkeys(f"{r.config.method}-{r.config.temporal}" for r in rows))
        hint = did_you_mean(name, known)
        raise UsageError(f"--focal {name!r}: no such row{hint}; there are {', '.join(known)}")


def rivals(focal: RunGroup, rows: Sequence[RunGroup]) -> tuple[list[RunGroup], list[RunGroup]]:
    """Return one row of every other method that was run and does not see target labels.

    It has the focal row's settings, and its temporal module where there is one. Apart from them
    come rows of the methods that were run with other settings only.
    """
    held, apart = [], []
    for name in dict.fromkeys(row.config.method for row in rows):
        if name in ("target-only", focal.config.method):
            continue
        named = [row for row in rows if row.config.method == name]
        modules = (focal.config.temporal, *dict.fromkeys(row.config.temporal for row in named))
        fitting = filter(None, (pick_like(named, name, focal, module) for module in modules))
        if (row := next(fitting, None)) is not None:
            held.append(row)
        else:
            apart.append(named[0])
    return held, apart


def mean_rank_correlation(runs: Sequence[Run], rule: str) -> float | None:
    """Return Spearman's correlation of a rule's score and accuracy over epochs, mean over runs.

    It is None where no run has one: fewer than three epochs, or a score that never changes.
    """
    every = [rank_correlation(run.scores(rule), run.accuracies) for run in runs]
    known = [found for found in every if found is not None]
    return mean(known) if known else None
