"""MDD is that of the library, for unequal domains too, and its clamp is exact."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ta3n.train.loop.batches import Batch
from ta3n.train.loop.engine import Trainer
from ta3n.train.loop.objective import run_update
from ta3n.train.methods.mdd import (
    margin_disparity_discrepancy,
    source_disparity,
    target_disparity,
)

from ...support.method_runs import check_precision, check_resumed, check_stacked, check_trains
from ...support.objectives import cases, check, check_value, inputs_of

MakeTrainer = Callable[..., Trainer]


@pytest.mark.parametrize(
    ("name", "times"),
    [("5-5/mean", 1), ("5-5/sum", 5), ("6-4/composed", 1)],
)
def test_it_is_the_librarys(shared: Path, name: str, times: int) -> None:
    check(
        cases(shared)[f"mdd/tllib/margin4/{name}"],
        lambda y_s, adv_s, y_t, adv_t: times * margin_disparity_discrepancy(y_s, adv_s, y_t, adv_t),
    )


def test_each_domain_has_its_own_disparity(shared: Path) -> None:
    case = cases(shared)["mdd/tllib/margin4/6-4/composed"]
    given = inputs_of(case)
    expected = case["outputs"]
    check_value(source_disparity(given["y_s"], given["adv_s"]), expected["source_disparity"])
    check_value(target_disparity(given["y_t"], given["adv_t"]), expected["target_disparity"])


@pytest.mark.parametrize("name", ["mdd/saturated-target", "mdd/tiny-target"])
def test_the_clamp_is_exact(shared: Path, name: str) -> None:
    check(cases(shared)[name], lambda y_t, adv_t: target_disparity(y_t, adv_t).mean())


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_extremes_are_finite_in_float32(sign: float) -> None:
    logits = torch.tensor([[9.0, 0.0, 0.0]])
    adversarial = torch.tensor([[sign * 1e4, 0.0, 0.0]], requires_grad=True)
    value = margin_disparity_discrepancy(logits, adversarial, logits, adversarial)
    value.backward()  # type: ignore[no-untyped-call]
    assert value.isfinite()
    assert adversarial.grad is not None
    assert adversarial.grad.isfinite().all()


def test_the_gradient_is_turned_before_the_adversary(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer("mdd")
    trainer.run_epoch()
    data, model = trainer.data, trainer.model
    batch = Batch(
        source_features=data.source_features,
        source_labels=data.source_labels,
        target_features=data.target_features,
    )

    def gradients(weight: float) -> tuple[torch.Tensor, ...]:
        weights = {"mdd": weight}
        run = run_update(model, batch, None, objective=trainer.objective, weights=weights)
        moved = [model.frame_fc.weight, model.get_parameter("extra.mdd.1.weight")]
        return torch.autograd.grad(run.losses["disparity_mdd"], moved)

    turned, plain = gradients(0.3), gradients(-1.0)  # -1 turns it back
    assert plain[0].any()
    torch.testing.assert_close(turned[0], -0.3 * plain[0])
    torch.testing.assert_close(turned[1], plain[1])


@pytest.mark.parametrize("check_run", [check_stacked, check_resumed, check_precision, check_trains])
def test_it_runs_like_any_other(
    make_trainer: MakeTrainer, check_run: Callable[[MakeTrainer, str], Any]
) -> None:
    check_run(make_trainer, "mdd")
