"""Discrepancies are the published formulas, for any sizes, and stay finite where features agree."""

from itertools import combinations
from math import exp
from typing import cast, get_args

import pytest
import torch
from torch import Tensor

from ta3n.train.losses.mmd import joint_mmd_loss, mmd_loss, squared_distances
from ta3n.train.methods.mcd import classifier_discrepancy
from ta3n.train.recipe.recipes import MmdEstimator

SIZES = [(6, 6), (5, 3), (2, 7), (1, 4), (1, 1)]


def draw(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def distance(x: Tensor, y: Tensor) -> float:
    return sum((float(a) - float(b)) ** 2 for a, b in zip(x, y, strict=True))


def kernel_by_loops(items: Tensor, num_bandwidths: int) -> list[list[float]]:
    """A sum of Gaussian kernels, every entry by itself."""
    pairs = list(combinations(range(len(items)), 2))
    mean = sum(distance(items[i], items[j]) for i, j in pairs) / len(pairs)
    widths = [mean * 2.0 ** (i - num_bandwidths // 2) for i in range(num_bandwidths)]
    return [[sum(exp(-distance(x, y) / w) for w in widths) for y in items] for x in items]


def joint_mmd_by_loops(
    source: list[Tensor], target: list[Tensor], numbers: tuple[int, ...], estimator: MmdEstimator
) -> float:
    """Squared joint MMD, term by term (Long et al., equation 9)."""
    n, m = len(source[0]), len(target[0])
    if estimator == "paired":
        n = m = min(n, m)
    layers = [torch.cat([s[:n], t[:m]]) for s, t in zip(source, target, strict=True)]
    kernels = [kernel_by_loops(x, k) for x, k in zip(layers, numbers, strict=True)]

    def joint(i: int, j: int) -> float:
        value = 1.0
        for kernel in kernels:
            value *= kernel[i][j]
        return value

    def mean(first: range, second: range) -> float:
        same = first == second
        skip = estimator == "unbiased" and same and len(first) > 1
        pairs = [(i, j) for i in first for j in second if not (skip and i == j)]
        return sum(joint(i, j) for i, j in pairs) / len(pairs)

    s, t = range(n), range(n, n + m)
    return mean(s, s) + mean(t, t) - 2 * mean(s, t)


@pytest.mark.parametrize("estimator", get_args(MmdEstimator))
@pytest.mark.parametrize(("n", "m"), SIZES)
def test_joint_mmd_is_the_plain_double_loop(n: int, m: int, estimator: MmdEstimator) -> None:
    source = [draw(n, 4, seed=1), draw(n, 3, seed=2)]
    target = [draw(m, 4, seed=3) + 1, draw(m, 3, seed=4)]
    loss = joint_mmd_loss(
        source, target, num_bandwidths=(2, 5), estimator=estimator, bandwidth_floor=1e-12
    )
    expected = joint_mmd_by_loops(source, target, (2, 5), estimator)
    assert loss.item() == pytest.approx(expected, rel=1e-10, abs=1e-12)


@pytest.mark.parametrize("estimator", get_args(MmdEstimator))
@pytest.mark.parametrize(("n", "m"), SIZES)
def test_mmd_is_the_joint_one_of_a_single_layer(n: int, m: int, estimator: MmdEstimator) -> None:
    source, target = draw(n, 4, seed=1), draw(m, 4, seed=2)
    loss = mmd_loss(source, target, estimator=estimator, bandwidth_floor=1e-12)
    expected = joint_mmd_by_loops([source], [target], (5,), estimator)
    assert loss.item() == pytest.approx(expected, rel=1e-10, abs=1e-12)


def test_only_the_unbiased_estimator_is_negative_and_only_it_is_centred() -> None:
    """Over many samples of one distribution: unbiased averages 0, biased is above 0 always."""
    losses = {
        name: [
            mmd_loss(
                draw(4, 3, seed=2 * i),
                draw(6, 3, seed=2 * i + 1),
                estimator=name,
                bandwidth_floor=1e-12,
            ).item()
            for i in range(300)
        ]
        for name in get_args(MmdEstimator)
    }
    assert min(losses["biased"]) > 0
    assert min(losses["paired"]) > 0
    assert min(losses["unbiased"]) < 0
    assert abs(sum(losses["unbiased"]) / 300) < 0.03
    assert sum(losses["biased"]) / 300 > 0.5


@pytest.mark.parametrize("estimator", get_args(MmdEstimator))
@pytest.mark.parametrize("spread", [0.0, 1e-30, 1e-12, 1.0])
def test_features_that_agree_give_finite_losses_and_gradients(
    estimator: MmdEstimator, spread: float
) -> None:
    """The bandwidth collapses with the features; the original program divided by it."""
    items = (3 + spread * draw(5, 4)).float().requires_grad_()
    logits = torch.zeros(5, 3, requires_grad=True)
    loss = joint_mmd_loss(
        [logits.softmax(1)[:3], items[:3]],
        [logits.softmax(1)[3:], items[3:]],
        num_bandwidths=(2, 5),
        estimator=estimator,
        bandwidth_floor=1e-6,
    )
    loss.backward()  # type: ignore[no-untyped-call]
    assert bool(loss.isfinite())
    for tensor in (items, logits):
        assert tensor.grad is not None
        assert bool(tensor.grad.isfinite().all())


def test_distances_keep_their_digits_far_from_the_origin() -> None:
    near = draw(5, 4).float()
    far = squared_distances(near + 1000)
    torch.testing.assert_close(far, squared_distances(near), rtol=2e-3, atol=1e-4)


def test_classifiers_differ_by_their_mean_absolute_difference() -> None:
    first, second = torch.tensor([[0.0, 0.0]]), torch.tensor([[1000.0, -1000.0]])
    assert classifier_discrepancy(first, second).item() == pytest.approx(0.5)
    a, b = draw(3, 4, seed=1), draw(3, 4, seed=2)
    expected = sum(
        abs(float(p) - float(q))
        for p, q in zip(a.softmax(1).flatten(), b.softmax(1).flatten(), strict=True)
    )
    assert classifier_discrepancy(a, b).item() == pytest.approx(expected / 12)
    assert classifier_discrepancy(a, a).item() == 0


def mean_distance(*items: Tensor) -> float:
    distances = squared_distances(torch.cat(items))
    return float(distances.sum()) / (len(distances) * (len(distances) - 1))


def test_discrepancies_agree_with_pytorch_adapt() -> None:
    """Its kernels are means where ours are sums, and its layers share one bandwidth."""
    theirs = pytest.importorskip("pytorch_adapt.layers.mmd_loss", exc_type=ImportError)
    mcd = pytest.importorskip("pytorch_adapt.layers.mcd_loss", exc_type=ImportError)
    a, b = draw(6, 4, seed=1), draw(9, 4, seed=2)
    scales = torch.tensor([2.0 ** (2 - i) for i in range(5)], dtype=torch.float64)
    loss = theirs.MMDLoss(kernel_scales=scales, mmd_type="quadratic", bandwidth=mean_distance(a, b))
    ours = mmd_loss(a, b, estimator="unbiased", bandwidth_floor=1e-12)
    torch.testing.assert_close(5 * cast(Tensor, loss(a, b)), ours)
    layers = [a, a.flip(1)], [b, b.flip(1)]
    joint = joint_mmd_loss(
        *layers, num_bandwidths=(5, 5), estimator="unbiased", bandwidth_floor=1e-12
    )
    torch.testing.assert_close(25 * cast(Tensor, loss(*layers)), joint)
    torch.testing.assert_close(mcd.MCDLoss()(a, b[:6]), classifier_discrepancy(a, b[:6]))
