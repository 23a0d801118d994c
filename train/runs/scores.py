"""What is measured after each epoch: on the labelled target, kept apart from training, and without.

Shapes: N target validation videos, S source training videos, M held-out source videos, K segments,
D feature width, C classes.
"""

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from ta3n.common.errors import DataConflictError
from ta3n.train.data.features import RunData
from ta3n.train.model.aligned import AlignedModel
from ta3n.train.model.model import TA3N
from ta3n.train.model.prediction import BATCH_SIZE, Observation, observe
from ta3n.train.runs.selection import TargetScore
from ta3n.train.validators.rules import Score, ValidatorInputs, score_by_rule

# More source training videos than this make an epoch slower and hardly move a score.
_MAX_SOURCE_VIDEOS = 128


class Evaluation(NamedTuple):
    """One look at the labelled target.

    Attributes:
        logits: [N, C] on the CPU, in the order of the evaluator's videos.
        outputs: What the model made of the videos, on its device: nothing in it comes from a label.
    """

    score: TargetScore
    logits: Tensor
    outputs: Observation


class Evaluator:
    """The only object that holds target labels.

    Args:
        features: Of target validation videos, [N, K, D].
        labels: Class indices below C, int64 [N].

    Attributes:
        label_reads: How many single target labels were read so far: N for each evaluation.

    Raises:
        DataConflictError: If features and labels do not fit together.
    """

    def __init__(
        self, features: Tensor, labels: Tensor, *, num_classes: int, batch_size: int = BATCH_SIZE
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
        self.label_reads = 0

    def read_labels(self) -> Tensor:
        """Return the labels [N]: the one way to them, so that no read goes uncounted."""
        self.label_reads += len(self._labels)
        return self._labels

    def evaluate(self, model: TA3N | AlignedModel, epoch: int) -> Evaluation:
        """Score a model, which is left untouched, at the end of an epoch (from 1).

        Raises:
            DataConflictError: If a label is no class of the benchmark.
        """
        outputs = observe(model, self._features, self._batch_size)
        logits = outputs.logits.cpu()
        labels = self.read_labels()
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high >= self._num_classes:
            raise DataConflictError(
                f"target labels run from {low} to {high}, but there are {self._num_classes}"
                " classes; check the class map of the benchmark"
            )
        correct = int((logits.argmax(dim=1) == labels).sum())
        score = TargetScore(epoch=epoch, correct=correct, total=len(labels))
        return Evaluation(score=score, logits=logits, outputs=outputs)


def label_free_scores(
    model: TA3N | AlignedModel, tested: Observation, data: RunData
) -> dict[str, Score]:
    """Return the scores of all label-free rules whose inputs a run has, higher is better.

    The model is left untouched. The rules look at the target videos of the run's data that are
    theirs, or at `tested`, what the model makes of the target validation videos. Without held-out
    source videos, as where the target is learned from, the rules that need the source have no
    score.
    """
    unlabelled = data.rule_features
    target = tested if unlabelled is None else observe(model, unlabelled)
    inputs = ValidatorInputs(target_logits=target.logits, target_features=target.features)
    if data.held_out is not None:
        # Evenly spread, so that all classes take part, and the same in every epoch and run.
        every = -(-data.training.num_source // _MAX_SOURCE_VIDEOS)
        source = data.training.source_features[::every]
        held_out = observe(model, data.held_out.features, are_source=True)
        inputs = replace(
            inputs,
            source_features=observe(model, source, are_source=True).features,
            held_out_logits=held_out.logits,
            held_out_features=held_out.features,
            held_out_labels=data.held_out.labels,
        )
    return score_by_rule(inputs)
