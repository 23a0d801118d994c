"""All directions side by side: rows down, sources and targets across, and their mean."""

from collections.abc import Mapping, Sequence
from statistics import mean

from ta3n.train.paper.labels import rule_note
from ta3n.train.report.data.collect import RunGroup
from ta3n.train.report.data.compare import Analysis, Call
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
    labels = {row.label: row for direction in directions for row in direction.rows}
    rule = analyses[0].rule
    shown = [rule, *(name for name in ("last", "im", "oracle") if name in rules and name != rule)]
    heads = [f"{d.source} → {d.target}" for d in directions]
    focal = sorted({analysis.focal.label for analysis in analyses if analysis.focal})
    return Sheet(
        name="directions",
        title="All directions",
        first="rule",
        caption="Accuracy in percent on the target validation videos, mean ± standard deviation "
        "over seeds. Mean: of all directions, where a row was run in all of them.",
        columns=(
            Column("method", ("method",), words=True),
            Column("temporal", ("temporal",), words=True),
            *(Column(head, (f"{head}_percent", f"{head}_sd", f"{head}_reading")) for head in heads),
            Column("mean", ("mean_percent",)),
        ),
        blocks=tuple(
            Block(
                label=name,
                lines=tuple(_line(row, analyses, name) for row in labels.values()),
                marked=next((n for n, label in enumerate(labels) if label in focal), None),
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


def _line(like: RunGroup, analyses: Sequence[Analysis], rule: str) -> Line:
    cells, means = [], []
    for analysis in analyses:
        row = next((r for r in analysis.direction.rows if r.label == like.label), None)
        percents = row.percents(rule) if row is not None and rule in row.rules else []
        cells.append(_cell(row, percents, analysis if rule == analysis.rule else None))
        means += [mean(percents)] if percents else []
    whole = Cell(f"{mean(means):.2f}", (mean(means),)) if len(means) == len(analyses) else EMPTY
    method = f"{like.method} ({like.variant})" if like.variant else like.method
    return words(method), words(like.config.temporal), *cells, whole


def _cell(row: RunGroup | None, percents: Sequence[float], analysis: Analysis | None) -> Cell:
    cell = over_seeds(percents)
    found = analysis.against(row) if analysis and row else None
    if cell is EMPTY:
        return EMPTY
    reading = _READING[found.call] if found else ""
    return Cell(cell.text + _MARKS[reading], (*cell.values, reading))
