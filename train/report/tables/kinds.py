"""Kinds of features side by side: rows down, kinds across, nothing averaged over them."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from ta3n.common.errors import shorten
from ta3n.train.report.data.collect import DirectionRuns, RunSet
from ta3n.train.report.tables.matrix import match_rows, named_lines, rules_beside
from ta3n.train.report.tables.rows import rule_notes
from ta3n.train.report.tables.sheet import (
    Block,
    Column,
    Line,
    Sheet,
    over_seeds,
    word_columns,
    words,
)
from ta3n.train.runs.records import label_sets_of

_SHOWN_VIDEOS = 3


def kinds_sheet(kinds: Sequence[RunSet], rules: Sequence[str], rule: str) -> Sheet:
    """Return the table of every row on every kind of features, a block for each direction.

    Args:
        kinds: At least two; directions that only one of them has are left out.
        rules: Selection rules to show, as far as there is room.
        rule: The first of them.
    """
    names = [each.kind for each in kinds]
    shown = rules_beside(rule, rules)
    by_key: dict[object, dict[str, DirectionRuns]] = defaultdict(dict)
    for each in kinds:
        for direction in filter(lambda d: d.is_labelled, each.directions):
            sets = label_sets_of(direction.rows[0].config)
            by_key[direction.key, sets][each.kind] = direction
    several = [found for found in by_key.values() if len(found) > 1]
    return Sheet(
        name="kinds",
        title="Kinds of features side by side",
        caption="Accuracy in percent on the target validation videos, mean ± standard deviation "
        "over seeds, of rows with the same settings on features of each kind.",
        columns=(
            *word_columns("method", "temporal", "rule"),
            *(Column(name, (f"{name}_percent", f"{name}_sd")) for name in names),
        ),
        blocks=tuple(
            Block(label=_label(found), lines=tuple(_lines(found, names, shown)))
            for found in several
        ),
        notes=(
            "Nothing is averaged over kinds of features, and no test compares them: intervals and "
            "tests are in the tables of each kind.",
            *filter(None, map(_videos_note, several)),
            *rule_notes([row for d in several for each in d.values() for row in each.rows], shown),
        )
        if several
        else (),
    )


def _label(found: Mapping[str, DirectionRuns]) -> str:
    """Return what a direction is called, whatever its features."""
    return replace(next(iter(found.values())), kind="").label


def _lines(
    found: Mapping[str, DirectionRuns], names: Sequence[str], rules: Sequence[str]
) -> Iterator[Line]:
    places = {kind: number for number, kind in enumerate(found)}
    for about, line in named_lines(match_rows([*found.values()])):
        for rule in rules:
            rows = [line.get(places.get(name, -1)) for name in names]
            cells = [over_seeds(row.percents(rule) if row else []) for row in rows]
            if any(cell.text for cell in cells):
                yield (*about, words(rule), *cells)


def _videos_note(found: Mapping[str, DirectionRuns]) -> str:
    """Say where kinds were tested on other videos, as where clips failed with one alone."""
    tested = {
        kind: {prediction.video for prediction in direction.rows[0].runs[0].predictions}
        for kind, direction in found.items()
    }
    every = set().union(*tested.values())
    lacking = {kind: sorted(every - videos) for kind, videos in tested.items() if every - videos}
    if not lacking:
        return ""
    told = (
        f"{kind} lacks {len(videos)} ({shorten(videos, _SHOWN_VIDEOS)})"
        for kind, videos in lacking.items()
    )
    return f"{_label(found)}: not all kinds were tested on the same videos: {'; '.join(told)}."
