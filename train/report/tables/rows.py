"""Tables of what was run, whatever it is: rows, comparisons, and a tidy file of all seeds."""

import csv
import io
from collections.abc import Iterator, Sequence
from statistics import mean

from ta3n.train.paper.labels import few_rules, rule_note
from ta3n.train.report.data.collect import DirectionRuns, RunGroup
from ta3n.train.report.data.compare import CALL_WORDS, Analysis, Comparison, gain, hits_of
from ta3n.train.report.data.statistics import LEVEL, accuracy_interval
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
    probability,
    span,
    tally,
    words,
)

_MUCH = f"{100 * LEVEL:.0f} %"
_FEW_SEEDS = 5
COUNT_COLUMNS = (
    Column(head="videos", names=("correct_videos", "target_videos")),
    Column(head="n", names=("num_seeds",)),
    Column(head=f"{_MUCH} interval", names=("interval_low_percent", "interval_high_percent")),
    Column(head="p (Holm)", names=("p_corrected",)),
)
"""What follows the accuracies of a row in every table; see `count_cells`."""


def split_rules(rules: Sequence[str], rule: str) -> tuple[list[str], list[str]]:
    """Split many rules into the few to show first, that to compare by among them, and the rest.

    A terminal has no room for the rest.
    """
    few = [rule, *few_rules(rules)]
    first = [r for r in rules if len(rules) <= 3 or r in few]
    return first, [r for r in rules if r not in first]


def rule_columns(rules: Sequence[str], *, terminal: bool = True) -> tuple[Column, ...]:
    """Return a column for each selection rule."""
    return tuple(
        Column(head=rule, names=(f"{rule}_percent", f"{rule}_sd"), terminal=terminal)
        for rule in rules
    )


def rule_cells(row: RunGroup, rules: Sequence[str]) -> list[Cell]:
    """Return the accuracy of a row by each rule, empty where it lacks the rule."""
    return [over_seeds(row.percents(rule)) for rule in rules]


def count_cells(row: RunGroup, analysis: Analysis) -> list[Cell]:
    """Return correct videos, n, interval, and p against the focal row: by the rule compared by."""
    chosen = row.chosen(analysis.rule)
    found = analysis.against(row)
    return [
        tally(mean(choice.correct for choice in chosen), row.total) if chosen else EMPTY,
        number(len(row.runs), 0),
        span(accuracy_interval(hits_of(row, analysis.rule))) if chosen else EMPTY,
        probability(found.p_corrected if found else None),
    ]


def trust_notes(analyses: Sequence[Analysis], rules: Sequence[str], rule: str) -> tuple[str, ...]:
    """Return footnotes on what the figures of a table rest on."""
    rows = [row for analysis in analyses for row in analysis.direction.rows]
    notes = []
    focal = {analysis.focal.label for analysis in analyses if analysis.focal}
    if any(c.p_corrected is not None for analysis in analyses for c in analysis.comparisons):
        notes.append(
            f"p (Holm): {' or '.join(sorted(focal))} against this row, Welch's t test over "
            "seeds and videos, corrected by Holm's method for all rows of this source and target."
        )
    if any(len(row.runs) > 1 for row in rows):
        rough = any(len(row.runs) < _FEW_SEEDS for row in rows)
        few = f" With fewer than {_FEW_SEEDS} seeds it is rather too narrow." if rough else ""
        notes.append(
            f"Interval: pigeonhole bootstrap over seeds and videos, by the rule {rule}.{few}"
        )
    if any(len(row.runs) == 1 for row in rows):
        notes.append("Rows of one seed have no standard deviation, no interval and no test.")
    labelled = {
        name
        for row in rows
        for name in rules
        if any(choice.uses_target_labels for choice in row.chosen(name))
    }
    notes += [f"{name}: {rule_note(name)}." for name in rules if name in labelled]
    return tuple(notes)


def rows_sheet(
    name: str,
    title: str,
    blocks: Sequence[tuple[Analysis, Sequence[RunGroup]]],
    rules: Sequence[str],
) -> Sheet:
    """Return a table of rows that stand in no table of the paper.

    Args:
        name: Stem of its files.
        title: What it holds.
        blocks: For each direction, at least one, its analysis and the rows to show.
        rules: Selection rules, a column each.
    """
    rule = blocks[0][0].rule
    main, rest = split_rules(rules, rule)
    analyses = [analysis for analysis, _ in blocks]
    return Sheet(
        name=name,
        title=title,
        caption="Accuracy in percent on the target validation videos, mean ± standard deviation "
        f"over n seeds. Gain, videos and interval: by the rule {rule}; gain: points over source "
        "only with the same temporal module.",
        columns=(
            Column(head="method", names=("method",), words=True),
            Column(head="temporal", names=("temporal",), words=True),
            *rule_columns(main),
            Column(head="gain", names=("gain_points",)),
            *COUNT_COLUMNS,
            *rule_columns(rest, terminal=False),
        ),
        blocks=tuple(_block(analysis, rows, rules) for analysis, rows in blocks),
        notes=trust_notes(analyses, rules, rule),
    )


