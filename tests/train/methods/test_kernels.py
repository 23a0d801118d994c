"""Kernel discrepancies are those of three libraries, and finite where theirs are not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ta3n.train.loop.engine import Trainer
from ta3n.train.losses.mmd import mmd_loss
from ta3n.train.methods.kernels import adapt_loss, adversarial_layer, tllib_loss, xlearn_loss

from ...support.method_runs import check_precision, check_resumed, check_stacked, check_trains
from ...support.objectives import (
    GRADIENT_RTOL,
    Case,
    cases,
    check,
    check_gradients,
    check_value,
    inputs_of,
)

MakeTrainer = Callable[..., Trainer]
Loss = Callable[..., Tensor]
METHODS = (
    "dan-tllib",
    "dan-tllib-linear",
    "jan-tllib",
    "jan-tllib-linear",
    "jan-a-tllib",
    "dan-xlearn",
    "dan-xlearn-linear",
    "jan-xlearn-linear",
    "mmd-pytorch-adapt",
    "mmd-pytorch-adapt-linear",
    "jmmd-pytorch-adapt",
)


def layers_of(given: dict[str, Tensor], *, softmax: bool) -> list[Tensor]:
    layers = [torch.cat([given["f_s"], given["f_t"]])]
    if "g_s" in given:
        logits = torch.cat([given["g_s"], given["g_t"]])
        layers.append(logits.softmax(dim=-1) if softmax else logits)
    return layers


@pytest.mark.parametrize(
    ("name", "loss", "linear", "softmax"),
    [
        ("dan/tllib/nonlinear/5-5", tllib_loss, False, True),
        ("dan/tllib/linear/5-5", tllib_loss, True, True),
        ("jan/tllib/nonlinear/5-5", tllib_loss, False, True),
        ("jan/tllib/linear/5-5", tllib_loss, True, True),
        ("dan/atdoc-repo/DAN/5-5", xlearn_loss, False, True),
        ("dan/atdoc-repo/DAN_Linear/5-5", xlearn_loss, True, True),
        ("jan/atdoc-repo/JAN_Linear/5-5", xlearn_loss, True, True),
        ("mmd/pytorch-adapt/quadratic/one/6-4", adapt_loss, False, False),
        ("mmd/pytorch-adapt/linear/5-5", adapt_loss, True, False),
        ("jmmd/pytorch-adapt/quadratic/6-4", adapt_loss, False, True),
    ],
)
def test_it_is_the_librarys(
    shared: Path, name: str, loss: Loss, *, linear: bool, softmax: bool
) -> None:
    case = cases(shared)[name]
    count = case["inputs"]["f_s"]["shape"][0]
    check(case, lambda **given: loss(layers_of(given, softmax=softmax), count, linear=linear))


def test_an_adversarial_layer_ascends(shared: Path) -> None:
    case: Case = cases(shared)["jan/tllib/adversarial/5-5"]
    given = inputs_of(case)
    thetas = [torch.nn.Linear(width, width).double() for width in (8, 5)]
    for theta in thetas:
        torch.nn.init.eye_(theta.weight)
        torch.nn.init.zeros_(theta.bias)
    pairs = zip(thetas, layers_of(given, softmax=True), strict=True)
    value = tllib_loss([adversarial_layer(*pair) for pair in pairs], 5, linear=False)
    check_value(value, case["outputs"]["value"])
    for number, theta in enumerate(thetas):
        weight, bias = torch.autograd.grad(value, [*theta.parameters()], retain_graph=True)
        expected = case["parameter_gradients"][f"theta{number}"]
        check_value(weight.norm(), expected["weight_l2_norm"], GRADIENT_RTOL)
        check_value(weight[0], expected["weight_first_row"], GRADIENT_RTOL)
        check_value(bias, expected["bias"], GRADIENT_RTOL)
    check_gradients(case, value, given)


def test_the_biased_estimator_is_that_of_another_library(shared: Path) -> None:
    case = cases(shared)["mmd/atdoc-repo/MMD_loss/6-4"]
    given = inputs_of(case)
    value = mmd_loss(given["f_s"], given["f_t"], estimator="biased", bandwidth_floor=1e-12)
    check_value(value, case["outputs"]["value"])


def test_unequal_domains_use_what_they_have() -> None:
    features = torch.randn(10, 8, generator=torch.Generator().manual_seed(0)).double()
    for loss in (tllib_loss, xlearn_loss, adapt_loss):
        first = [torch.cat([features[:4], features[6:]])]
        # Along the batch, the domains go on as long as both last.
        assert loss([features], 6, linear=True) == loss(first, 4, linear=True)
        # Over all pairs, every video counts.
        moved = features.clone()
        moved[5] += 1
        assert loss([moved], 6, linear=False) != loss([features], 6, linear=False)


@pytest.mark.parametrize("linear", [False, True])
@pytest.mark.parametrize("loss", [tllib_loss, xlearn_loss, adapt_loss])
@pytest.mark.parametrize("num_source", [1, 2, 5])
@pytest.mark.parametrize("spread", [0.0, 1.0, 1e4])
def test_extremes_are_finite(loss: Loss, num_source: int, spread: float, *, linear: bool) -> None:
    """Items of one place, far apart, or a single one: published libraries give nan for some."""
    drawn = torch.randn(num_source + 1, 8, generator=torch.Generator().manual_seed(0))
    features = (3 + spread * drawn).requires_grad_()
    value = loss([features], num_source, linear=linear)
    (gradient,) = torch.autograd.grad(value, features)
    assert value.isfinite()
    assert gradient.isfinite().all()


@pytest.mark.parametrize("check_run", [check_stacked, check_resumed, check_precision, check_trains])
@pytest.mark.parametrize("method", METHODS)
def test_it_runs_like_any_other(
    make_trainer: MakeTrainer, method: str, check_run: Callable[[MakeTrainer, str], Any]
) -> None:
    check_run(make_trainer, method)
