"""Scores on the labelled target, kept apart from training, and how an epoch is chosen.

Shapes: N target validation videos, K segments, D feature width, C classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ta3n.common.errors import DataConflictError, TrainingError
from ta3n.train.model import TA3N
from ta3n.train.prediction import predict

Rule = Literal["last", "oracle"]


@dataclass(frozen=True, kw_only=True)
class Score:
    """Correct videos of one epoch, as whole numbers so that no rounding is ever compared."""

    epoch: int
    correct: int
    total: int

    @property
    def accuracy(self) -> float:
        """Share of correct videos, between 0 and 1."""
        return self.correct / self.total


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """One look at the labelled target.

    Args:
        score: correct and total over all videos.
        class_correct: correct videos of each class, length C.
        class_total: videos of each class, length C.
        logits: [N, C] on the CPU, in the order of the evaluator's videos.
    """

    score: Score
    class_correct: tuple[int, ...]
    class_total: tuple[int, ...]
    logits: Tensor


class Evaluator:
    """The only object that holds target labels.

    Args:
        features: target validation features, [N, K, D].
        labels: class indices, int64 [N].
        num_classes: C.
        batch_size: videos per forward pass.
        label_reads: reads that a resumed run had already made.

    Attributes:
        label_reads: how many single target labels were read so far: N for each evaluation.

    Raises:
        DataConflictError: if features and labels do not fit together.
    """

    def __init__(
        self,
        features: Tensor,
        labels: Tensor,
        *,
        num_classes: int,
        batch_size: int = 512,
        label_reads: int = 0,
    ) -> None:
        if len(features) == 0 or labels.shape != features.shape[:1] or labels.dtype != torch.int64:
            raise DataConflictError(
                f"target labels are {labels.dtype} {list(labels.shape)} for {len(features)}"
                " videos; expected torch.int64, one for each video, and at least one video"
            )
        self._features = features
        self._labels = labels.cpu()
        self._num_classes = num_classes
        self._batch_size = batch_size
        self.label_reads = label_reads

    def read_labels(self) -> Tensor:
        """Return the labels [N]: the one way to them, so that no read goes uncounted."""
        self.label_reads += len(self._labels)
        return self._labels

    def evaluate(self, model: TA3N, epoch: int) -> Evaluation:
        """Score a model on the target.

        Args:
            model: as it is at the end of an epoch; left untouched.
            epoch: the number of that epoch, from 1.

        Raises:
            DataConflictError: if a label is no class of the benchmark.
        """
        logits = predict(model, self._features, self._batch_size).cpu()
        labels = self.read_labels()
        if int(labels.min()) < 0 or int(labels.max()) >= self._num_classes:
            raise DataConflictError(
                f"target labels run from {int(labels.min())} to {int(labels.max())}, but there are"
                f" {self._num_classes} classes; check the class map of the benchmark"
            )
        hits = labels[logits.argmax(dim=1) == labels]
        return Evaluation(
            score=Score(epoch=epoch, correct=len(hits), total=len(labels)),
            class_correct=self._per_class(hits),
            class_total=self._per_class(labels),
            logits=logits,
        )

    def _per_class(self, labels: Tensor) -> tuple[int, ...]:
        return tuple(torch.bincount(labels, minlength=self._num_classes).tolist())


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The epoch that a rule chose.

    Args:
        rule: name of the rule.
        score: of the chosen epoch.
        uses_target_labels: whether the choice itself needed target labels.
    """

    rule: Rule
    score: Score
    uses_target_labels: bool


def select(history: Sequence[Score]) -> dict[Rule, Selection]:
    """Choose an epoch by every rule, side by side, so that none is ever reported alone.

    `last` takes the final epoch and needs no label. `oracle` takes the best epoch on the labelled
    target, the first in case of ties: the paper's protocol, which chooses on the test set.

    Args:
        history: scores in the order of epochs.

    Raises:
        TrainingError: if no epoch was scored.
    """
    if not history:
        raise TrainingError("no epoch was evaluated, so none can be chosen; train at least one")
    best = max(history, key=lambda score: score.correct)  # max keeps the first of equals
    return {
        "last": Selection(rule="last", score=history[-1], uses_target_labels=False),
        "oracle": Selection(rule="oracle", score=best, uses_target_labels=True),
    }
