"""One source or several: the best single one, all combined, and each as a domain of its own."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from statistics import mean

from ta3n.train.paper.labels import rule_note
from ta3n.train.report.data.collect import DirectionRuns, RunGroup
from ta3n.train.report.data.compare import Analysis
from ta3n.train.report.tables.matrix import Matched, line_names, match_rows
from ta3n.train.report.tables.rows import rule_notes
from ta3n.train.report.tables.sheet import (
    EMPTY,
    Block,
    Cell,
    Column,
    Line,
    Sheet,
    difference,
    over_seeds,
    words,
)
from ta3n.train.runs.selection import ORACLE
from ta3n.train.runs.tables import spread

_COMBINED, _EACH = 0, 1
"""Numbers of the rows of several sources among those matched; the single sources follow."""


def sources_sheet(analyses: Sequence[Analysis], rules: Sequence[str]) -> Sheet:
    """Return the table of runs to one target, a block for each set of several sources.

    Args:
        analyses: One a direction, those of single sources among them.
        rules: To show, see `Analysis.rule` for the one that comes first.
    """
    rule = analyses[0].rule
    shown = [rule, *(name for name in ("last", "im", ORACLE) if name in rules and name != rule)]
    directions = [analysis.direction for analysis in analyses]
    several = [direction for direction in directions if len(direction.sources) > 1]
    return Sheet(
        name="sources",
        title="One source or several",
        caption="Accuracy in percent on the target validation videos, mean ± standard deviation "
        "over n seeds, all of one target. Alone: the single sources, each a run of its own; best: "
        "the best of them by this very accuracy, which is chosen on target labels and not to be "
        "had in practice; mean: of all of them, what a source taken blindly gives. Combined: all "
        "sources in one run, as one domain. Multi-source: all in one run, each a domain of its "
        "own. Less best: points over the best single source.",
        columns=_COLUMNS,
        blocks=tuple(
            Block(label=direction.label, lines=tuple(_lines(direction, directions, shown)))
            for direction in several
        ),
        notes=(
            "A method without a figure under multi-source was not run so, or takes several sources "
            "as one domain anyhow: then combined is all there is. Best and mean are left out where "
            "a source was not run alone.",
            *rule_notes([row for d in several for row in d.rows], shown),
            *(f"{name}: {rule_note(name)}." for name in shown if name == ORACLE),
        ),
    )


_COLUMNS = (
    Column("method", ("method",), words=True),
    Column("temporal", ("temporal",), words=True),
    Column("rule", ("rule",), words=True),
    Column("alone", ("single_sources",), words=True),
    Column("mean", ("single_mean_percent",)),
    Column("best", ("single_best_percent", "single_best_sd")),
    Column("best source", ("single_best_source",), words=True),
    Column("combined", ("combined_percent", "combined_sd")),
    Column("less best", ("combined_less_best_points",)),
    Column("multi-source", ("multi_source_percent", "multi_source_sd")),
    Column("less best ", ("multi_source_less_best_points",)),
    Column("n", ("num_seeds",)),
)


def _lines(
    direction: DirectionRuns, others: Sequence[DirectionRuns], rules: Sequence[str]
) -> Iterator[Line]:
    """Yield the lines of several sources: those of one row by each rule, then the next row."""
    single = [_single(name, direction, others) for name in direction.sources]
    each = [row for row in direction.rows if row.config.are_domains]
    combined = [row for row in direction.rows if not row.config.are_domains]
    parts = [replace(direction, rows=tuple(rows)) for rows in (combined, each)]
    found = match_rows([*parts, *(s or replace(direction, rows=()) for s in single)])
    lines = [line for line in found if {_COMBINED, _EACH} & line.keys()]
    for called, line in zip(line_names(lines), lines, strict=True):
        for rule in rules:
            yield _line(called, line, direction.sources, rule)


def _single(
    name: str, direction: DirectionRuns, others: Sequence[DirectionRuns]
) -> DirectionRuns | None:
    """Return the direction from one of several sources to the same target, if it was run."""
    wanted = replace(direction, source=name, rows=())
    return next((each for each in others if replace(each, rows=()) == wanted), None)


def _line(called: str, line: Matched, sources: Sequence[str], rule: str) -> Line:
    alone = {
        name: percents
        for number, name in enumerate(sources, _EACH + 1)
        if (percents := _percents(line.get(number), rule))
    }
    combined, each = (_percents(line.get(number), rule) for number in (_COMBINED, _EACH))
    best = max(alone, key=lambda name: mean(alone[name]), default="")
    is_whole = len(alone) == len(sources)
    told = "; ".join(f"{name} {spread(percents)}" for name, percents in alone.items())
    least = mean(alone[best]) if is_whole else None
    return (
        words(called),
        words(next(iter(line.values())).config.temporal),
        words(rule),
        words(told),
        _mean([mean(percents) for percents in alone.values()] if is_whole else []),
        over_seeds(alone[best] if is_whole else []),
        words(best) if is_whole else EMPTY,
        over_seeds(combined),
        _less(combined, least),
        over_seeds(each),
        _less(each, least),
        _counts([len(row.runs) for row in line.values()]),
    )


def _percents(row: RunGroup | None, rule: str) -> list[float]:
    return [] if row is None else row.percents(rule)


def _mean(percents: Sequence[float]) -> Cell:
    return Cell(f"{mean(percents):.2f}", (mean(percents),)) if percents else EMPTY


def _less(percents: Sequence[float], least: float | None) -> Cell:
    return difference(mean(percents) - least) if percents and least is not None else EMPTY


def _counts(seeds: Sequence[int]) -> Cell:
    """Return how many seeds there are, the fewest and the most of them where they differ."""
    low, high = min(seeds), max(seeds)
    text = str(low) if low == high else f"{low} to {high}"
    return Cell(text, (text,))
