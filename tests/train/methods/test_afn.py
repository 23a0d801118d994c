"""Adaptive feature norms: the published gradients, and none at all for a feature of zero."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from ta3n.train.methods.afn import hard_afn, stepwise_afn

from ...support.extremes import check_finite, check_stacks
from ...support.method_runs import MakeTrainer, check_precision, check_stacked, check_trains
from ...support.objectives import cases, check, wave


def both(features_s: Tensor, features_t: Tensor, step: float = 1.0) -> Tensor:
    return stepwise_afn(features_s, step) + stepwise_afn(features_t, step)


@pytest.mark.parametrize("step", [1, 0.3])
def test_steps_are_published(shared: Path, step: float) -> None:
    check(cases(shared)[f"afn/stepwise/tllib/delta{step}/6-4"], lambda **x: both(**x, step=step))


def test_steps_of_one_domain_are_published(shared: Path) -> None:
    check(cases(shared)["afn/stepwise/pytorch-adapt/4"], stepwise_afn)


@pytest.mark.parametrize(("case", "step"), [("stepwise", 1.0), ("stepwise-visda", 0.3)])
def test_weighed_steps_of_the_authors_are_published(shared: Path, case: str, step: float) -> None:
    reference = cases(shared)[f"afn/{case}/jihanyang/6-4"]
    weight = reference["parameters"]["weight"]
    check(reference, lambda **x: weight * both(**x, step=step))


def test_the_radius_is_published(shared: Path) -> None:
    reference = cases(shared)["afn/hard/jihanyang/6-4"]
    weight, radius = (reference["parameters"][name] for name in ("weight", "radius"))
    check(
        reference,
        lambda features_s, features_t: (
            weight * (hard_afn(features_s, radius) + hard_afn(features_t, radius))
        ),
    )


@pytest.mark.parametrize("objective", [stepwise_afn, hard_afn])
def test_a_feature_of_zero_and_a_single_video_are_finite(objective: object) -> None:
    assert callable(objective)
    for features in (
        torch.zeros(3, 8),
        torch.zeros(1, 8),
        torch.ones(4, 8),
        1e6 * torch.ones(2, 8),
    ):
        check_finite(objective, features)
    check_stacks(objective, wave([6, 8], 2, 1.5).float())


@pytest.mark.parametrize("method", ["afn", "hard-afn"])
def test_it_trains_alone_and_stacked(make_trainer: MakeTrainer, method: str) -> None:
    check_trains(make_trainer, method)
    check_stacked(make_trainer, method)
    check_precision(make_trainer, method)
