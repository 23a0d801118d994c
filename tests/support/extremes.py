"""Inputs at which published objectives are undefined, and what ours must be there: finite."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

SATURATED = torch.tensor([[900.0, 0, 0, 0, 0], [0, 900.0, 0, 0, 0], [900.0, 0, 0, 0, 0]])
"""Logits [3, 5] whose softmax is one-hot to the last bit, and misses three classes."""


def check_finite(objective: Callable[..., Tensor], *inputs: Tensor) -> None:
    """Hold that the value and every gradient is finite, in float32 and in float64."""
    for dtype in (torch.float32, torch.float64):
        own = [x.detach().clone().to(dtype).requires_grad_() for x in inputs]
        value = objective(*own)
        assert value.shape == ()
        assert bool(value.isfinite()), f"{value.item()} in {dtype}"
        for gradient in torch.autograd.grad(value, own, allow_unused=True):
            assert gradient is None or bool(gradient.isfinite().all()), f"gradient in {dtype}"


def check_stacks(objective: Callable[..., Tensor], *inputs: Tensor) -> None:
    """Hold that inputs side by side have the values and gradients that each has by itself."""
    each = [[x.detach() * factor for x in inputs] for factor in (1.0, 0.5, 2.0)]
    places = tuple(range(len(inputs)))
    of_one = torch.func.grad_and_value(objective, argnums=places)
    gradients, values = torch.func.vmap(of_one)(
        *(torch.stack(xs) for xs in zip(*each, strict=True))
    )
    for number, own in enumerate(each):
        expected, value = of_one(*own)
        assert values[number].item() == pytest.approx(value.item(), rel=1e-5, abs=1e-7)
        for gradient, wanted in zip(gradients, expected, strict=True):
            torch.testing.assert_close(gradient[number], wanted, rtol=1e-4, atol=1e-6)
