"""One source or several: the best single one, all combined, and each as a domain of its own."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from statistics import mean

from ta3n.train.paper.labels import rule_note
from ta3n.train.report.data.collect import DirectionRuns
from ta3n.train.report.data.compare import Analysis
from ta3n.train.report.tables.matrix import Matched, match_rows, named_lines, rules_beside
from ta3n.train.report.tables.rows import rule_notes
from ta3n.train.report.tables.sheet import (
    EMPTY,
    Block,
    Cell,
    Column,
    Line,
    Sheet,
    difference,
    number,
    over_seeds,
    word_columns,
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
    shown = rules_beside(rule, rules)
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
    *word_columns("method", "temporal", "rule"),
    Column("alone", ("single_sources",), words=True),
    Column("mean", ("single_mean_percent",)),
    Column("best", ("single_best_percent", "single_best_sd")),
    Column("best source", ("single_best_source",), words=True),
    Column("combined", ("combined_percent", "combined_sd")),
    Column("combined less best", ("combined_less_best_points",)),
    Column("multi-source", ("multi_source_percent", "multi_source_sd")),
    Column("multi-source less best", ("multi_source_less_best_points",)),
    Column("n", ("num_seeds",)),
)


def _lines(
    direction: DirectionRuns, others: Sequence[DirectionRuns], rules: Sequence[str]
) -> Iterator[Line]:
    """Yield the lines of several sources: those of one row by each rule, then the next row.

    Single sources to the same target are among the others, as far as they were run.
    """
    none = replace(direction, rows=())
    single = [
        next((o for o in others if replace(o, rows=()) == replace(none, source=name)), none)
        for name in direction.sources
    ]
    each = [row for row in direction.rows if row.config.are_domains]
    combined = [row for row in direction.rows if not row.config.are_domains]
    parts = [replace(direction, rows=tuple(rows)) for rows in (combined, each)]
    found = match_rows([*parts, *single])
    lines = [line for line in found if {_COMBINED, _EACH} & line.keys()]
    for about, line in named_lines(lines):
        for rule in rules:
            yield (*about, words(rule), *_cells(line, direction.sources, rule))


def _cells(line: Matched, sources: Sequence[str], rule: str) -> Line:
    by_place = {place: row.percents(rule) for place, row in line.items()}
    combined, each = by_place.get(_COMBINED, []), by_place.get(_EACH, [])
    places = enumerate(sources, _EACH + 1)
    alone = {name: percents for n, name in places if (percents := by_place.get(n))}
    best = max(alone, key=lambda name: mean(alone[name]), default="")
    is_whole = len(alone) == len(sources)
    told = "; ".join(f"{name} {spread(percents)}" for name, percents in alone.items())
    least = mean(alone[best]) if is_whole else None
    return (
        words(told),
        number(mean(map(mean, alone.values())) if is_whole else None),
        over_seeds(alone[best] if is_whole else []),
        words(best) if is_whole else EMPTY,
        over_seeds(combined),
        _less(combined, least),
        over_seeds(each),
        _less(each, least),
        _counts([len(row.runs) for row in line.values()]),
    )


def _less(percents: Sequence[float], least: float | None) -> Cell:
    return difference(mean(percents) - least) if percents and least is not None else EMPTY


def _counts(seeds: Sequence[int]) -> Cell:
    """Return how many seeds there are, the fewest and the most of them where they differ."""
    low, high = min(seeds), max(seeds)
    text = str(low) if low == high else f"{low} to {high}"
    return Cell(text, (text,))
