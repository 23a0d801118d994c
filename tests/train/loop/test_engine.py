"""A run is reproducible to the bit, resumes to the bit, and stops with the culprit named."""

import io
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from ta3n.common.errors import DataConflictError, TrainingError, UsageError
from ta3n.train.loop.batches import Batch, EpochPlan, TrainingData
from ta3n.train.loop.checks import NonFiniteError, check_finite
from ta3n.train.loop.engine import Trainer
from ta3n.train.loop.measurements import EpochTable
from ta3n.train.model.prediction import observe
from ta3n.train.recipe.schedule import dann_ramp

from ...support.waiting import NoWaiting

MakeData = Callable[..., TrainingData]
MakeTrainer = Callable[..., Trainer]


def train(trainer: Trainer) -> dict[str, torch.Tensor]:
    for _ in trainer.epochs():
        pass
    return trainer.model.state_dict()


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    assert first.keys() == second.keys()
    return all(torch.equal(first[name], second[name]) for name in first)


def through_a_file(state: dict[str, Any]) -> Any:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def test_same_seed_same_bits_and_another_seed_other_bits(make_trainer: MakeTrainer) -> None:
    torch.manual_seed(1)
    first = train(make_trainer())
    torch.manual_seed(2)
    assert equal(first, train(make_trainer()))
    assert not equal(first, train(make_trainer(seed=2)))


@pytest.mark.parametrize("stop_after", [0, 1, 2, 3, 4])
def test_resuming_after_any_epoch_is_bit_equal(make_trainer: MakeTrainer, stop_after: int) -> None:
    undisturbed = make_trainer()
    weights = train(undisturbed)
    stopped = make_trainer()
    for _ in range(stop_after):
        stopped.run_epoch()
    state = stopped.state_dict()
    if stop_after < 4:
        stopped.run_epoch()  # the state is a copy: going on must not change it
    resumed = make_trainer()
    resumed.load_state_dict(through_a_file(state))
    assert resumed.epoch == stop_after
    assert equal(weights, train(resumed))
    assert resumed.history == undisturbed.history


def test_one_state_resumes_twice_alike(make_trainer: MakeTrainer) -> None:
    started = make_trainer()
    started.run_epoch()
    state = started.state_dict()
    runs = []
    for _ in range(2):
        resumed = make_trainer()
        resumed.load_state_dict(state)
        runs.append(train(resumed))
    assert equal(*runs)


@pytest.mark.parametrize("change", [{"learning_rate": 0.01}, {"seed": 2}, {"method": "ta2n"}])
def test_a_state_of_another_run_is_refused(
    make_trainer: MakeTrainer, change: dict[str, Any]
) -> None:
    with pytest.raises(DataConflictError, match="saved run"):
        make_trainer(**change).load_state_dict(make_trainer().state_dict())


def test_source_only_does_not_depend_on_the_target(
    make_trainer: MakeTrainer, make_data: MakeData
) -> None:
    data = make_data()
    targets = [data.target_features, torch.full((2, 5, 8), math.nan), None]
    runs = [
        train(make_trainer("source-only", data=replace(data, target_features=target)))
        for target in targets
    ]
    assert equal(runs[0], runs[1])
    assert equal(runs[0], runs[2])


def test_target_only_is_training_on_a_labelled_target(
    make_trainer: MakeTrainer, make_data: MakeData
) -> None:
    labelled = replace(make_data(), target_features=None)
    trainer = make_trainer("target-only", data=labelled)
    train(trainer)
    assert trainer.history[-1].source_videos == 21
    assert trainer.history[-1].target_videos == 0


@pytest.mark.parametrize(
    ("method", "temporal", "terms"),
    [
        ("source-only", "pooling", {"classification", "total"}),
        (
            "revgrad",
            "pooling",
            {"classification", "adversarial_video", "adversarial_frame", "total"},
        ),
        ("revgrad", "relation", {"classification", "adversarial_frame", "total"}),
    ],
)
def test_only_computed_losses_are_recorded(
    make_trainer: MakeTrainer, method: str, temporal: str, terms: set[str]
) -> None:
    assert set(make_trainer(method, temporal).run_epoch().losses) == terms


