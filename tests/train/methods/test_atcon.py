"""ATCoN's consistencies are those of its authors, for relations alone."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ta3n.common.errors import UsageError
from ta3n.train.loop.engine import Trainer
from ta3n.train.methods.atcon import feature_consistency, prediction_consistency
from ta3n.train.methods.registry import method_for

from ...support.method_runs import check_precision, check_resumed, check_stacked, check_trains
from ...support.objectives import cases, check, check_gradients, check_value, inputs_of

MakeTrainer = Callable[..., Trainer]


def of_relations(factor: float) -> Callable[..., Tensor]:
    def loss(l1: Tensor, l2: Tensor, l3: Tensor, video: Tensor) -> Tensor:
        return factor * prediction_consistency(torch.cat([l1, l2, l3], dim=2).transpose(1, 2))

    return loss


def test_it_is_the_authors(shared: Path) -> None:
    check(cases(shared)["atcon/consistency/kl"], of_relations(10))


def test_their_default_is_a_multiple(shared: Path) -> None:
    case = dict(cases(shared)["atcon/consistency/mse-kl"])
    inputs = inputs_of(case)
    value = of_relations(18)(**inputs)
    check_value(value, case["outputs"]["value"])
    # What arrives at the video there is the rounding of a sum that is 0.
    del case["gradients"]["video"]
    check_gradients(case, value, inputs)


def test_the_features_are_the_authors(shared: Path) -> None:
    case = cases(shared)["atcon/ssrl"]
    parts = torch.stack(list(inputs_of(case).values()), dim=1)
    check_value(feature_consistency(parts), case["outputs"]["value"])


@pytest.mark.parametrize("logits", [torch.zeros(1, 2, 3), torch.full((3, 2, 3), 500.0)])
def test_relations_that_agree_cost_nothing(logits: Tensor) -> None:
    logits = logits.clone().requires_grad_()
    value = prediction_consistency(logits)
    (gradient,) = torch.autograd.grad(value, logits)
    assert float(value.detach()) == pytest.approx(0, abs=1e-6)
    assert gradient.isfinite().all()


def test_contradiction_with_certainty_is_finite() -> None:
    logits = torch.tensor([[[400.0, 0.0], [0.0, 400.0]]], requires_grad=True)
    value = prediction_consistency(logits)
    (gradient,) = torch.autograd.grad(value, logits)
    assert value.isfinite()
    assert gradient.isfinite().all()


def test_it_is_stacked_resumed_and_learns(make_trainer: MakeTrainer) -> None:
    check_stacked(make_trainer, "atcon")
    check_resumed(make_trainer, "atcon")
    check_precision(make_trainer, "atcon")
    check_trains(make_trainer, "atcon")


def test_one_video_a_step_is_enough(make_trainer: MakeTrainer) -> None:
    record = make_trainer("atcon", source_batch=1).run_epoch()
    assert all(value == value for value in record.losses.values())


def test_a_module_without_relations_is_refused() -> None:
    with pytest.raises(UsageError, match="choose the temporal module relation"):
        method_for("atcon", "pooling")
