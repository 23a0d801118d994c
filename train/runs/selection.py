"""How an epoch is chosen: by several rules side by side, so that none is ever reported alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ta3n.common.errors import TrainingError
from ta3n.train.runs.scores import Score

LAST, ORACLE = "last", "oracle"


@dataclass(frozen=True, kw_only=True)
class EpochScores:
    """What can be chosen by after one epoch.

    Args:
        target: correct target videos; only the oracle may look at them.
        validators: label-free scores by rule, higher is better. What could not be computed is
            absent.
    """

    target: Score
    validators: Mapping[str, float] = field(default_factory=dict)

    @property
    def epoch(self) -> int:
        """From 1."""
        return self.target.epoch

    def by_rule(self) -> dict[str, float]:
        """Return every rule's score. The last epoch always has the highest one of `last`."""
        return {LAST: self.epoch, ORACLE: self.target.correct, **self.validators}


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The epoch that a rule chose.

    Args:
        rule: name of the rule.
        score: what the rule went by.
        target: correct target videos at the chosen epoch.
        uses_target_labels: whether the choice itself needed target labels.
    """

    rule: str
    score: float
    target: Score
    uses_target_labels: bool

    @property
    def epoch(self) -> int:
        """From 1."""
        return self.target.epoch


def select(history: Sequence[EpochScores]) -> dict[str, Selection]:
    """Choose an epoch by every rule.

    `last` takes the final epoch and needs no label. `oracle` takes the best epoch on the labelled
    target: the paper's protocol, which chooses on the test set. The others take the epoch with the
    highest score of a validator, without a target label. Of equals the first is taken. A rule
    without a score in any epoch is absent.

    Args:
        history: scores in the order of epochs.

    Raises:
        TrainingError: if no epoch was scored.
    """
    if not history:
        raise TrainingError("no epoch was evaluated, so none can be chosen; train at least one")
    chosen: dict[str, Selection] = {}
    for scores in history:
        for rule, score in scores.by_rule().items():
            if rule not in chosen or score > chosen[rule].score:
                chosen[rule] = Selection(
                    rule=rule,
                    score=score,
                    target=scores.target,
                    uses_target_labels=rule == ORACLE,
                )
    return chosen
