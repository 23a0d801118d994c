"""CORAL is the published one, and its default has one weight for all scales and widths."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ta3n.train.methods.coral import classified_coral, coral, coral_root, coral_with_means

from ...support.extremes import check_finite, check_stacks
from ...support.method_runs import MakeTrainer, check_precision, check_stacked, check_trains
from ...support.objectives import cases, check, wave

CLASSIFIER = wave([5, 8], 6, 0.3)


def classified(source: Tensor, target: Tensor) -> Tensor:
    return classified_coral(source, target, CLASSIFIER.to(source))


FORMS = (coral, coral_with_means, coral_root, classified)


def features() -> tuple[Tensor, Tensor]:
    return wave([6, 8], 3, 1.5).abs(), wave([4, 8], 4, 1.2).abs() + 0.2


@pytest.mark.parametrize(
    ("case", "objective"), [("pytorch-adapt", coral), ("atdoc-repo", coral_root)]
)
def test_value_and_gradient_are_published(
    shared: Path, case: str, objective: Callable[[Tensor, Tensor], Tensor]
) -> None:
    check(
        cases(shared)[f"coral/{case}/6-4"],
        lambda features_s, features_t: objective(features_s, features_t),
    )


def test_the_term_of_means_is_added_to_four_times_the_papers() -> None:
    source, target = features()
    covariances = [torch.cov(x.T) for x in (source, target)]
    expected = (covariances[0] - covariances[1]).square().mean()
    expected = expected + (source.mean(dim=0) - target.mean(dim=0)).square().mean()
    assert coral_with_means(source, target).item() == pytest.approx(expected.item(), rel=1e-12)


def test_one_weight_serves_all_scales_and_widths() -> None:
    source, target = features()
    expected = classified(source, target).item()
    for scale in (0.01, 30.0):
        other = classified_coral(scale * source, scale * target, CLASSIFIER / scale)
        assert other.item() == pytest.approx(expected, rel=1e-10)
    # Twice as wide: every feature is there twice, and the logits are as before.
    twice = classified_coral(
        torch.cat([source, source], dim=1),
        torch.cat([target, target], dim=1),
        torch.cat([CLASSIFIER, CLASSIFIER], dim=1) / 2,
    )
    assert twice.item() == pytest.approx(expected, rel=1e-10)


def test_it_moves_features_and_not_the_classifier() -> None:
    source, target = (x.requires_grad_() for x in features())
    classifier = CLASSIFIER.clone().requires_grad_()
    value = classified_coral(source, target, classifier)
    moved = torch.autograd.grad(value, [source, target, classifier], allow_unused=True)
    assert all(gradient is not None and gradient.any() for gradient in moved[:2])
    assert moved[2] is None


@pytest.mark.parametrize("objective", FORMS)
def test_equal_features_and_a_single_video_are_finite(
    objective: Callable[[Tensor, Tensor], Tensor],
) -> None:
    source, target = features()
    for first, second in ((source, source), (source[:1], target), (source[:1], target[:1])):
        check_finite(objective, first, second)
    check_finite(objective, torch.zeros(3, 8), torch.zeros(2, 8))
    check_stacks(objective, source.float(), target.float())


@pytest.mark.parametrize("objective", [coral, coral_root, classified])
def test_a_single_video_asks_nothing_of_the_other_domains_covariance(
    objective: Callable[[Tensor, Tensor], Tensor],
) -> None:
    source, target = (x.requires_grad_() for x in features())
    for first, second in ((source[:1], target), (source, target[:1])):
        value = objective(first, second)
        assert value.item() == 0
        assert not any(g.any() for g in torch.autograd.grad(value, [source, target]))
    means = coral_with_means(source[:1], target).item()
    assert means == pytest.approx((source[0] - target.mean(dim=0)).square().mean().item())


@pytest.mark.parametrize("method", ["coral", "coral-paper", "coral-mean", "coral-root"])
def test_it_trains_alone_and_stacked(make_trainer: MakeTrainer, method: str) -> None:
    check_trains(make_trainer, method)
    check_stacked(make_trainer, method)
    check_precision(make_trainer, method)
