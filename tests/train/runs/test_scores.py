"""Target labels are read by the evaluator alone, counted, and never reach the weights."""

from collections.abc import Callable

import pytest
import torch

from ta3n.common.errors import DataConflictError
from ta3n.train.loop.batches import TrainingData
from ta3n.train.loop.engine import Trainer
from ta3n.train.runs.scores import Evaluator

MakeData = Callable[..., TrainingData]
MakeTrainer = Callable[..., Trainer]


def make_evaluator(data: TrainingData, labels: torch.Tensor) -> Evaluator:
    assert data.target_features is not None
    return Evaluator(data.target_features, labels, num_classes=3, batch_size=4)


def test_scores_are_whole_videos_and_reads_are_counted(
    make_trainer: MakeTrainer, make_data: MakeData
) -> None:
    data, trainer = make_data(), make_trainer()
    labels = torch.arange(13) % 3
    evaluator = make_evaluator(data, labels)
    assert evaluator.label_reads == 0
    for record in trainer.epochs():
        result = evaluator.evaluate(trainer.model, record.epoch)
    hits = result.logits.argmax(1) == labels
    assert (result.score.correct, result.score.total) == (int(hits.sum()), 13)
    assert result.score.percent == 100 * result.score.correct / 13
    of_class = [hits[labels == label].float().mean().item() for label in range(3)]
    assert result.score.mean_class == pytest.approx(100 * sum(of_class) / 3)
    assert evaluator.label_reads == 4 * 13


def test_scrambled_target_labels_change_the_scores_but_not_a_bit_of_the_weights(
    make_trainer: MakeTrainer, make_data: MakeData
) -> None:
    data = make_data()
    labels = torch.arange(13) % 3
    weights, scores = [], []
    for shift in (0, 1):
        trainer, evaluator = make_trainer(), make_evaluator(data, (labels + shift) % 3)
        scores.append(
            [evaluator.evaluate(trainer.model, r.epoch).score.correct for r in trainer.epochs()]
        )
        weights.append(trainer.model.state_dict())
    assert scores[0] != scores[1]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_labels_that_do_not_fit_are_refused(make_trainer: MakeTrainer, make_data: MakeData) -> None:
    data = make_data()
    with pytest.raises(DataConflictError, match="one for each video"):
        make_evaluator(data, torch.zeros(12, dtype=torch.int64))
    with pytest.raises(DataConflictError, match="class map"):
        make_evaluator(data, torch.full((13,), 3)).evaluate(make_trainer().model, 1)
