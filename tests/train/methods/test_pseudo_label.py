"""Pseudo-labels are those of four programs, and where no video is sure there is no gradient."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ta3n.train.loop.engine import Trainer
from ta3n.train.methods.pseudo_label import (
    class_thresholds,
    distillation_loss,
    kept_loss,
    labelled_loss,
    sure_labels,
    uda_loss,
)

from ...support.method_runs import check_precision, check_resumed, check_stacked, check_trains
from ...support.objectives import cases, check, check_value, inputs_of

MakeTrainer = Callable[..., Trainer]
METHODS = (
    "pseudo-label",
    "pseudo-label-inclusive",
    "pseudo-label-kept",
    "uda",
    "self-distillation",
    "flexmatch",
)


@pytest.mark.parametrize("threshold", ["0.8", "0.9", "0.9999999"])
def test_the_mean_over_all_is_the_librarys(shared: Path, threshold: str) -> None:
    check(
        cases(shared)[f"fixmatch/tllib/{threshold}"],
        lambda logits_strong, logits_weak: labelled_loss(
            logits_strong, logits_weak, float(threshold)
        ),
    )


def test_the_other_programs_have_their_own_denominators(shared: Path) -> None:
    known = cases(shared)
    check(
        known["fixmatch/usb/0.9"],
        lambda logits_strong, logits_weak: labelled_loss(
            logits_strong, logits_weak, 0.9, inclusive=True
        ),
    )
    check(
        known["uda/tllib"],
        lambda logits_strong, logits_weak: uda_loss(logits_strong, logits_weak, 0.8, 0.5),
    )
    check(known["pseudo-label/transvae/0.8"], lambda logits: kept_loss(logits, logits, 0.8))
    check(
        known["distillation/tllib"],
        lambda student, teacher: distillation_loss(student, teacher, 2.0),
    )


def test_the_threshold_itself_is_sure_enough_for_one_of_them() -> None:
    even, strong = torch.zeros(1, 2), torch.tensor([[0.0, 1.0]])
    assert labelled_loss(strong, even, 0.5) == 0
    assert labelled_loss(strong, even, 0.5, inclusive=True) > 1


@pytest.mark.parametrize(("way", "warm_up"), [("with_warmup", True), ("without_warmup", False)])
def test_flexible_thresholds_are_the_librarys(shared: Path, way: str, warm_up: bool) -> None:
    case = cases(shared)["flexmatch/tllib"]
    given = inputs_of(case)
    labels = torch.full((12,), -1)
    start = class_thresholds(labels, 5, 0.95, warm_up=warm_up)
    check_value(start.double(), case["outputs"]["start"])
    labels[:6] = torch.where(given["mask1"] == 1, given["first"], -1)
    thresholds = class_thresholds(labels, 5, 0.95, warm_up=warm_up)
    # The counts are whole numbers, and their quotients float32.
    check_value(thresholds.double(), case["outputs"][way], rtol=1e-6)
    batch = thresholds[given["second"]].double()
    check_value(batch, case["outputs"][f"{way}_batch"], rtol=1e-6)


def all_losses(strong: Tensor, weak: Tensor) -> list[Tensor]:
    return [
        labelled_loss(strong, weak, 0.9),
        labelled_loss(strong, weak, torch.full((len(strong),), 0.9)),
        kept_loss(strong, weak, 0.9),
        uda_loss(strong, weak, 0.9, 0.5),
    ]


@pytest.mark.parametrize("count", [1, 4])
def test_nothing_sure_gives_nothing(count: int) -> None:
    weak = torch.zeros(count, 3)
    for index in range(4):
        strong = torch.randn(count, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
        value = all_losses(strong, weak)[index]
        (gradient,) = torch.autograd.grad(value, strong)
        assert value == 0
        assert not gradient.any()


@pytest.mark.parametrize("count", [1, 4])
def test_extremes_are_finite(count: int) -> None:
    weak = torch.zeros(count, 3)
    weak[:, 0] = 1e4
    strong = weak.flip(-1).requires_grad_()  # sure of another class
    for value in [*all_losses(strong, weak), distillation_loss(strong, weak, 2.0)]:
        (gradient,) = torch.autograd.grad(value, strong, retain_graph=True)
        assert value > 100
        assert value.isfinite()
        assert gradient.isfinite().all()


def test_flexmatch_keeps_the_last_sure_label_of_each_video(make_trainer: MakeTrainer) -> None:
    labels = torch.tensor([-1, 2, -1, 0, 1])
    weak = torch.tensor([[9.0, 0, 0], [0, 1, 0], [0, 9, 0]])  # the second is not sure
    kept = sure_labels(labels, weak, torch.tensor([4, 3, 2]))
    assert kept.tolist() == [-1, 2, 1, 0, 0]
    trainer = make_trainer("flexmatch")
    assert trainer.model.state_of("flexmatch_target")["labels"].tolist() == [-1] * 13


@pytest.mark.parametrize("check_run", [check_stacked, check_resumed, check_precision, check_trains])
@pytest.mark.parametrize("method", METHODS)
def test_it_runs_like_any_other(
    make_trainer: MakeTrainer, method: str, check_run: Callable[[MakeTrainer, str], Any]
) -> None:
    check_run(make_trainer, method)
