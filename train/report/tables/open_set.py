"""The table of directions whose target has unknown classes: known and unknown accuracy, H-score."""

from collections.abc import Iterator, Sequence

from ta3n.datasets.benchmarks.benchmark import LabelSets
from ta3n.train.report.data.collect import DirectionRuns
from ta3n.train.report.tables.sheet import Block, Column, Line, Sheet, number, over_seeds, words
from ta3n.train.runs.records import label_sets_of
from ta3n.train.runs.selection import MEASURES_OF_OPEN_SET, OPEN_SET


def open_set_sheet(directions: Sequence[DirectionRuns], rules: Sequence[str]) -> Sheet:
    """Return the table of the open sets among directions, a line for each row and rule."""
    opened = [each for each in directions if each.rows[0].rejection is not None]
    told = dict.fromkeys(r.rejection.rule for d in opened for r in d.rows if r.rejection)
    return Sheet(
        name="open-set",
        title="Known and unknown classes",
        caption="In percent on the tested target videos, mean ± standard deviation over n seeds. "
        f"{MEASURES_OF_OPEN_SET}.",
        columns=(
            Column("method", ("method",), words=True),
            Column("temporal", ("temporal",), words=True),
            Column("rule", ("rule",), words=True),
            *(Column(head, (f"{name}_percent", f"{name}_sd")) for name, head in OPEN_SET.items()),
            Column("n", ("num_seeds",)),
        ),
        blocks=tuple(
            Block(label=direction.label, lines=tuple(_lines(direction, rules)))
            for direction in opened
        ),
        notes=tuple(f"{text[0].upper()}{text[1:]}." for text in told),
    )


def _lines(direction: DirectionRuns, rules: Sequence[str]) -> Iterator[Line]:
    for row in direction.rows:
        called = f"{row.method} ({row.variant})" if row.variant else row.method
        for rule in (rule for rule in rules if rule in row.rules):
            found = row.open_set(rule)
            cells = [over_seeds([each[name] for each in found]) for name in OPEN_SET]
            about = words(called), words(row.config.temporal), words(rule)
            yield (*about, *cells, number(len(row.runs), 0))


def label_sets_notes(direction: DirectionRuns) -> list[str]:
    """Return what is to be borne in mind where the target has other classes than the source."""
    row = direction.rows[0]
    sets = label_sets_of(row.config)
    if sets is None:
        return []
    num_known = len(row.classes) - (row.rejection is not None)
    return [*_of_partial(sets, num_known), *_of_open(sets), _MADE_FOR]


def _of_partial(sets: LabelSets, num_known: int) -> Iterator[str]:
    if sets.target_classes:
        yield (
            f"The target is partial: it has {len(sets.target_classes)} of the {num_known} classes "
            f"of the source ({', '.join(sets.target_classes)}), and the classifier has all. The "
            "rules im, bnm and corr_c prefer predictions that are spread over all classes."
        )


def _of_open(sets: LabelSets) -> Iterator[str]:
    if sets.unknown:
        yield (
            f"The target is open: {', '.join(sets.unknown)} are in no source video, and one class, "
            "unknown, among those that are tested. Accuracy is of all videos, unknown ones too; "
            "the table of known and unknown classes has the measures of the setting."
        )


_MADE_FOR = (
    "The methods here are made for equal classes in both domains, and align what has no "
    "counterpart too; they run all the same. Figures are not to be held against those of the "
    "closed set, whose tests have other videos."
)
