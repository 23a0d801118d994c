"""What is wrong with a run that goes on without an error: it learns nothing, or all comes to one.

Nothing here looks at a target label. Shapes: N target validation videos, V feature width.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ta3n.common.errors import shorten

if TYPE_CHECKING:
    from torch import Tensor

    from ta3n.train.loop.measurements import EpochRecord

AT_CHANCE, ONE_CLASS, DEAD, EXPLODING = "at chance", "one class", "dead", "exploding"

_FIRST_EPOCH = 5
"""What an epoch before it shows may be no more than a slow start."""
_ABOVE_CHANCE = 0.1
"""Of the way from guessing to telling all, what has to be passed."""
_FEW_VIDEOS = 8
_EXPLODED = 1e4
"""Largest gradient before clipping, or value of a feature, that a run that learns may have."""


@dataclass(frozen=True)
class RunWatch:
    """Looks at every epoch of a run.

    Args:
        guessed: Share of the source training videos that guessing tells, see `guessing`.
        magnitude: Root mean square of a value of the source's features.
        classes: How many there are to tell apart.
        epochs: That the run takes.
        aligns: Whether a loss looks at unlabelled target videos.
        told: Kinds of trouble that were logged.
    """

    guessed: float
    magnitude: float
    classes: int
    epochs: int = 30
    aligns: bool = True
    told: set[str] = field(default_factory=set)

    def look(
        self, record: "EpochRecord", predicted: Sequence[Any], features: "Tensor | None" = None
    ) -> dict[str, str]:
        """Return what is wrong after an epoch, by kind; empty if nothing is.

        Args:
            record: Of the epoch.
            predicted: The class of each target validation video, or those by its heads.
            features: Of these videos, [N, V].
        """
        if record.epoch < min(_FIRST_EPOCH, self.epochs):
            return {}
        found = {}
        least = self.guessed + _ABOVE_CHANCE * (1 - self.guessed)
        told = record.source_accuracy
        learns = told is None or told >= least
        if told is not None and not learns:
            found[AT_CHANCE] = (
                f"{100 * told:.0f} % of its own training videos are told, and guessing tells "
                f"{100 * self.guessed:.0f} %; {self._cause(record)}"
            )
        if self.classes > 1 and len(predicted) >= _FEW_VIDEOS and len(set(predicted)) == 1:
            found[ONE_CLASS] = (
                f"all {len(predicted)} target videos are put into one class"
                f"{self._why_one_class(learns)}"
            )
        largest = max(record.grad_norm, 0.0 if features is None else float(features.abs().max()))
        if largest > _EXPLODED:
            found[EXPLODING] = (
                f"a gradient's norm or a feature's value is {largest:.1e}; lower --learning-rate, "
                "or scale the features by --feature-scale standard"
            )
        if features is not None and len(features) >= _FEW_VIDEOS and not _differ(features):
            found[DEAD] = (
                "all target videos have the same feature, as of a layer that is dead; lower "
                "--learning-rate, or scale the features by --feature-scale standard"
            )
        return found

    def news(self, found: Mapping[str, str]) -> list[str]:
        """Return what was not told before."""
        fresh = [f"{kind}: {text}" for kind, text in found.items() if kind not in self.told]
        self.told.update(found)
        return fresh

    def _why_one_class(self, learns: bool) -> str:
        if not learns:
            return ", as nothing is learned"
        if self.aligns:
            return "; the likely cause is a loss that looks at the target: lower --weight"
        return ", as no loss adapts to them: what is learned does not carry over"

    def _cause(self, record: "EpochRecord") -> str:
        rate = f"--learning-rate (now {record.learning_rate:.2g})"
        if record.grad_norm > 1:
            return f"the steps may be too large: lower {rate} or loss weights"
        return (
            f"with features of this scale (root mean square of a value {self.magnitude:.2g}) the "
            f"rate is likely too low: scale them by --feature-scale standard, or raise {rate}"
        )


def guessing(labels: Sequence[Any]) -> float:
    """Return the share that is told by calling every video what most of them are."""
    return max(Counter(labels).values()) / len(labels) if labels else 0.0


def _differ(features: "Tensor") -> bool:
    """Say whether the features of videos differ by more than rounding, as a part of their size."""
    spread = (features - features[:1]).abs().max()
    return bool(spread > 1e-5 * features.abs().max())


def trouble_notes(runs: Iterable[tuple[str, Mapping[int, Mapping[str, str]]]]) -> list[str]:
    """Return a line for each row and kind of trouble that some of its runs are in.

    Args:
        runs: What a row is called, and by seed what is wrong with its last epoch by kind.
    """
    notes = []
    for row, by_seed in runs:
        kinds: dict[str, list[int]] = {}
        for seed, found in by_seed.items():
            for kind in found:
                kinds.setdefault(kind, []).append(seed)
        for kind, seeds in kinds.items():
            text = by_seed[seeds[0]][kind]
            named = f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
            notes.append(f"{row}, {named}: {kind}: {text}.")
    return notes


def trouble_summary(runs: Iterable[tuple[str, Mapping[int, Mapping[str, str]]]]) -> list[str]:
    """Return a line for each kind of trouble, for more rows than can be told one by one.

    Args:
        runs: As for `trouble_notes`.
    """
    kinds: dict[str, list[tuple[str, str]]] = {}
    for row, by_seed in runs:
        for found in by_seed.values():
            for kind, text in found.items():
                kinds.setdefault(kind, []).append((row, text))
    return [
        f"{kind}: {len(found)} run{'s' if len(found) > 1 else ''} of "
        f"{shorten(dict.fromkeys(row for row, _ in found))}, the first: {found[0][1]}."
        for kind, found in kinds.items()
    ]
