"""All directions side by side: rows down, sources and targets across, and their mean."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import permutations
from statistics import mean
from typing import Any

from ta3n.common.errors import shorten
from ta3n.common.files import canonical_json
from ta3n.datasets.benchmarks.names import told_apart
from ta3n.datasets.published.figures import Figure, figures_of
from ta3n.train.methods.registry import default_weights
from ta3n.train.paper.labels import rule_note
from ta3n.train.recipe.directions import direction_weights
from ta3n.train.report.data.collect import DirectionRuns, RunGroup, variants_of
from ta3n.train.report.data.compare import Analysis, Call, hits_of, recipe_apart
from ta3n.train.report.data.statistics import LEVEL_TEXT, mean_interval
from ta3n.train.report.tables.rows import EXACT, rule_notes
from ta3n.train.report.tables.sheet import (
    Block,
    Cell,
    Column,
    Line,
    Sheet,
    number,
    over_seeds,
    span,
    word_columns,
    words,
)
from ta3n.train.runs.folder import RunConfig
from ta3n.train.runs.records import base_of
from ta3n.train.runs.rule_notes import rules_on
from ta3n.train.runs.selection import OPEN_SET, ORACLE

_READING: Mapping[Call, str] = {"ahead": "worse", "behind": "better", "level": "", "one seed": ""}
"""What the focal row's comparison with a row says of that row."""
MISSING = Cell("—")
_SHOWN_PAIRS = 6
_Measure = Callable[[RunGroup, str], list[float]]
_MEASURES: Mapping[str, tuple[str, _Measure]] = {
    "mean_of_classes_percent": ("mean of classes", RunGroup.class_means),
    "mean_h_score_percent": (
        OPEN_SET["h_score"],
        lambda row, rule: [each["h_score"] for each in row.open_set(rule)],
    ),
}
"""Told beside accuracy where a row has any: the measure by a rule, a figure a seed."""
_MARKS = {"worse": " (−)", "better": " (+)", "": ""}  # noqa: RUF001


def matrix_sheets(analyses: Sequence[Analysis], rules: Sequence[str]) -> list[Sheet]:
    """Return for each benchmark of several directions the table of all rows in all of them.

    With it goes one of what others have published on it, if anything is known.

    Args:
        analyses: One a direction, of any benchmarks.
        rules: To show, see `Analysis.rule` for the one that comes first.
    """
    by_benchmark: dict[str, list[Analysis]] = defaultdict(list)
    for analysis in analyses:
        by_benchmark[analysis.direction.benchmark].append(analysis)
    sheets = []
    for place, (name, found) in enumerate(by_benchmark.items()):
        suffix = f"-{_file_name(name, place)}" if len(by_benchmark) > 1 else ""
        if len(found) > 1:
            sheets.append(_directions_sheet(found, rules, suffix))
        figures = figures_of(name)
        if figures and (len(found) > 1 or not any(each.by_direction for each in figures)):
            sheets.append(_published_sheet(name, figures, suffix))
    return sheets


def _file_name(name: str, place: int) -> str:
    """Return a benchmark's name as a part of a file's; one that had to be changed is numbered."""
    safe = re.sub(r"[^\w.-]", "_", name)
    return safe if safe == name else f"{safe}-{place}"


def _directions_sheet(analyses: Sequence[Analysis], rules: Sequence[str], suffix: str) -> Sheet:
    """Return the table of every row in every direction of a benchmark, one block a rule."""
    directions = [analysis.direction for analysis in analyses]
    lines = match_rows(directions)
    rule = analyses[0].rule
    shown = rules_beside(rule, rules)
    short = told_apart({name for d in directions for name in (d.source, d.target)})
    not_run = _not_run(directions)
    beside = () if rule == ORACLE else (Column("mean, oracle", ("oracle_mean_percent",)),)
    told = {
        key: (head, measure)
        for key, (head, measure) in _MEASURES.items()
        if any(measure(row, name) for d in directions for row in d.rows for name in shown)
    }
    return Sheet(
        name=f"directions{suffix}",
        title=f"All directions of {directions[0].benchmark}",
        first="rule",
        caption="Accuracy in percent on the target validation videos, mean ± standard deviation "
        "over seeds, by the rule that the table is named after. Mean: of all directions of the "
        "benchmark, where a row was run in all of them; beside it that of the epochs which the "
        "test labels would choose (oracle). Mean of classes: each class counts alike, however many "
        "videos it has. A row has the same settings in all directions, and the "
        "same weights or those that each direction has where none is given.",
        columns=(
            *word_columns("method", "temporal"),
            *(_direction_column(d, short) for d in directions),
            Column("mean", ("mean_percent",)),
            Column(f"{LEVEL_TEXT} interval", ("mean_low_percent", "mean_high_percent")),
            *beside,
            *(Column(head, (key,)) for key, (head, _) in told.items()),
        ),
        blocks=tuple(
            Block(
                label=name,
                lines=tuple(
                    (
                        *about,
                        *_cells(line, analyses, name, missing=len(not_run)),
                        *(
                            _measure_cell(line, measure, name, len(directions), len(not_run))
                            for _, measure in told.values()
                        ),
                    )
                    for about, line in named_lines(lines)
                ),
                marked=next((n for n, line in enumerate(lines) if _is_focal(line, analyses)), None),
                notes=tuple(_marks_notes(analyses) if name == rule else ()),
            )
            for name in shown
        ),
        notes=(
            *_mean_notes(
                lines, directions, [(short.get(a, a), short.get(b, b)) for a, b in not_run]
            ),
            *rule_notes([row for d in directions for row in d.rows], shown),
            *(f"{name}: {rule_note(name)}." for name in shown if name == ORACLE),
        ),
    )