def test_the_record_counts_the_videos_used(make_trainer: MakeTrainer) -> None:
    record = make_trainer().run_epoch()
    assert (record.epoch, record.steps) == (1, 3)
    assert (record.source_videos, record.target_videos) == (21, 12)
    # p of the last step of epoch 1 of 4, with 3 steps each: (2 + 3) / 12.
    assert record.learning_rate == pytest.approx(0.03 / (1 + 10 * 5 / 12) ** 0.75)


@pytest.mark.parametrize(("num_source", "num_target", "batch"), [(3, 2, 128), (3, 3, 1), (1, 1, 1)])
def test_tiny_domains_and_batches_of_one(
    make_trainer: MakeTrainer, make_data: MakeData, num_source: int, num_target: int, batch: int
) -> None:
    trainer = make_trainer(data=make_data(num_source, num_target), source_batch=batch)
    record = trainer.run_epoch()
    assert record.source_videos == num_source
    assert math.isfinite(record.losses["total"])


def test_a_run_beats_chance_on_both_domains(make_trainer: MakeTrainer, make_data: MakeData) -> None:
    data = make_data(60, 60)
    trainer = make_trainer(data=data, epochs=10)
    train(trainer)
    assert data.target_features is not None
    for features in (data.source_features, data.target_features):
        hits = observe(trainer.model, features, 7).logits.argmax(1) == data.source_labels
        assert hits.float().mean() > 0.8  # chance is a third


@pytest.mark.parametrize(("ramp", "p"), [("epoch", 3 / 12), ("step", (2 + 3) / 12)])
def test_the_ramp_is_frozen_within_an_epoch_only_in_the_official_recipe(
    make_trainer: MakeTrainer, make_data: MakeData, ramp: str, p: float
) -> None:
    settings = make_trainer(ramp=ramp).settings
    weights = {**settings.weights, "beta_frame": -1.0}
    trainer = Trainer(replace(settings, weights=weights), make_data())
    at_third_step = trainer.weights(2, 3)
    assert (at_third_step["beta_relation"], at_third_step["beta_video"]) == (1.0, 0.75)
    assert at_third_step["beta_frame"] == pytest.approx(dann_ramp(p))


def test_a_run_that_diverges_stops_and_names_the_loss(
    make_trainer: MakeTrainer, make_data: MakeData
) -> None:
    trainer = make_trainer("ta2n", data=make_data(), learning_rate=1e30, clip_norm=1e30)
    with pytest.raises(TrainingError, match=r"epoch 1: (classification|adversarial_\w+|grad_norm)"):
        train(trainer)
    with pytest.raises(TrainingError, match="not complete"):
        trainer.state_dict()


def test_the_first_non_finite_loss_is_the_one_named() -> None:
    table = EpochTable(
        names=("classification", "adversarial_video", "total", "grad_norm"),
        rows=[[1.0, 0.7, 1.7, 2.0], [1.0, math.nan, math.nan, math.nan], [math.inf] * 4],
    )
    plan = EpochPlan(
        source_batches=tuple(torch.tensor([[0, 4], [3, 1], [2, 5]])),
        target_batches=tuple(torch.tensor([[6], [7], [8]])),
        source_videos=6,
        target_videos=3,
    )
    culprit = "seed 4, epoch 9: adversarial_video was nan at step 2 of 3"
    with pytest.raises(NonFiniteError, match=culprit) as caught:
        check_finite(4, 9, plan, table)
    assert (caught.value.source, caught.value.target) == ((3, 1), (7,))


def test_data_that_cannot_be_trained_on_are_refused(
    make_trainer: MakeTrainer, make_data: MakeData
) -> None:
    data = make_data()
    with pytest.raises(TrainingError, match="no target videos"):
        make_trainer("ta3n", data=replace(data, target_features=None))
    with pytest.raises(TrainingError, match="num_segments is 3"):
        make_trainer(data=data, num_segments=3)
    with pytest.raises(TrainingError, match="3 classes"):
        make_trainer(data=replace(data, source_labels=data.source_labels + 1))
    broken = data.source_features.clone()
    broken[4, 2, 1] = math.inf
    with pytest.raises(TrainingError, match="1 source videos"):
        make_trainer(data=replace(data, source_features=broken))


