"""How an epoch is chosen: by several rules side by side, so that none is ever reported alone.

Needs no torch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from ta3n.common.errors import TrainingError

LAST, ORACLE = "last", "oracle"
KEPT_WEIGHTS = (LAST, ORACLE, "im")
"""Rules whose weights a run keeps, where they choose an epoch."""


@dataclass(frozen=True, kw_only=True)
class TargetScore:
    """One epoch (from 1) on the labelled target, in whole videos: no rounding is ever compared."""

    epoch: int
    correct: int
    total: int

    @property
    def percent(self) -> float:
        """Accuracy in percent."""
        return 100 * self.correct / self.total


@dataclass(frozen=True, kw_only=True)
class ChosenEpoch(TargetScore):
    """The epoch that a selection rule chose, and whether the choice itself needed target labels."""

    uses_target_labels: bool


@dataclass(frozen=True, kw_only=True)
class EpochScores:
    """What can be chosen by after one epoch.

    Attributes:
        target: Correct target videos; only the oracle may look at them.
        validators: Label-free scores by rule, higher is better. What could not be computed is
            absent.
    """

    target: TargetScore
    validators: Mapping[str, float] = field(default_factory=dict)


def select(history: Sequence[EpochScores]) -> dict[str, ChosenEpoch]:
    """Choose an epoch by every rule.

    `last` takes the final epoch and needs no label. `oracle` takes the best epoch on the labelled
    target: the paper's protocol, which chooses on the test set. The others take the epoch with the
    highest score of a validator, without a target label. Of equals the first is taken. A rule
    without a score in any epoch is absent.

    Raises:
        TrainingError: If no epoch was scored.
    """
    if not history:
        raise TrainingError("no epoch was evaluated, so none can be chosen; train at least one")
    best: dict[str, tuple[float, TargetScore]] = {}
    for scores in history:
        target = scores.target
        # The last epoch always has the highest score of `last`.
        by_rule = {LAST: target.epoch, ORACLE: target.correct, **scores.validators}
        for rule, score in by_rule.items():
            if rule not in best or score > best[rule][0]:
                best[rule] = score, target
    return {
        rule: ChosenEpoch(**asdict(target), uses_target_labels=rule == ORACLE)
        for rule, (_, target) in best.items()
    }
