"""CDAN is that of the library and of the authors, and finite where theirs is not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ta3n.train.loop.engine import Trainer
from ta3n.train.methods.cdan import Conditioning, cdan_loss, certainty, joint_features
from ta3n.train.recipe.schedule import dann_ramp

from ...support.method_runs import check_precision, check_resumed, check_stacked, check_trains
from ...support.objectives import (
    GRADIENT_RTOL,
    Case,
    cases,
    check_gradients,
    check_value,
    inputs_of,
    wave,
)

MakeTrainer = Callable[..., Trainer]
METHODS = ("cdan", "cdan-e", "cdan-e-original", "cdan-e-random")
RANDOM = {"features": wave((8, 6), 50, 1), "classes": wave((5, 6), 51, 1)}


def discriminator(width: int) -> nn.Sequential:
    """Return the discriminator of the reference cases."""
    layers = nn.Sequential(nn.Linear(width, 7), nn.ReLU(), nn.Linear(7, 1)).double()
    for k, parameter in enumerate(layers.parameters(), 40):
        scale = parameter.shape[-1] ** -0.5 if parameter.ndim == 2 else 0.05
        parameter.data = wave(tuple(parameter.shape), k, scale)
    return layers


def check_all(case: Case, judge: nn.Module, inputs: dict[str, Tensor], value: Tensor) -> None:
    check_value(value, case["outputs"]["value"])
    for (name, parameter), expected in zip(
        judge.named_parameters(), case["parameter_gradients"].items(), strict=True
    ):
        assert name == expected[0]
        (gradient,) = torch.autograd.grad(value, parameter, retain_graph=True)
        check_value(gradient, expected[1], GRADIENT_RTOL)
    check_gradients(case, value, inputs)


@pytest.mark.parametrize(
    ("name", "conditioning", "maps"),
    [
        ("cdan/tllib/plain/it300", "none", {}),
        ("cdan/tllib/E/it300", "entropy", {}),
        ("cdan/tllib/E/it0", "entropy", {}),
        ("cdan/tllib/E/randomized/it300", "entropy", RANDOM),
    ],
)
def test_it_is_the_librarys(
    shared: Path, name: str, conditioning: Conditioning, maps: dict[str, Tensor]
) -> None:
    case = cases(shared)[name]
    inputs = inputs_of(case)
    judge = discriminator(6 if maps else 40)
    value = cdan_loss(
        torch.cat([inputs["logits_s"], inputs["logits_t"]]),
        torch.cat([inputs["features_s"], inputs["features_t"]]),
        num_source=6,
        judge=judge,
        coefficient=case["outputs"]["reversal_coefficient"],
        conditioning=conditioning,
        maps=maps,
    )
    check_all(case, judge, inputs, value)


@pytest.mark.parametrize(
    ("name", "conditioning"),
    [("cdan/original/plain/5-5", "none"), ("cdan/original/E/5-5", "original")],
)
def test_it_is_the_authors(shared: Path, name: str, conditioning: Conditioning) -> None:
    case = cases(shared)[name]
    inputs, judge = inputs_of(case), discriminator(40)
    value = cdan_loss(
        **inputs,
        num_source=5,
        judge=judge,
        coefficient=case["parameters"]["reversal_coefficient"],
        conditioning=conditioning,
        maps={},
    )
    check_all(case, judge, inputs, value)


def test_the_map_goes_class_by_class(shared: Path) -> None:
    case = cases(shared)["cdan/multilinear-map"]
    inputs = inputs_of(case)
    products = joint_features(inputs["p"], inputs["f"], {})
    check_value(products, case["outputs"]["map"])
    value = (products * wave((2, 12), 9, 1)).sum()
    check_value(value, case["outputs"]["value"])
    check_gradients(case, value, inputs)


def test_weights_of_one_domain(shared: Path) -> None:
    case = cases(shared)["cdan/entropy-weights/pytorch-adapt"]
    weights = certainty(inputs_of(case)["logits"].softmax(dim=-1))
    # That library has another epsilon inside the logarithm.
    check_value(weights / weights.sum(), case["outputs"]["weights"], rtol=1e-4)


def test_the_ramp_is_the_authors(shared: Path) -> None:
    case = cases(shared)["ramp/reversal"]
    ours = [dann_ramp(i / 10000) for i in case["inputs"]["iteration"]["values"]]
    expected = case["outputs"]["CDAN original (alpha 10, hi 1, N 10000)"]
    check_value(torch.tensor(ours, dtype=torch.float64), expected)


@pytest.mark.parametrize("conditioning", ["none", "entropy", "original"])
@pytest.mark.parametrize("num_source", [1, 7])
def test_extremes_are_finite(conditioning: Conditioning, num_source: int) -> None:
    logits = torch.zeros(num_source + 1, 5)
    logits[:, 2] = 1e4
    logits.requires_grad_()
    features = torch.full((num_source + 1, 8), 1e4, requires_grad=True)
    judge = discriminator(40).float()
    for parameter in judge.parameters():
        parameter.data = parameter.data.abs()  # a discriminator that is sure, and wrong
    value = cdan_loss(
        logits,
        features,
        num_source=num_source,
        judge=judge,
        coefficient=1.0,
        conditioning=conditioning,
        maps={},
    )
    value.backward()  # type: ignore[no-untyped-call]
    assert value.isfinite()
    assert value > 100
    assert features.grad is not None
    assert features.grad.isfinite().all()
    assert features.grad.any()
    assert logits.grad is None or logits.grad.isfinite().all()


@pytest.mark.parametrize("check", [check_stacked, check_resumed, check_precision, check_trains])
@pytest.mark.parametrize("method", METHODS)
def test_it_runs_like_any_other(
    make_trainer: MakeTrainer, method: str, check: Callable[[MakeTrainer, str], Any]
) -> None:
    check(make_trainer, method)


def test_the_randomised_map_is_the_seeds_and_taken_where_products_are_many(
    make_trainer: MakeTrainer,
) -> None:
    def maps(method: str, **changes: Any) -> dict[str, Tensor]:
        model = make_trainer(method, **changes).model
        return {name: value for name, value in model.state_dict().items() if "memory" in name}

    first, again, other = (maps("cdan-e-random", seed=seed) for seed in (1, 1, 2))
    assert {tuple(value.shape) for value in first.values()} == {(8, 1024), (3, 1024)}
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first)
    assert not maps("cdan", relation_dim=1365)  # 3 classes: 4095 products
    assert maps("cdan", relation_dim=1366)