def _block(analysis: Analysis, rows: Sequence[RunGroup], rules: Sequence[str]) -> Block:
    marked = [n for n, row in enumerate(rows) if row is analysis.focal]
    return Block(
        label=analysis.direction.label,
        lines=tuple(_line(row, analysis, rules) for row in rows),
        marked=marked[0] if marked else None,
    )


def _line(row: RunGroup, analysis: Analysis, rules: Sequence[str]) -> Line:
    main, rest = split_rules(rules, analysis.rule)
    return (
        words(f"{row.method} ({row.variant})" if row.variant else row.method),
        words(row.config.temporal),
        *rule_cells(row, main),
        difference(gain(row, analysis.direction, analysis.rule)),
        *count_cells(row, analysis),
        *rule_cells(row, rest),
    )


def comparisons_sheet(analyses: Sequence[Analysis]) -> Sheet:
    """Return the table of the focal row against every other row."""
    compared = [analysis for analysis in analyses if analysis.focal and analysis.comparisons]
    focal = " or ".join(sorted({a.focal.label for a in compared if a.focal}))
    rule = compared[0].rule if compared else ""
    return Sheet(
        name="comparisons",
        title=f"{focal} against every other row" if focal else "Comparisons",
        caption=f"By the rule {rule}, in percentage points. ±: standard error over seeds and "
        "videos. p: Welch's t test whose variance has a part for the videos (paired), then "
        "corrected by Holm's method for all rows compared; intervals are for one row alone.",
        columns=(
            Column(head="against", names=("against",), words=True),
            Column(head="points", names=("difference_points",)),
            Column(head="videos", names=("difference_videos",)),
            Column(head="±", names=("standard_error_points",)),
            Column(head=f"{_MUCH} interval", names=("interval_low_points", "interval_high_points")),
            Column(head="p", names=("p",)),
            Column(head="p (Holm)", names=("p_corrected",)),
            Column(head="reading", names=("reading",), words=True),
            Column(head="p, videos", names=("p_videos",), terminal=False),
            Column(head="p, seeds", names=("p_seeds",), terminal=False),
        ),
        blocks=tuple(
            Block(
                label=analysis.direction.label,
                lines=tuple(_comparison_line(found) for found in analysis.comparisons),
            )
            for analysis in compared
        ),
        notes=(
            "p, videos and p, seeds (on the page and in the files) assume no distribution and are "
            "not corrected: sign flips over videos with seeds averaged, and exchanged seeds. Both "
            "are exact where there are few; 3 seeds against 3 cannot give less than 0.1.",
            "Sources: Welch 1947; for the variances of seeds and videos summed, Cameron, Gelbach "
            "and Miller 2011; Holm 1979; Owen 2007, The pigeonhole bootstrap; Pitman 1937 for the "
            "permutation tests.",
        )
        if compared
        else (),
    )


def _comparison_line(found: Comparison) -> Line:
    tests = found.difference
    return (
        words(found.reference.label),
        difference(found.points),
        difference(found.videos, 1),
        number(tests.standard_error),
        span(tests.interval, sign=True),
        probability(tests.p),
        probability(found.p_corrected),
        words(CALL_WORDS[found.call]),
        probability(tests.p_videos),
        probability(tests.p_seeds),
    )


def results_csv(directions: Sequence[DirectionRuns]) -> bytes:
    """Return a tidy file: a line for each direction, row, seed and selection rule."""
    lines = [line for direction in directions for row in direction.rows for line in _lines(row)]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue().encode(errors="surrogateescape")


def _lines(row: RunGroup) -> Iterator[dict[str, object]]:
    config = row.config
    for run in row.runs:
        for name, rule in run.result.rules.items():
            yield {
                "benchmark": config.benchmark,
                "source": config.source,
                "target": config.target,
                "method": config.method,
                "temporal": config.temporal,
                "variant": row.variant,
                "recipe": config.settings["recipe"]["name"],
                "config_hash": config.hash,
                "seed": run.seed,
                "rule": name,
                "uses_target_labels": rule.uses_target_labels,
                "epoch": rule.epoch,
                "correct": rule.correct,
                "total": rule.total,
                "accuracy_percent": repr(rule.percent),
                "target_label_reads": run.result.target_label_reads,
            }
