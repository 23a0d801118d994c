"""The norms of the matrix of predictions are the published ones, in every scaling."""

from pathlib import Path

import pytest
import torch

from ta3n.train.methods.bnm import bfm, bnm, bnm_mean, bnm_root, fbnm

from ...support.extremes import SATURATED, check_finite, check_stacks
from ...support.method_runs import MakeTrainer, check_precision, check_stacked, check_trains
from ...support.objectives import cases, check, wave

FORMS = (bnm, bnm_mean, bnm_root, fbnm, bfm)


@pytest.mark.parametrize(
    ("case", "objective"),
    [
        ("pytorch-adapt/t4", bnm),
        ("pytorch-adapt/t6", bnm),
        ("BNM/t6", bnm_mean),
        ("atdoc-repo/t6", bnm_root),
        ("FBNM/t4", fbnm),
        ("FBNM/t6", fbnm),
        ("BFM/t4", bfm),
        ("BFM/t6", bfm),
    ],
)
def test_value_and_gradient_are_published(shared: Path, case: str, objective: object) -> None:
    assert callable(objective)
    check(cases(shared)[f"bnm/{case}"], objective)


@pytest.mark.parametrize("objective", FORMS)
def test_saturated_logits_and_a_single_video_are_finite(objective: object) -> None:
    assert callable(objective)
    for logits in (SATURATED, 1e4 * SATURATED, SATURATED[:1], torch.zeros(4, 5)):
        check_finite(objective, logits)
    check_stacks(objective, wave([6, 5], 2, 2.5).float())


def test_certain_and_diverse_predictions_are_best() -> None:
    diverse, same = 900 * torch.eye(5), 900 * torch.eye(5)[[0] * 5]
    assert bnm(diverse).item() == pytest.approx(-1)
    # All alike in one class has the same norm whatever the number of videos: one singular value.
    assert bnm(same).item() == pytest.approx(-(5**0.5) / 5)
    assert bnm(torch.zeros(5, 5)).item() == pytest.approx(-1 / 5)


@pytest.mark.parametrize("method", ["bnm", "bnm-mean", "bnm-root", "fbnm", "bfm"])
def test_it_trains_alone_and_stacked(make_trainer: MakeTrainer, method: str) -> None:
    check_trains(make_trainer, method)
    check_stacked(make_trainer, method)
    check_precision(make_trainer, method)
