"""Accuracies of verb, noun and action by groups of segments: of runs with the heads of a challenge.

Figures are those after the last epoch, which is the one that is handed in.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from ta3n.train.epic.metrics import (
    MEASURES,
    Figure,
    Measure,
    TailClasses,
    labelled_segments,
    tell_figures,
)
from ta3n.train.report.data.collect import DirectionRuns, RunGroup
from ta3n.train.report.tables.sheet import (
    EMPTY,
    Block,
    Column,
    Line,
    Sheet,
    number,
    over_seeds,
    word_columns,
    words,
)
from ta3n.train.runs.records import Run

_Figures = Mapping[str, Mapping[Measure, Figure]]

FLOOR = "floor"


def actions_sheet(directions: Sequence[DirectionRuns], tail: TailClasses | None = None) -> Sheet:
    """Return the table, one block a direction; none for runs without such heads.

    Args:
        directions: Those whose tested videos have labels.
        tail: The tail classes, where they are known.
    """
    blocks = []
    for direction in directions:
        rows = [row for row in direction.rows if _has_ranks(row)]
        figures = [[_figures_of(run, tail) for run in row.runs] for row in rows]
        lines = tuple(_lines([row.label for row in rows], figures))
        blocks += [Block(label=direction.label, lines=lines)] if rows else []
    return Sheet(
        name="actions",
        title="Verb, noun and action",
        caption="Accuracy in percent on the tested segments after the last epoch, mean ± standard "
        "deviation over seeds. Floor: what naming the most frequent classes of the same segments "
        "comes to, whatever is seen.",
        columns=(
            *word_columns("segments", "row"),
            *(Column(m.name, (f"{m.name}_percent", f"{m.name}_sd")) for m in MEASURES),
            Column("number", ("num_segments",)),
        ),
        blocks=tuple(blocks),
        notes=(
            "Top-5 of actions has two definitions. Evaluation: pairs of verb and noun ranked by "
            "the sum of their scores, as by the challenge; baseline: verb among the first 5 and "
            "noun among the first 5, as in the log of its baseline. There is no prior of actions.",
            "Tail classes are not told: no lists of them were given."
            if tail is None
            else "Tail classes: those of the annotations' lists; of actions the segments whose "
            "verb or noun is one, whose number is told.",
            "Class means are no figure of the challenge.",
        ),
    )


def _has_ranks(row: RunGroup) -> bool:
    """Say whether every seed keeps them: only with the heads of the challenge, and not older."""
    return all(video.ranks for run in row.runs for video in run.predictions)


def _figures_of(run: Run, tail: TailClasses | None) -> _Figures:
    videos = run.predictions
    ranks = {of: np.array([video.ranks[of] for video in videos]) for of in videos[0].ranks}
    labels = np.array([video.all_labels for video in videos])
    return tell_figures(labelled_segments([video.video for video in videos], labels, ranks), tail)


def _lines(labels: Sequence[str], figures: Sequence[Sequence[_Figures]]) -> Iterator[Line]:
    """Yield the lines of a direction: for each group of segments its floor, then every row.

    Args:
        labels: Of the rows.
        figures: Of each row by seed.
    """
    for group in dict.fromkeys(group for row in figures for group in row[0]):
        floors = {m: figure for row in figures for m, figure in row[0].get(group, {}).items()}
        total = number(max(figure.total for figure in floors.values()), 0)
        floor = (over_seeds([floors[m].floor]) if m in floors else EMPTY for m in MEASURES)
        yield words(group), words(FLOOR), *floor, total
        for label, row in zip(labels, figures, strict=True):
            cells = (
                over_seeds([seed[group][m].percent for seed in row if m in seed[group]])
                for m in MEASURES
            )
            yield words(group), words(label), *cells, total
