"""The spectral penalty is the published one, and finite for features without a direction."""

from pathlib import Path

import pytest
import torch

from ta3n.train.methods.bsp import bsp
from ta3n.train.methods.registry import method_for

from ...support.extremes import check_finite, check_stacks
from ...support.method_runs import MakeTrainer, check_precision, check_stacked, check_trains
from ...support.objectives import cases, check, wave


def test_value_and_gradient_are_published(shared: Path) -> None:
    check(cases(shared)["bsp/tllib/6-4"], lambda f_s, f_t: bsp(f_s, f_t))


def test_more_singular_values_are_those_of_the_decomposition() -> None:
    source, target = wave([6, 8], 3, 1.5).abs(), wave([4, 8], 4, 1.2).abs()
    expected = sum(float(torch.linalg.svdvals(x)[:2].square().sum()) for x in (source, target))
    assert bsp(source, target, count=2).item() == pytest.approx(expected)


def test_equal_features_and_a_single_video_are_finite() -> None:
    for source, target in (
        (torch.zeros(3, 8), torch.zeros(2, 8)),
        (torch.eye(8), torch.eye(8)[:4]),
        (torch.ones(1, 8), torch.ones(4, 8)),
    ):
        check_finite(bsp, source, target)
    check_stacks(bsp, wave([6, 8], 3, 1.5).abs().float(), wave([4, 8], 4, 1.2).abs().float())


def test_it_stands_beside_a_discriminator() -> None:
    assert method_for("bsp", "relation").discriminators == ("video",)


def test_it_trains_alone_and_stacked(make_trainer: MakeTrainer) -> None:
    check_trains(make_trainer, "bsp")
    check_stacked(make_trainer, "bsp")
    check_precision(make_trainer, "bsp")
