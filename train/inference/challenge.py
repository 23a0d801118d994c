"""The accuracies of EPIC-KITCHENS-100 that runs have on its segments, in a table over seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any, Literal

from ta3n.train.epic.metrics import (
    ALL,
    MEASURES,
    Figure,
    Measure,
    TailClasses,
    labelled_segments,
    tell_figures,
)
from ta3n.train.epic.ranking import ActionPrior, ranks_of, read_prior, read_tail
from ta3n.train.runs.tables import spread

if TYPE_CHECKING:
    from rich.table import Table

    from ta3n.train.inference.evaluation import RunEvaluation

Figures = Mapping[str, Mapping[Measure, Figure]]

_OF_ACTIONS = (
    "evaluation ranks pairs by verb score + noun score, as the challenge does; baseline asks for "
    "the verb among 5 and the noun among 5, as the log of its baseline does"
)
_NOTES = (
    "accuracy in percent, mean ± standard deviation over seeds; in brackets the floor: what naming "
    "the most frequent classes of the same segments comes to, whatever is seen",
    _OF_ACTIONS,
    "class means are no figure of the challenge",
)


@dataclass(frozen=True, kw_only=True)
class ChallengeFigures:
    """What there is to be told of runs with the heads of the challenge.

    Attributes:
        figures: Of each run, by group of segments; empty where they have no labels.
        prior: Of actions, in words.
        has_tail: Whether lists of tail classes were given.
    """

    figures: tuple[Figures, ...]
    prior: str
    has_tail: bool

    @property
    def records(self) -> list[dict[str, Any]]:
        """The figures of each run as plain values."""
        return [
            {
                "action_prior": self.prior,
                "figures": {
                    group: {measure.name: figure._asdict() for measure, figure in told.items()}
                    for group, told in figures.items()
                },
            }
            for figures in self.figures
        ]

    @property
    def notes(self) -> tuple[str, ...]:
        """What the figures are, a line each."""
        if not any(self.figures):
            return ("the videos have no labels: there is no accuracy",)
        tail = (
            "a segment is of the tail classes of actions if its verb or its noun is"
            if self.has_tail
            else "no figures of tail classes: their lists are in the annotations, --annotations DIR"
        )
        if not any(measure.of == "action" for measure in self.figures[0][ALL]):
            # One head alone is trained.
            return (*(n for n in _NOTES if n != _OF_ACTIONS), *([] if self.has_tail else [tail]))
        return (*_NOTES, tail, f"prior of actions: {self.prior}")

    def table(self) -> "Table":
        """Return the table of a terminal, with a line for each group of segments."""
        from rich.table import Column, Table

        headings = ("segments", *(measure.name for measure in MEASURES))
        table = Table(*(Column(heading) for heading in headings))
        for group, figures in self.figures[0].items():
            cells = (
                _cell([each[group][measure] for each in self.figures])
                if measure in figures
                else "-"
                for measure in MEASURES
            )
            table.add_row(group, *cells)
        return table


def _cell(figures: Sequence[Figure]) -> str:
    return f"{spread([f.percent for f in figures])} ({mean(f.floor for f in figures):.2f})"


def tell_challenge(
    evaluations: Sequence["RunEvaluation"],
    features: Path,
    annotations: Path | None,
    *,
    prior: Literal["train", "none"],
) -> ChallengeFigures:
    """Return the accuracies of runs on the same segments.

    Args:
        evaluations: Of runs with the heads of the challenge.
        features: Folder of the imported features, for the prior.
        annotations: Folder of the annotations, which have the lists of tail classes.
        prior: `train` weighs pairs by their occurrence in source_train.

    Raises:
        DataMissingError: There are no annotations, or no segments for the prior.
        DataConflictError: The annotations are not of the published form, or scores not finite.
    """
    tail = read_tail(annotations)
    weights = read_prior(features, evaluations[0].run.heads) if prior == "train" else None
    return ChallengeFigures(
        figures=tuple(_figures_of(each, tail, weights) for each in evaluations),
        prior=weights.note if weights else "none",
        has_tail=tail is not None,
    )


def _figures_of(
    evaluation: "RunEvaluation", tail: TailClasses | None, prior: ActionPrior | None
) -> Figures:
    ranks = ranks_of(evaluation.logits, evaluation.labels, evaluation.run.heads, prior)
    names = [video.clip.path for video in evaluation.videos]
    return tell_figures(labelled_segments(names, evaluation.labels.numpy(), ranks), tail)