def _marks_notes(analyses: Sequence[Analysis]) -> Iterator[str]:
    """Say what the marks of a table mean, where a row is held against all others."""
    if focal := sorted({analysis.focal.label for analysis in analyses if analysis.focal}):
        yield (
            f"(+) better than {' or '.join(focal)} in this direction, "
            f"(−) worse, by the rule {analyses[0].rule}: p below 0.05 by the t test over "  # noqa: RUF001
            "seeds and videos, corrected by Holm's method for all rows of the direction."
        )


def _direction_column(direction: DirectionRuns, short: Mapping[str, str]) -> Column:
    full = f"{direction.source} → {direction.target}"
    head = f"{short[direction.source]} → {short[direction.target]}"
    return Column(head, (f"{full}_percent", f"{full}_sd", f"{full}_reading"))


def _not_run(directions: Sequence[DirectionRuns]) -> list[tuple[str, str]]:
    """Return the ordered pairs of the benchmark's datasets of which nothing was run."""
    datasets: Mapping[str, Any] = directions[0].rows[0].config.data.get("benchmark", {})
    run = {(direction.source, direction.target) for direction in directions}
    return [pair for pair in permutations(datasets, 2) if pair not in run]


def _mean_notes(
    lines: "Sequence[Matched]",
    directions: Sequence[DirectionRuns],
    not_run: Sequence[tuple[str, str]],
) -> Iterator[str]:
    """Say what the mean rests on, and where there is none."""
    if not_run:
        pairs = shorten((" → ".join(pair) for pair in not_run), _SHOWN_PAIRS)
        total = len(not_run) + len(directions)
        yield (
            f"Not run: {len(not_run)} of the {total} directions of the benchmark ({pairs}), so "
            "that no row has the mean."
        )
    if not_run or any(len(line) < len(directions) for line in lines):
        yield (
            f"{MISSING.text}: not run, or without a choice by the rule; behind it, in how many "
            "directions there is one. A mean over fewer directions is not told."
        )
    yield (
        "Interval: of the mean, pigeonhole bootstrap over seeds and videos; directions are not "
        "drawn. Tests are within a direction alone."
    )
    rows = [row for line in lines for row in line.values()]
    if any(len(row.runs) == 1 and not row.is_exact for row in rows):
        yield (
            "Of one seed the interval is over videos only, and says nothing of other seeds; such "
            "a row has no test, and so no mark."
        )
    if any(row.is_exact for row in rows):
        yield EXACT


def _published_sheet(benchmark: str, figures: Sequence[Figure], suffix: str) -> Sheet:
    """Return the table of what others have published on a benchmark."""
    pairs = list(dict.fromkeys(pair for each in figures for pair in each.by_direction))
    short = told_apart({name for pair in pairs for name in pair}) if pairs else {}
    return Sheet(
        name=f"published{suffix}",
        title=f"Published on {benchmark}",
        first="published",
        caption="Accuracies in percent as others have printed them, on features of their own: with "
        "another backbone, other frames or another choice of the epoch a figure is no reference "
        "for one of ours. Those chosen on test labels stand beside our oracle, not beside the "
        "other rules.",
        columns=(
            *word_columns("method", "backbone"),
            *(Column(f"{short[a]} → {short[b]}", (f"{a} → {b}_percent",)) for a, b in pairs),
            Column("mean", ("mean_percent",)),
            Column("epoch chosen", ("selection",), words=True),
            Column("on test labels", ("on_test_labels",), words=True),
            Column("read in", ("read_in",), words=True, terminal=False),
        ),
        blocks=(
            Block(
                label="as printed",
                lines=tuple(
                    (
                        words(each.method),
                        words(each.backbone or _UNKNOWN),
                        *(_as_printed(each.by_direction.get(pair), each) for pair in pairs),
                        _as_printed(each.mean, each),
                        words(each.selection or _UNKNOWN),
                        words({True: "yes", False: "no", None: _UNKNOWN}[each.on_test_labels]),
                        words(each.read_in),
                    )
                    for each in figures
                ),
            ),
        ),
        notes=(f"{MISSING.text}: not told by direction.",) if pairs else (),
    )


_UNKNOWN = "not established"


def _as_printed(percent: float | None, figure: Figure) -> Cell:
    return MISSING if percent is None else Cell(f"{percent:.{figure.digits}f}", (percent,))


Matched = dict[int, RunGroup]
"""The rows of equal settings, by the number of their direction."""


