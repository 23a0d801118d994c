"""MCC is the published one, and finite where that divides zero by zero."""

from pathlib import Path

import pytest
import torch

from ta3n.train.layers.dropout import draw_masks
from ta3n.train.loop.objective import run_update
from ta3n.train.methods.mcc import cc_loss, mcc

from ...support.extremes import SATURATED, check_finite, check_stacks
from ...support.method_runs import (
    MakeTrainer,
    check_precision,
    check_stacked,
    check_trains,
    whole_batch,
)
from ...support.objectives import cases, check, check_value, inputs_of, wave


@pytest.mark.parametrize("case", ["T2.5/t4", "T2.5/t6", "T1.0/t6", "T2.5/one-item"])
def test_value_and_gradient_are_published(shared: Path, case: str) -> None:
    reference = cases(shared)[f"mcc/tllib/{case}"]
    temperature = reference["parameters"]["temperature"]
    check(reference, lambda logits: mcc(logits, temperature))


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_another_epsilon_is_that_of_another_program(shared: Path, temperature: float) -> None:
    smallest = torch.finfo(torch.float64).tiny
    reference = cases(shared)[f"mcc/pytorch-adapt/T{temperature}/t4"]
    check(reference, lambda logits: mcc(logits, temperature, epsilon=smallest))


def test_atdoc_subtracts_what_is_left_to_one(shared: Path) -> None:
    check(cases(shared)["mcc/atdoc-repo/t4"], lambda logits: 1 - mcc(logits, 1.0))


def test_classes_that_no_video_may_belong_to_are_confused(shared: Path) -> None:
    case = cases(shared)["mcc/tllib/T1.0/saturated"]
    (logits,) = inputs_of(case).values()
    check_value(mcc(logits), case["outputs"]["value_T2.5"])
    assert mcc(logits, 1.0).item() == pytest.approx(0.6)


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_saturated_logits_and_a_single_video_are_finite(temperature: float) -> None:
    for logits in (SATURATED, 1e4 * SATURATED, SATURATED[:1], torch.zeros(1, 5)):
        check_finite(lambda x: mcc(x, temperature), logits)
        check_finite(lambda x: cc_loss(SATURATED[: len(x)].to(x), x, temperature, 0.5), logits)


def test_consistency_of_confusion_is_published(shared: Path) -> None:
    case = cases(shared)["cc-loss/tllib"]
    temperature, threshold = case["parameters"]["temperature"], case["parameters"]["thr"]
    check(
        case,
        lambda logits, logits_strong: cc_loss(logits, logits_strong, temperature, threshold),
    )


def test_consistency_without_a_certain_video_is_zero() -> None:
    logits = wave([4, 5], 1, 1.0)
    perturbed = wave([4, 5], 2, 1.0).requires_grad_()
    value = cc_loss(logits, perturbed, 2.5, 0.99)
    (gradient,) = torch.autograd.grad(value, perturbed)
    assert value.item() == 0
    assert not gradient.any()


def test_stacked_values_are_those_of_one() -> None:
    first, second = wave([6, 5], 1, 4.0).float(), wave([6, 5], 2, 4.0).float()
    check_stacks(mcc, first)
    check_stacks(lambda x, y: cc_loss(x, y, 2.0, 0.5), first, second)


@pytest.mark.parametrize("method", ["mcc", "cc-loss"])
def test_it_trains_alone_and_stacked(make_trainer: MakeTrainer, method: str) -> None:
    check_trains(make_trainer, method)
    check_stacked(make_trainer, method)
    check_precision(make_trainer, method)


def test_the_classes_that_are_confused_are_those_without_dropout(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer("mcc")
    trainer.run_epoch()
    batch, spec = whole_batch(trainer), trainer.model.spec
    num_videos = trainer.data.num_source + trainer.data.num_target
    masks = draw_masks(
        torch.Generator().manual_seed(1),
        frame_shape=(num_videos, spec.num_segments, spec.hidden_dim),
        video_dim=spec.video_dim,
        probability=0.5,
        dtype=torch.float32,
    )
    dropped, plain = (
        run_update(
            trainer.model,
            batch,
            drawn,
            objective=trainer.objective,
            weights=trainer.weights(0, 1),
        ).losses
        for drawn in (masks, None)
    )
    torch.testing.assert_close(dropped["mcc"], plain["mcc"])
    assert abs(float(dropped["classification"] - plain["classification"])) > 1e-3
