"""Two rows held against each other: difference in accuracy, and how far it can be trusted.

Legend: N target validation videos.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import mean, stdev, variance
from typing import Literal

from ta3n.train.report.collect import Direction, Row
from ta3n.train.report.labels import METHOD_ORDER, NOT_ADAPTING

Call = Literal["ahead", "maybe ahead", "level", "maybe behind", "behind", "one seed"]

CALL_WORDS: dict[Call, str] = {
    "ahead": "beats it",
    "maybe ahead": "may be ahead",
    "level": "cannot be told apart",
    "maybe behind": "may be behind",
    "behind": "falls behind",
    "one seed": "one seed: no claim",
}
_CLEAR, _SLIGHT = 2.0, 1.0


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A row against a reference, by the `last` rule.

    Attributes:
        row: The row.
        reference: What it is held against.
        points: Mean accuracy of the row less that of the reference, in percentage points.
        videos: The same in videos.
        seeds_error: Standard error of `points` over seeds; None with one seed on either side.
        videos_error: Standard error of `points` over the N videos, paired; 0 for one video.
    """

    row: Row
    reference: Row
    points: float
    videos: float
    seeds_error: float | None
    videos_error: float

    @property
    def standard_error(self) -> float | None:
        """Both errors together, in points.

        Chance acts twice: on training (the seed) and on which videos are tested. What they share
        is counted twice, so this errs to the careful side.
        """
        return (
            None if self.seeds_error is None else sqrt(self.seeds_error**2 + self.videos_error**2)
        )

    @property
    def call(self) -> Call:
        """What the difference allows to say."""
        error = self.standard_error
        if error is None:
            return "one seed"
        if abs(self.points) > _CLEAR * error:
            return "ahead" if self.points > 0 else "behind"
        if abs(self.points) > _SLIGHT * error:
            return "maybe ahead" if self.points > 0 else "maybe behind"
        return "level"


def compare(row: Row, reference: Row) -> Comparison:
    """Hold a row against another one of the same direction."""
    ours, theirs = row.percents("last"), reference.percents("last")
    seeds_error = None
    if len(ours) > 1 and len(theirs) > 1:
        seeds_error = sqrt(variance(ours) / len(ours) + variance(theirs) / len(theirs))
    points = mean(ours) - mean(theirs)
    return Comparison(
        row=row,
        reference=reference,
        points=points,
        videos=points * row.total / 100,
        seeds_error=seeds_error,
        videos_error=_videos_error(row, reference),
    )


def _videos_error(row: Row, reference: Row) -> float:
    ours, theirs = _shares_right(row), _shares_right(reference)
    differences = [100 * (share - theirs[video]) for video, share in ours.items()]
    return stdev(differences) / sqrt(len(differences)) if len(differences) > 1 else 0.0


def _shares_right(row: Row) -> dict[str, float]:
    """Return for each video the share of seeds that classify it correctly."""
    right: dict[str, list[bool]] = {}
    for run in row.runs:
        for prediction in run.predictions:
            right.setdefault(prediction.video, []).append(prediction.last == prediction.label)
    return {video: mean(hits) for video, hits in right.items()}


def source_only_for(row: Row, direction: Direction) -> Row | None:
    """Return the source-only row with the temporal module of a row, as in the paper's Table 3."""
    if row.config.method == "source-only":
        return None
    return pick(direction.rows, "source-only", row.config.temporal)


def pick(rows: Sequence[Row], method: str, temporal: str | None = None) -> Row | None:
    """Return the row of a method with most seeds, or None; accuracy plays no part in it."""
    fitting = [
        row
        for row in rows
        if row.config.method == method and temporal in (None, row.config.temporal)
    ]
    return max(fitting, key=lambda row: len(row.runs)) if fitting else None


def focal_row(direction: Direction) -> Row | None:
    """Return the row that the report is about: TA3N, else the adapting method nearest to it.

    Nearest in the paper's order, not by accuracy: that would choose on target labels.
    """
    adapting = [row for row in direction.rows if row.config.method not in NOT_ADAPTING]
    known = [m for m in reversed(METHOD_ORDER) if pick(adapting, m)]
    names = known or [row.config.method for row in adapting]
    if not names:
        return None
    return pick(adapting, names[0], "relation") or pick(adapting, names[0])


def rivals(focal: Row, direction: Direction) -> list[Row]:
    """Return one row of every other method of the paper's Table 3 that does not see target labels.

    Of the focal row's temporal module where there is one. Ablations are no rivals.
    """
    names = [m for m in METHOD_ORDER if m not in ("target-only", focal.config.method)]
    found = [
        pick(direction.rows, name, focal.config.temporal) or pick(direction.rows, name)
        for name in names
    ]
    return [row for row in found if row is not None]