def test_batches_that_are_all_too_small_for_a_term_are_refused(
    make_trainer: MakeTrainer, make_data: MakeData
) -> None:
    """A covariance, or what differs between videos, is nothing of a single one."""
    few, one = make_data(21, 4), make_data(21, 1)
    for method, what in {
        "coral": "CORAL",
        "adabn": "normalisation per domain",
        "mcc": "minimum class confusion",
        "im": "information maximisation",
    }.items():
        told = f"{method}: {what} needs 2 target videos in a batch, and "
        size = "one of size 8 has 1; set --batch-size to 11 at least"
        with pytest.raises(UsageError, match=told + size):
            make_trainer(method, data=few)
        list(make_trainer(method, data=few, source_batch=11, epochs=1).epochs())
        with pytest.raises(UsageError, match=told + "there are 1 in all; leave it out"):
            make_trainer(method, data=one)
    with pytest.raises(UsageError, match=r"2 source videos.*one of size 1 .*-size to 2 "):
        make_trainer("coral", data=make_data(9, 9), source_batch=1)
    list(make_trainer("dan", data=few, epochs=1).epochs())
    without = replace(few, target_features=None)
    list(make_trainer("label-smoothing", data=without, epochs=1).epochs())


def test_prediction_needs_no_dropout_and_changes_nothing(
    make_trainer: MakeTrainer, make_data: MakeData
) -> None:
    trainer, features = make_trainer(), make_data().source_features
    trainer.run_epoch()
    before = trainer.state_dict()
    first, second = (observe(trainer.model, features, size).logits for size in (21, 4))
    torch.testing.assert_close(first, second)
    assert trainer.model.training
    after = trainer.state_dict()
    assert equal(before["model"], after["model"])
    assert equal(before["generators"], after["generators"])


@pytest.mark.parametrize(
    ("method", "temporal"), [("source-only", "pooling"), ("ta2n", "relation"), ("ta3n", "relation")]
)
def test_no_step_waits_for_the_device(
    make_trainer: MakeTrainer, make_data: MakeData, method: str, temporal: str
) -> None:
    trainer, data = make_trainer(method, temporal), make_data()
    batch = Batch(
        source_features=data.source_features,
        source_labels=data.source_labels,
        target_features=data.target_features if method != "source-only" else None,
    )
    with NoWaiting():  # type: ignore[no-untyped-call]
        trainer._step(batch, 0, 3)
        with pytest.raises(AssertionError, match="waits"):
            data.source_features.sum().item()


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_no_step_waits_for_a_cuda_device(make_trainer: MakeTrainer, make_data: MakeData) -> None:
    device, data = torch.device("cuda"), make_data()
    trainer = Trainer(make_trainer().settings, data, device=device)
    on_device = data.to(device, torch.float32)
    batch = Batch(
        source_features=on_device.source_features,
        source_labels=on_device.source_labels,
        target_features=on_device.target_features,
    )
    trainer.run_epoch()
    torch.cuda.set_sync_debug_mode("error")
    try:
        trainer._step(batch, 0, 3)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_run_on_a_gpu_resumes_where_it_stopped(
    make_trainer: MakeTrainer,
    make_data: MakeData,
    record_property: Callable[[str, object], None],
) -> None:
    def on_gpu() -> Trainer:
        return Trainer(make_trainer().settings, make_data(), device=torch.device("cuda"))

    weights = train(on_gpu())
    stopped = on_gpu()
    stopped.run_epoch()
    resumed = on_gpu()
    resumed.load_state_dict(through_a_file(stopped.state_dict()))
    found = train(resumed)
    record_property("bit-equal", all(torch.equal(found[name], weights[name]) for name in weights))
    for name, expected in weights.items():
        assert torch.allclose(found[name], expected, rtol=1e-3, atol=1e-5), name
