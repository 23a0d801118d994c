"""What is measured after each epoch: on the labelled target, kept apart from training, and without.

Shapes: N target validation videos, S source training videos, M held-out source videos, K segments,
D feature width, C classes, H trained heads.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from ta3n.common.errors import DataConflictError
from ta3n.datasets.benchmarks.benchmark import UNLABELLED
from ta3n.train.data.features import RunData
from ta3n.train.methods.heads import ClassHead, columns_of, shares_of
from ta3n.train.methods.rejection import Rejection
from ta3n.train.model.aligned import AlignedModel
from ta3n.train.model.model import TA3N
from ta3n.train.model.prediction import BATCH_SIZE, Observation, classes_of, observe
from ta3n.train.model.videos import Videos
from ta3n.train.runs.selection import TargetScore, mean_class_percent, open_set_percents
from ta3n.train.validators.rules import Score, ValidatorInputs, score_by_rule

# More source training videos than this make an epoch slower and hardly move a score.
_MAX_SOURCE_VIDEOS = 128
# Benchmarks with several heads are large, and soft neighbourhood density looks at every pair.
_MAX_TARGET_VIDEOS = 4096


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
        labels: Class indices below C, int64 [N], or [N, heads]; -1 where there is none.
        heads: Where there are several.
        rejection: How unknown videos are told, where there are any.

    Attributes:
        label_reads: How many target videos' labels were read so far: all N for each evaluation.

    Raises:
        DataConflictError: If features and labels do not fit together.
    """

    def __init__(
        self,
        features: Videos,
        labels: Tensor,
        *,
        num_classes: int,
        heads: Sequence[ClassHead] = (),
        batch_size: int = BATCH_SIZE,
        rejection: Rejection | None = None,
    ) -> None:
        shape = (len(features), len(heads)) if heads else (len(features),)
        if len(features) == 0 or labels.shape != shape or labels.dtype != torch.int64:
            raise DataConflictError(
                f"target labels are {labels.dtype} {list(labels.shape)} for {len(features)}"
                " videos; expected torch.int64, one for each video, and at least one video"
            )
        self._features = features
        self._labels = labels.cpu()
        self._num_classes = num_classes
        self._rejection = rejection
        self._heads = tuple(heads)
        self._trained = [place for place, head in enumerate(heads) if head.weight]
        self._batch_size = batch_size
        self.label_reads = 0

    def read_labels(self) -> Tensor:
        """Return the labels, [N] or [N, heads]: the one way to them, so that no read is uncounted.

        An unlabelled video has none to be read.
        """
        unlabelled = int((self._labels == UNLABELLED).all(dim=1).sum()) if self._heads else 0
        self.label_reads += len(self._labels) - unlabelled
        return self._labels

    def evaluate(self, model: TA3N | AlignedModel, epoch: int) -> Evaluation:
        """Score a model, which is left untouched, at the end of an epoch (from 1).

        Raises:
            DataConflictError: If a label is no class of the benchmark.
        """
        outputs = observe(model, self._features, self._batch_size)
        logits = outputs.logits.cpu()
        labels = self.read_labels()
        score = self._score_heads(logits, labels, epoch) if self._heads else None
        return Evaluation(
            score=score or self._score(logits, labels, epoch), logits=logits, outputs=outputs
        )

    def _score(self, logits: Tensor, labels: Tensor, epoch: int) -> TargetScore:
        low, high = int(labels.min()), int(labels.max())
        unknown = -1 if self._rejection is None else self._rejection.label
        if low < 0 or (high >= self._num_classes and high != unknown):
            raise DataConflictError(
                f"target labels run from {low} to {high}, but there are {self._num_classes}"
                " classes; check the class map of the benchmark"
            )
        predicted = classes_of(logits, rejection=self._rejection)
        told = labels.tolist(), predicted.tolist()
        return TargetScore(
            epoch=epoch,
            correct=int((predicted == labels).sum()),
            total=len(labels),
            mean_class=mean_class_percent(*told),
            open_set={} if self._rejection is None else open_set_percents(*told, unknown),
        )

    def _score_heads(self, logits: Tensor, labels: Tensor, epoch: int) -> TargetScore:
        known = (labels != UNLABELLED).all(dim=1)
        right = (classes_of(logits, self._heads) == labels[:, self._trained])[known]  # [N, H]
        names = [self._heads[place].name for place in self._trained]
        return TargetScore(
            epoch=epoch,
            correct=int(right.all(dim=1).sum()),
            total=int(known.sum()),
            by_head=dict(zip(names, right.sum(dim=0).tolist(), strict=True)),
        )


def label_free_scores(
    model: TA3N | AlignedModel,
    tested: Observation,
    data: RunData,
    heads: Sequence[ClassHead] = (),
) -> dict[str, Score]:
    """Return the scores of all label-free rules whose inputs a run has, higher is better.

    The model is left untouched. The rules look at the target videos of the run's data that are
    theirs, or at `tested`, what the model makes of the target validation videos. Without held-out
    source videos, as where the target is learned from, the rules that need the source have no
    score. With several heads a score is the mean over those that are trained, with their shares,
    withheld where that of any is, and of at most `_MAX_TARGET_VIDEOS` evenly spread target videos.
    """
    unlabelled = data.rule_features
    videos = tested.logits if unlabelled is None else unlabelled
    spread = slice(None, None, -(-len(videos) // _MAX_TARGET_VIDEOS) if heads else None)
    if unlabelled is None:
        target = Observation(tested.logits[spread], tested.features[spread])
    else:
        target = observe(model, unlabelled[spread])
    source, held_out = None, None
    if data.held_out is not None:
        # Evenly spread, so that all classes take part, and the same in every epoch and run.
        every = -(-data.training.num_source // _MAX_SOURCE_VIDEOS)
        source = observe(model, data.training.source_features[::every], are_source=True)
        held_out = observe(model, data.held_out.features, are_source=True)

    def scores(columns: slice, place: int | None = None) -> dict[str, Score]:
        """Return the scores of some columns of the logits, and one of the labels."""
        inputs = ValidatorInputs(
            target_logits=target.logits[:, columns], target_features=target.features
        )
        if data.held_out is not None and source is not None and held_out is not None:
            labels = data.held_out.labels
            inputs = replace(
                inputs,
                source_features=source.features,
                held_out_logits=held_out.logits[:, columns],
                held_out_features=held_out.features,
                held_out_labels=labels if place is None else labels[:, place],
            )
        return score_by_rule(inputs)

    if not heads:
        return scores(slice(None))
    names, columns = [head.name for head in heads], columns_of(heads)
    by_head = [
        (share, scores(columns[name], names.index(name)))
        for name, share in shares_of(heads).items()
    ]
    rules = [rule for rule in by_head[0][1] if all(rule in of_head for _, of_head in by_head)]
    return {rule: _mean([(share, of_head[rule]) for share, of_head in by_head]) for rule in rules}


def _mean(scores: Sequence[tuple[float, Score]]) -> Score:
    """Return the mean of the scores of several heads, each with its share."""
    measures = scores[0][1].measures
    return Score(
        value=sum(share * score.value for share, score in scores),
        measures={
            name: sum(share * score.measures[name] for share, score in scores) for name in measures
        },
        withheld=next((score.withheld for _, score in scores if score.withheld), ""),
    )
