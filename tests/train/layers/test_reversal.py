"""The gradient is reversed once: neither never nor twice."""

from typing import cast

import pytest
import torch
from torch import Tensor
from torch.func import grad, vmap

from ta3n.train.layers.discriminator import Discriminator
from ta3n.train.layers.initialisation import initialise
from ta3n.train.layers.reversal import Coefficient, reverse_gradient


@pytest.mark.parametrize("coefficient", [0.75, 0.0, torch.tensor(0.3)])
def test_backward_is_exactly_minus_beta_times_the_gradient(coefficient: Coefficient) -> None:
    features = torch.tensor([[0.5, -2.0, 3.0]], requires_grad=True)
    upstream = torch.tensor([[1.7, 0.1, -0.9]])
    reversed_features = reverse_gradient(features, coefficient)
    assert torch.equal(reversed_features, features)
    (gradient,) = torch.autograd.grad(reversed_features, features, upstream)
    assert torch.equal(gradient, -coefficient * upstream)


def make_discriminator() -> Discriminator:
    discriminator = Discriminator(4, "default")
    initialise(discriminator, torch.Generator().manual_seed(0))
    return discriminator


def test_a_discriminator_learns_while_its_features_unlearn() -> None:
    discriminator = make_discriminator()
    features = torch.randn(6, 4, generator=torch.Generator().manual_seed(1), requires_grad=True)
    labels = torch.tensor([0, 1, 0, 1, 0, 1])

    def gradients(logits: Tensor) -> tuple[Tensor, ...]:
        loss = torch.nn.functional.cross_entropy(logits, labels)
        return torch.autograd.grad(loss, [features, discriminator.output.weight])

    plain = discriminator.output(discriminator.hidden(features).relu())
    plain_features, plain_weight = gradients(plain)
    hat_features, hat_weight = gradients(discriminator(features, 0.5))
    assert torch.equal(hat_weight, plain_weight)
    assert torch.equal(hat_features, -0.5 * plain_features)
    assert hat_features.abs().sum() > 0


def test_coefficients_can_differ_between_stacked_members() -> None:
    def member_gradient(features: Tensor, coefficient: Tensor) -> Tensor:
        def loss(value: Tensor) -> Tensor:
            return (reverse_gradient(value, coefficient) ** 2).sum()

        return cast(Tensor, grad(loss)(features))

    features, coefficients = torch.arange(6.0).reshape(2, 3), torch.tensor([0.5, 2.0])
    stacked = vmap(member_gradient)(features, coefficients)
    assert torch.equal(stacked, -coefficients[:, None] * 2 * features)


def test_reversal_agrees_with_pytorch_revgrad() -> None:
    theirs = pytest.importorskip("pytorch_revgrad", exc_type=ImportError)
    values = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    first, second = values.clone().requires_grad_(), values.clone().requires_grad_()
    (theirs.RevGrad(alpha=0.7)(first) ** 3).sum().backward()
    (reverse_gradient(second, 0.7) ** 3).sum().backward()  # type: ignore[no-untyped-call]
    assert first.grad is not None
    assert second.grad is not None
    assert torch.equal(first.grad, second.grad)
