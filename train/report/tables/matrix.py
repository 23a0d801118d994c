"""All directions side by side: rows down, sources and targets across, and their mean."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import mean
from typing import Any

from ta3n.train.methods.registry import default_weights
from ta3n.train.paper.labels import rule_note
from ta3n.train.recipe.directions import direction_weights
from ta3n.train.report.data.collect import DirectionRuns, RunGroup, variant_of
from ta3n.train.report.data.compare import Analysis, Call, recipe_apart
from ta3n.train.report.tables.rows import rule_notes
from ta3n.train.report.tables.sheet import (
    EMPTY,
    Block,
    Cell,
    Column,
    Line,
    Sheet,
    over_seeds,
    words,
)
from ta3n.train.runs.folder import RunConfig
from ta3n.train.runs.rule_notes import rules_on

_READING: Mapping[Call, str] = {"ahead": "worse", "behind": "better", "level": "", "one seed": ""}
"""What the focal row's comparison with a row says of that row."""
_MARKS = {"worse": " (−)", "better": " (+)", "": ""}  # noqa: RUF001


def directions_sheet(analyses: Sequence[Analysis], rules: Sequence[str]) -> Sheet:
    """Return the table of every row in every direction, one block a rule.

    Args:
        analyses: one a direction; where there is only one the sheet has no block.
        rules: to show, see `Analysis.rule` for the one that comes first.
    """
    directions = [analysis.direction for analysis in analyses]
    lines = match_rows(directions)
    names = line_names(lines)
    rule = analyses[0].rule
    shown = [rule, *(name for name in ("last", "im", "oracle") if name in rules and name != rule)]
    heads = [f"{d.source} → {d.target}" for d in directions]
    if len(set(heads)) < len(heads):  # of several benchmarks
        heads = [direction.label for direction in directions]
    focal = sorted({analysis.focal.label for analysis in analyses if analysis.focal})
    return Sheet(
        name="directions",
        title="All directions",
        first="rule",
        caption="Accuracy in percent on the target validation videos, mean ± standard deviation "
        "over seeds. Mean: of all directions, where a row was run in all of them. A row has the "
        "same settings in all directions, and the same weights or those that each direction has "
        "where none is given.",
        columns=(
            Column("method", ("method",), words=True),
            Column("temporal", ("temporal",), words=True),
            *(Column(head, (f"{head}_percent", f"{head}_sd", f"{head}_reading")) for head in heads),
            Column("mean", ("mean_percent",)),
        ),
        blocks=tuple(
            Block(
                label=name,
                lines=tuple(
                    _line(called, line, analyses, name)
                    for called, line in zip(names, lines, strict=True)
                ),
                marked=next((n for n, line in enumerate(lines) if _is_focal(line, analyses)), None),
            )
            for name in (shown if len(directions) > 1 else ())
        ),
        notes=(
            *(
                (
                    f"(+) better than {' or '.join(focal)} in this direction, "
                    f"(−) worse, by the rule {rule}: p below 0.05 by the t test over "  # noqa: RUF001
                    "seeds and videos, corrected by Holm's method for all rows of the direction.",
                )
                if focal
                else ()
            ),
            *rule_notes([row for d in directions for row in d.rows], shown),
            *(f"{name}: {rule_note(name)}." for name in shown if name == "oracle"),
        ),
    )


Matched = dict[int, RunGroup]
"""The rows of equal settings, by the number of their direction."""


def match_rows(directions: Sequence[DirectionRuns]) -> list[Matched]:
    """Put rows of equal settings together, at most one of each direction.

    What a row is called does not tell: in a direction where a method was run once, its name alone
    stands for whatever settings it had.
    """
    lines: list[Matched] = []
    for number, direction in enumerate(directions):
        left = list(direction.rows)
        for equal in (_equal_weights, _usual_weights):
            for row in tuple(left):
                for line in lines:
                    like = next(iter(line.values()))
                    if number not in line and _alike(like, row) and equal(like, row):
                        line[number] = row
                        left.remove(row)
                        break
        lines += [{number: row} for row in left]
    return lines


def _alike(one: RunGroup, other: RunGroup) -> bool:
    """Return whether two rows differ in weights alone, or in direction and classes."""
    ours, theirs = (
        (row.method, row.config.temporal, _start(row.config), rules_on(row.config.settings))
        for row in (one, other)
    )
    return ours == theirs and not recipe_apart(one, other)


def _start(config: RunConfig) -> Mapping[str, Any]:
    """Return what a run started from, without the hash, which no two directions share."""
    start = config.settings.get("init_from", {})
    return {key: value for key, value in start.items() if key != "hash"}


def _equal_weights(one: RunGroup, other: RunGroup) -> bool:
    return bool(one.config.settings["weights"] == other.config.settings["weights"])


def _usual_weights(one: RunGroup, other: RunGroup) -> bool:
    """Return whether each weight is equal, or the one that either direction has by itself."""
    ours, theirs = (row.config.settings["weights"] for row in (one, other))
    defaults = default_weights()
    usual = [
        {**defaults, **direction_weights(c.benchmark, c.source, c.target).values}
        for c in (one.config, other.config)
    ]
    return ours.keys() == theirs.keys() and all(
        ours[name] == theirs[name]
        or (ours[name], theirs[name]) == (usual[0].get(name), usual[1].get(name))
        for name in ours
    )


def line_names(lines: Sequence[Matched]) -> list[str]:
    """Return what the lines are called; what tells those of one name apart stands behind it."""
    rows = [next(iter(line.values())) for line in lines]
    configs = [
        replace(
            row.config,
            settings={
                **{key: row.config.settings[key] for key in ("method", "recipe", "weights")},
                "rules_on": rules_on(row.config.settings),
                "init_from": _start(row.config),
            },
        )
        for row in rows
    ]
    variants = [variant_of(config, configs) for config in configs]
    return [f"{r.method} ({v})" if v else r.method for r, v in zip(rows, variants, strict=True)]


def _is_focal(line: Matched, analyses: Sequence[Analysis]) -> bool:
    return any(analyses[number].focal is row for number, row in line.items())


def _line(called: str, line: Matched, analyses: Sequence[Analysis], rule: str) -> Line:
    cells, means = [], []
    for number, analysis in enumerate(analyses):
        row = line.get(number)
        percents = row.percents(rule) if row is not None and rule in row.rules else []
        cells.append(_cell(row, percents, analysis if rule == analysis.rule else None))
        means += [mean(percents)] if percents else []
    whole = Cell(f"{mean(means):.2f}", (mean(means),)) if len(means) == len(analyses) else EMPTY
    temporal = next(iter(line.values())).config.temporal
    return words(called), words(temporal), *cells, whole


def _cell(row: RunGroup | None, percents: Sequence[float], analysis: Analysis | None) -> Cell:
    cell = over_seeds(percents)
    found = analysis.against(row) if analysis and row else None
    if cell is EMPTY:
        return EMPTY
    reading = _READING[found.call] if found else ""
    return Cell(cell.text + _MARKS[reading], (*cell.values, reading))
