"""If this breaks, a curve of domain accuracy or attention shows something that did not happen."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from ta3n.train.loop.batches import TrainingData
from ta3n.train.loop.engine import Trainer
from ta3n.train.loop.measurements import measure, read_tables, split_means
from ta3n.train.loop.objective import reversal_coefficients, step_features
from ta3n.train.model.model import ModelOutput

MakeData = Callable[..., TrainingData]
MakeTrainer = Callable[..., Trainer]


def test_domain_accuracy_is_balanced_over_domains_of_unequal_size() -> None:
    told = torch.tensor([[1.0, 0.0]])
    called_target = torch.tensor([[0.0, 1.0]])
    # Three of four source videos and one of two target videos are told.
    video = torch.cat([told, told, told, called_target, called_target, told])
    output = ModelOutput(
        logits=torch.zeros(6, 3),
        video_features=torch.zeros(6, 4),
        classified=torch.zeros(6, 4),
        domain_logits={"video": video},
    )
    measured = measure(output, 4, ("video",))
    assert measured["domain_accuracy_video"] == pytest.approx((3 / 4 + 1 / 2) / 2)
    assert set(measured) == {"domain_accuracy_video"}


def test_frames_and_relations_count_one_by_one_and_only_what_is_placed() -> None:
    frame = torch.zeros(2, 5, 2)
    frame[0, :2, 1] = 1  # two of five source frames are taken for target
    frame[1, :4, 1] = 1  # four of five target frames are
    output = ModelOutput(
        logits=torch.zeros(2, 3),
        video_features=torch.zeros(2, 4),
        classified=torch.zeros(2, 4),
        domain_logits={"frame": frame, "relation": torch.zeros(2, 4, 2)},
    )
    measured = measure(output, 1, ("frame",))
    assert set(measured) == {"domain_accuracy_frame"}
    assert measured["domain_accuracy_frame"] == pytest.approx((3 / 5 + 4 / 5) / 2)


def test_attention_starts_with_the_two_frame_relation() -> None:
    weights = torch.tensor([[0.5, 0.6, 0.7, 0.8], [0.7, 0.6, 0.5, 1.0]])  # 5-frame first
    output = ModelOutput(
        logits=torch.zeros(2, 3),
        video_features=torch.zeros(2, 4),
        classified=torch.zeros(2, 4),
        attention=weights,
    )
    steps = [{"total": torch.tensor(float(n)), **measure(output, 1, ())} for n in (1, 2)]
    (table,) = read_tables(steps, 1)
    losses, accuracies, attention = split_means(table.means())
    assert losses == {"total": 1.5}
    assert accuracies == {}
    assert attention == pytest.approx((0.9, 0.6, 0.6, 0.6))


def test_tables_of_stacked_runs_are_told_apart() -> None:
    steps = [
        {"total": torch.tensor([1.0, 5.0]), "attention": torch.tensor([[1.0, 2.0], [3.0, 4.0]])}
    ]
    first, second = read_tables(steps, 2)
    assert first.rows == [[1.0, 1.0, 2.0]]
    assert second.rows == [[5.0, 3.0, 4.0]]


@pytest.mark.parametrize(
    ("method", "temporal", "recipe", "placed", "has_attention"),
    [
        ("source-only", "pooling", {}, (), False),
        ("revgrad", "pooling", {}, ("video", "frame"), False),
        ("ta2n", "relation", {}, ("relation", "video", "frame"), False),
        ("ta3n", "relation", {}, ("relation", "video", "frame"), True),
        ("mcd", "relation", {"mcd": "three"}, (), False),
    ],
)
def test_the_record_has_what_the_method_places(
    make_trainer: MakeTrainer,
    method: str,
    temporal: str,
    recipe: dict[str, Any],
    placed: tuple[str, ...],
    has_attention: bool,
) -> None:
    trainer = make_trainer(method, temporal, **recipe)
    record = trainer.run_epoch()
    assert set(record.domain_accuracy) == set(record.reversal) == set(placed)
    assert all(0 <= accuracy <= 1 for accuracy in record.domain_accuracy.values())
    weights = trainer.settings.weights
    assert record.reversal == {level: weights[f"beta_{level}"] for level in placed}
    assert (record.attention is not None) == has_attention
    assert record.attention is None or len(record.attention) == 4


def test_a_ramped_coefficient_is_recorded_as_it_was_at_the_last_step(
    make_trainer: MakeTrainer, make_data: MakeData
) -> None:
    settings = make_trainer(ramp="step").settings
    ramped = replace(settings, weights={**settings.weights, "beta_frame": -1.0})
    trainer = Trainer(ramped, make_data())
    last = trainer.weights(2, 3)["beta_frame"]
    assert trainer.run_epoch().reversal["frame"] == last


def test_the_measures_are_those_of_the_step_that_was_made(
    make_trainer: MakeTrainer, make_data: MakeData
) -> None:
    """One step an epoch, no dropout: the same forward pass by hand gives the same numbers."""
    recipe: dict[str, Any] = {"dropout": 0.0, "source_batch": 64}
    trainer, data = make_trainer(**recipe), make_data()
    (batch,) = make_trainer(**recipe).begin_epoch().batches(data)
    features = step_features(batch, trainer.settings.method)
    output = make_trainer(**recipe).model(
        features, reversal_coefficients(trainer.weights(0, 1)), levels=("video", "frame")
    )
    record = trainer.run_epoch()
    for level, logits in output.domain_logits.items():
        is_target = logits.argmax(-1).bool()
        told = ((~is_target[:21]).float().mean() + is_target[21:].float().mean()) / 2
        assert record.domain_accuracy[level] == pytest.approx(told.item(), abs=1e-6)
    assert output.attention is not None
    expected = output.attention.mean(0).flip(0).tolist()
    assert record.attention == pytest.approx(expected, rel=1e-5)
