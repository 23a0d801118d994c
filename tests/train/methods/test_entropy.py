"""Entropy and its relatives are those of the programs that they are named after."""

from pathlib import Path

import pytest
import torch

from ta3n.train.losses.entropy import entropy
from ta3n.train.methods.entropy import (
    class_balance,
    entropy_per_class,
    maximum_square,
    mean_prediction_entropy,
    relative_entropy,
    smoothed_entropy,
)
from ta3n.train.methods.registry import find_choice, method_for

from ...support.extremes import SATURATED, check_finite, check_stacks
from ...support.method_runs import MakeTrainer, check_precision, check_stacked, check_trains
from ...support.objectives import cases, check, wave

FORMS = (
    class_balance,
    entropy_per_class,
    maximum_square,
    mean_prediction_entropy,
    relative_entropy,
    smoothed_entropy,
)


@pytest.mark.parametrize(
    ("case", "objective"),
    [
        ("entropy/pytorch-adapt/4", lambda logits: entropy(logits).mean()),
        ("entropy/tllib/4", smoothed_entropy),
        ("entropy/transferattn-HLoss/4", entropy_per_class),
        ("entropy/atdoc-repo/4", relative_entropy),
        ("entropy/mcd-class-entropy/4", class_balance),
        ("diversity/pytorch-adapt/4", mean_prediction_entropy),
        ("maxsquare/atdoc-repo/4", maximum_square),
    ],
)
def test_value_and_gradient_are_published(shared: Path, case: str, objective: object) -> None:
    assert callable(objective)
    check(cases(shared)[case], objective)


@pytest.mark.parametrize("objective", FORMS)
def test_saturated_logits_and_a_single_video_are_finite(objective: object) -> None:
    assert callable(objective)
    for logits in (SATURATED, 1e4 * SATURATED, SATURATED[:1], torch.zeros(1, 5), torch.ones(3, 1)):
        check_finite(objective, logits)
    check_stacks(objective, wave([6, 5], 2, 2.5).float())


def test_entropy_is_the_term_that_the_switch_names() -> None:
    assert method_for("entropy", "relation").terms == (find_choice("entropy", "target"),)


@pytest.mark.parametrize(
    "method",
    [
        "class-balance",
        "diversity",
        "entropy",
        "entropy-per-class",
        "entropy-relative",
        "entropy-smoothed",
        "max-square",
    ],
)
def test_it_trains_alone_and_stacked(make_trainer: MakeTrainer, method: str) -> None:
    check_trains(make_trainer, method)
    check_stacked(make_trainer, method)
    check_precision(make_trainer, method)
