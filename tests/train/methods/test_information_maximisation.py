"""Information maximisation is SHOT's: certain predictions that are spread over the classes."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from ta3n.train.methods.information_maximisation import information_maximisation

from ...support.extremes import SATURATED, check_finite, check_stacks
from ...support.method_runs import MakeTrainer, check_precision, check_stacked, check_trains
from ...support.objectives import cases, check, wave


def test_certainty_alone_is_published(shared: Path) -> None:
    case = cases(shared)["shot/im-no-diversity/4"]
    check(case, lambda logits: information_maximisation(logits, diverse=False))


def test_diversity_is_minus_the_entropy_of_the_mean_prediction(shared: Path) -> None:
    def diversity(logits: Tensor) -> Tensor:
        # That reference has no epsilon.
        smallest = torch.finfo(torch.float64).tiny
        whole = information_maximisation(logits, epsilon=smallest)
        return whole - information_maximisation(logits, diverse=False, epsilon=smallest)

    check(cases(shared)["diversity/pytorch-adapt/4"], diversity)


def test_epsilon_is_inside_both_logarithms() -> None:
    # One sure video: 0 - 0 with exact logarithms, and the same with epsilon in both.
    sure = torch.tensor([[900.0, 0, 0]], dtype=torch.float64)
    assert information_maximisation(sure, epsilon=0.5).item() == pytest.approx(0, abs=1e-15)


def test_saturated_logits_and_a_single_video_are_finite() -> None:
    for logits in (SATURATED, 1e4 * SATURATED, SATURATED[:1], torch.zeros(1, 5)):
        check_finite(information_maximisation, logits)
    check_stacks(information_maximisation, wave([6, 5], 2, 2.5).float())


def test_it_trains_alone_and_stacked(make_trainer: MakeTrainer) -> None:
    check_trains(make_trainer, "im")
    check_stacked(make_trainer, "im")
    check_precision(make_trainer, "im")
