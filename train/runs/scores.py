"""Scores on the labelled target, kept apart from training.

Shapes: N target validation videos, K segments, D feature width, V video feature width, C classes.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ta3n.common.errors import DataConflictError
from ta3n.train.model.model import TA3N
from ta3n.train.model.prediction import Observation, observe


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
        outputs: what the model made of the videos, on its device: nothing in it comes from a label.
    """

    score: Score
    class_correct: tuple[int, ...]
    class_total: tuple[int, ...]
    logits: Tensor
    outputs: Observation


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
        outputs = observe(model, self._features, self._batch_size)
        logits = outputs.logits.cpu()
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
            outputs=outputs,
        )

    def _per_class(self, labels: Tensor) -> tuple[int, ...]:
        return tuple(torch.bincount(labels, minlength=self._num_classes).tolist())
