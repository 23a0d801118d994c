"""Losses follow the paper's formulas and stay finite for extreme logits."""

import math

import pytest
import torch

from ta3n.train.layers.attention import attend, domain_attention
from ta3n.train.loop.batches import Batch
from ta3n.train.loop.objective import Step
from ta3n.train.losses.entropy import attentive_entropy_loss, entropy
from ta3n.train.methods.adversarial import domain_loss
from ta3n.train.methods.registry import method_for
from ta3n.train.model.model import TA3N, ModelOutput, ModelSpec
from ta3n.train.recipe.recipes import OFFICIAL


def test_entropy_of_an_undecided_and_of_a_certain_video() -> None:
    logits = torch.tensor([[0.0, 0, 0, 0], [1000, -1000, -1000, -1000]], requires_grad=True)
    values = entropy(logits)
    assert values.tolist() == pytest.approx([math.log(4), 0.0])
    values.sum().backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert bool(logits.grad.isfinite().all())


def test_extreme_logits_give_finite_losses_and_gradients() -> None:
    classes = torch.tensor([[1000.0, -1000, 0], [-1000, 1000, 1000]], requires_grad=True)
    domains = torch.tensor([[1000.0, -1000], [-1000, 1000]], requires_grad=True)
    loss = attentive_entropy_loss(classes, domains) + domain_loss(domains[:1], domains[1:])
    loss.backward()  # type: ignore[no-untyped-call]
    assert bool(loss.isfinite())
    for logits in (classes, domains):
        assert logits.grad is not None
        assert bool(logits.grad.isfinite().all())


def test_classification_is_the_mean_negative_log_probability() -> None:
    logits = torch.tensor([[0.0, math.log(3)], [0.0, 0.0]])
    videos, model = torch.zeros(2, 5, 1), ModelSpec(num_classes=2, feature_dim=1)
    step = Step(
        model=TA3N(model, torch.Generator()),
        batch=Batch(source_features=videos, source_labels=torch.tensor([1, 0])),
        method=method_for("source-only", "relation"),
        recipe=OFFICIAL,
        output=ModelOutput(logits=logits, video_features=videos, classified=videos),
        weights={},
    )
    loss = step.classification()
    assert loss.item() == pytest.approx((math.log(4 / 3) + math.log(2)) / 2)


def test_domain_loss_counts_items_not_domains() -> None:
    # Three source items at probability 3/4 and one target item at 1/2.
    source = torch.tensor([[math.log(3), 0.0]]).expand(3, 2)
    loss = domain_loss(source, torch.zeros(1, 2))
    assert loss.item() == pytest.approx((3 * math.log(4 / 3) + math.log(2)) / 4)


def test_domain_loss_pools_the_relations_into_one_mean() -> None:
    generator = torch.Generator().manual_seed(0)
    source = torch.randn(3, 4, 2, generator=generator)
    target = torch.randn(2, 4, 2, generator=generator)
    pooled = domain_loss(source, target)
    each = torch.stack([domain_loss(source[:, r], target[:, r]) for r in range(4)])
    torch.testing.assert_close(pooled, each.mean())


def test_attentive_entropy_asks_most_of_videos_of_uncertain_domain() -> None:
    classes = torch.zeros(1, 2)
    uncertain = attentive_entropy_loss(classes, torch.zeros(1, 2))
    certain = attentive_entropy_loss(classes, torch.tensor([[1000.0, -1000.0]]))
    assert uncertain.item() == pytest.approx((1 + math.log(2)) * math.log(2))
    assert certain.item() == pytest.approx(math.log(2))


def test_attention_is_one_minus_domain_entropy_and_residual() -> None:
    weights = domain_attention(torch.tensor([[[0.0, 0.0], [1000.0, -1000.0]]]))
    assert weights.tolist() == [pytest.approx([1 - math.log(2), 1.0])]
    attended = attend(torch.ones(1, 2, 3), weights)
    assert attended[0, :, 0].tolist() == pytest.approx([2 - math.log(2), 2.0])