def match_rows(directions: Sequence[DirectionRuns]) -> list[Matched]:
    """Put rows of equal settings together, at most one of each direction.

    What a row is called does not tell: in a direction where a method was run once, its name alone
    stands for whatever settings it had.
    """
    usual = [_usual_weights(direction) for direction in directions]
    lines: list[Matched] = []
    for place, direction in enumerate(directions):
        left = list(direction.rows)
        for of_weights in (dict.items, dict.keys):
            # Only rows of one key can have equal settings: few are held against each other.
            found: dict[_Key, list[Matched]] = defaultdict(list)
            for line in lines:
                found[_key(next(iter(line.values())), of_weights)].append(line)
            rows, left = left, []
            for row in rows:
                for line in found[_key(row, of_weights)]:
                    first, like = next(iter(line.items()))
                    if place in line or not _equal(like, row, usual[first], usual[place]):
                        continue
                    line[place] = row
                    break
                else:
                    left.append(row)
        lines += [{place: row} for row in left]
    return lines


_Key = tuple[Any, ...]


def _key(row: RunGroup, of_weights: Callable[[dict[str, float]], Iterable[Any]]) -> _Key:
    """Return what rows of equal settings have in common, whatever their direction.

    Args:
        of_weights: Their items, to find equal ones; or only which there are.
    """
    config = row.config
    return (
        *(row.method, config.temporal, rules_on(config.settings)),
        canonical_json(_start(config)),
        frozenset(of_weights(config.settings["weights"])),
    )


def _start(config: RunConfig) -> Mapping[str, Any]:
    """Return what a run started from, without the hash, which no two directions share."""
    start = config.settings.get("init_from", {})
    return {key: value for key, value in start.items() if key != "hash"}


def _usual_weights(direction: DirectionRuns) -> Mapping[str, float]:
    """Return the weights that a direction has where none is given."""
    # Without rows there is nothing to hold against them.
    base = base_of(direction.rows[0].config) if direction.rows else direction.benchmark
    of_direction = direction_weights(base, direction.source, direction.target)
    return {**default_weights(), **of_direction.values}


def _equal(
    one: RunGroup, other: RunGroup, usual: Mapping[str, float], usual_there: Mapping[str, float]
) -> bool:
    """Return whether rows have one recipe, and weights that are equal or as in their direction."""
    ours, theirs = (row.config.settings["weights"] for row in (one, other))
    return all(
        ours[name] == theirs[name]
        or (ours[name], theirs[name]) == (usual.get(name), usual_there.get(name))
        for name in ours
    ) and not recipe_apart(one, other)


def rules_beside(rule: str, rules: Sequence[str]) -> list[str]:
    """Return a rule, and those of others for which there is room beside it."""
    return [rule, *(name for name in ("last", "im", ORACLE) if name in rules and name != rule)]


def named_lines(lines: Sequence[Matched]) -> Iterator[tuple[Line, Matched]]:
    """Yield each line after its method and temporal module; rows of one name are told apart."""
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
    for line, row, variant in zip(lines, rows, variants_of(configs), strict=True):
        yield (words(replace(row, variant=variant).called), words(row.config.temporal)), line


def _is_focal(line: Matched, analyses: Sequence[Analysis]) -> bool:
    return any(analyses[number].focal is row for number, row in line.items())


def _cells(line: Matched, analyses: Sequence[Analysis], rule: str, *, missing: int) -> Line:
    """Return a row by a rule; `missing` directions of the benchmark were not run at all."""
    rows = [line.get(number) for number in range(len(analyses))]
    cells = [
        _cell(row, analysis if rule == analysis.rule else None, rule)
        for row, analysis in zip(rows, analyses, strict=True)
    ]
    whole = _mean_cells(rows, rule, missing)
    oracle = () if analyses[0].rule == ORACLE else _mean_cells(rows, ORACLE, missing)[:1]
    return *cells, *whole, *oracle


def _mean_cells(rows: Sequence[RunGroup | None], rule: str, missing: int) -> tuple[Cell, Cell]:
    """Return the mean over all directions and its interval, or in how many there is a figure."""
    there = [row for row in rows if row is not None and row.percents(rule)]
    if missing or len(there) < len(rows):
        return Cell(f"{MISSING.text} ({len(there)} of {len(rows) + missing})"), MISSING
    targets = [row.config.target for row in there]
    found = mean_interval([hits_of(row, rule) for row in there], targets)
    whole = mean(mean(row.percents(rule)) for row in there)
    return number(whole), span(found) if found else MISSING


def _measure_cell(
    line: Matched, measure: _Measure, rule: str, num_directions: int, missing: int
) -> Cell:
    """Return the mean of a further measure over all directions, where a row was run in all."""
    found = [told for row in line.values() if (told := measure(row, rule))]
    if missing or len(found) < num_directions:
        return MISSING
    return number(mean(map(mean, found)))


def _cell(row: RunGroup | None, analysis: Analysis | None, rule: str) -> Cell:
    if row is None or not row.percents(rule):
        return MISSING
    cell = over_seeds(row.percents(rule))
    found = analysis.against(row) if analysis else None
    reading = _READING[found.call] if found else ""
    return Cell(cell.text + _MARKS[reading], (*cell.values, reading))
