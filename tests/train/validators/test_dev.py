"""If this breaks, deep embedded validation weighs source errors by something else than likeness."""

from math import exp

import numpy as np
import pytest
import torch
from torch import Tensor

from ta3n.train.validators.dev import (
    MOST_VIDEOS,
    effective_sample,
    importance_weights,
    weighted_risk,
)
from ta3n.train.validators.rules import Score, deep_embedded_validation


def draw(n: int, width: int, *, seed: int, shift: float = 0.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(n, width, generator=generator)
    features[:, 0] += shift
    return features


def risk_by_loops(weights: list[float], errors: list[float]) -> float:
    losses = [w * e for w, e in zip(weights, errors, strict=True)]
    n = len(weights)
    mean_loss, mean_weight = sum(losses) / n, sum(weights) / n
    deviations = [weight - mean_weight for weight in weights]
    covariance = sum((x - mean_loss) * d for x, d in zip(losses, deviations, strict=True)) / (n - 1)
    variance = sum(d * d for d in deviations) / (n - 1)
    eta = -covariance / variance
    return mean_loss + eta * mean_weight - eta


def test_risk_is_the_plain_formula() -> None:
    weights, errors = [0.2, 1.5, 0.9, 2.5, 0.1], [1.0, 0.0, 1.0, 1.0, 0.0]
    ours = weighted_risk(torch.tensor(weights).double(), torch.tensor(errors).double())
    assert ours == pytest.approx(risk_by_loops(weights, errors), abs=1e-6)


def test_equal_weights_give_the_plain_error() -> None:
    errors = torch.tensor([1.0, 0, 0, 1, 0]).double()
    assert weighted_risk(torch.ones(5).double(), errors) == pytest.approx(0.4)


def test_risk_agrees_with_pytorch_adapt() -> None:
    theirs = pytest.importorskip(
        "pytorch_adapt.validators.deep_embedded_validator", exc_type=ImportError
    )
    weights = draw(50, 1, seed=0).exp().double()
    errors = (draw(50, 1, seed=1) > 0).double()
    expected = float(theirs.get_dev_risk(weights, errors, None))
    assert weighted_risk(weights[:, 0], errors[:, 0]) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("shift", [0.0, 0.5, 1.0])
def test_weights_are_the_density_ratio(shift: float) -> None:
    """Of Gaussians, where exp(shift x - shift^2 / 2) is the ratio, for unequal domain sizes."""
    source, target = draw(500, 3, seed=1), draw(300, 3, seed=2, shift=shift)
    videos = draw(200, 3, seed=3)
    true = [exp(shift * float(x) - shift**2 / 2) for x in videos[:, 0]]
    weights = importance_weights(source, target, videos)
    assert weights.dtype == torch.float64
    error = np.abs(np.log(weights.numpy()) - np.log(true))
    assert float(error.mean()) < 0.2
    assert float(weights.mean()) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("width", [4, 700])
def test_domains_that_are_alike_get_weights_near_one(width: int) -> None:
    """Wider than there are videos, any domains can be told apart; the decay prevents it."""
    weights = importance_weights(
        draw(60, width, seed=1), draw(40, width, seed=2), draw(30, width, seed=3)
    )
    assert float(weights.min()) > 0.3
    assert float(weights.max()) < 3


def test_more_videos_than_are_used_are_taken_evenly() -> None:
    """The first videos are of another kind: only an even choice gives the right ratio."""
    source = torch.cat([draw(900, 2, seed=1, shift=8), draw(900, 2, seed=2)])
    target = draw(MOST_VIDEOS + 1, 2, seed=3)
    like_target = importance_weights(source, target, draw(100, 2, seed=4))
    unlike = importance_weights(source, target, draw(100, 2, seed=4, shift=8))
    assert float(like_target.mean()) == pytest.approx(2, abs=0.3)
    assert float(unlike.max()) < 0.2


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_constant_features_and_any_scale_are_harmless(scale: float) -> None:
    source, target = draw(50, 3, seed=1), draw(50, 3, seed=2, shift=1)
    expected = importance_weights(source, target, source)
    constant = torch.full((50, 2), 0.1)

    def padded(features: Tensor) -> Tensor:
        return torch.cat([features, constant], dim=1) * scale

    weights = importance_weights(padded(source), padded(target), padded(source))
    assert bool(weights.isfinite().all())
    torch.testing.assert_close(weights, expected, rtol=1e-3, atol=0)


def test_errors_count_where_the_target_is() -> None:
    """Of two models that are wrong equally often, the one that is right near the target wins."""
    source, target = draw(300, 2, seed=1), draw(300, 2, seed=2, shift=1.5)
    held_out = draw(200, 2, seed=3)
    labels = torch.zeros(200, dtype=torch.int64)
    near = held_out[:, 0] > held_out[:, 0].median()

    def score(wrong: Tensor) -> float:
        logits = torch.stack([torch.zeros(200), 2 * wrong.float() - 1], dim=1)
        return deep_embedded_validation(source, target, held_out, logits, labels).value

    assert score(~near) > score(near) + 0.3
    assert score(torch.zeros(200, dtype=torch.bool)) == 0


def test_effective_sample_is_that_of_equally_weighted_videos() -> None:
    assert effective_sample(torch.full((30,), 0.7).double()) == pytest.approx(30)
    one_counts = torch.tensor([1.0, *[0.0] * 29]).double()
    assert effective_sample(one_counts) == 1
    assert effective_sample(torch.tensor([2.0, 1.0]).double()) == pytest.approx(9 / 5)
    assert effective_sample(torch.zeros(30).double()) == 0


def dev(shift: float, wrong: Tensor) -> Score:
    """Return the score for a target that lies apart from the source by so much."""
    source, target = draw(300, 2, seed=1), draw(300, 2, seed=2, shift=shift)
    held_out = draw(len(wrong), 2, seed=3)
    logits = torch.stack([torch.zeros(len(wrong)), 2 * wrong.float() - 1], dim=1)
    labels = torch.zeros(len(wrong), dtype=torch.int64)
    return deep_embedded_validation(source, target, held_out, logits, labels)


def test_weights_are_told_beside_the_score() -> None:
    score = dev(0.5, torch.arange(200) % 4 == 0)
    assert score.withheld == ""
    assert score.value == pytest.approx(-0.25, abs=0.1)
    assert score.measures["estimated_error"] == -score.value
    assert score.measures["mean_weight"] == pytest.approx(1, abs=0.2)
    assert 100 < score.measures["effective_videos"] < 200


def test_a_score_of_few_effective_videos_is_withheld() -> None:
    """Domains that hardly overlap: the few videos near the target carry all weight."""
    score = dev(3.0, torch.arange(200) % 4 == 0)
    assert score.measures["effective_videos"] < 25
    assert score.withheld == "the effective sample is below 25 videos"


def test_weights_that_are_not_one_in_the_mean_are_withheld() -> None:
    """The held-out videos are none of the source's kind: the density ratio is not theirs."""
    source, target = draw(300, 2, seed=1), draw(300, 2, seed=2, shift=1.5)
    far = draw(200, 2, seed=3, shift=3.0)
    logits, labels = torch.zeros(200, 2), torch.arange(200) % 2
    score = deep_embedded_validation(source, target, far, logits, labels)
    assert score.measures["mean_weight"] > 2
    assert score.measures["effective_videos"] > 25
    assert score.withheld == "the mean weight is not within a factor of 2 of 1"


def test_an_error_below_zero_is_withheld() -> None:
    """Wrong just where weights are largest, which are above 1: the control variate overshoots."""
    source, target = draw(300, 2, seed=1), draw(300, 2, seed=2, shift=1.0)
    near = draw(200, 2, seed=3, shift=0.5)
    wrong = near[:, 0] > near[:, 0].quantile(0.95)
    logits = torch.stack([torch.zeros(200), 2 * wrong.float() - 1], dim=1)
    labels = torch.zeros(200, dtype=torch.int64)
    score = deep_embedded_validation(source, target, near, logits, labels)
    assert score.measures["estimated_error"] < 0
    assert score.withheld == "the estimated error is not between 0 and 1"
