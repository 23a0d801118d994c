"""Gradient reversal: the identity forwards, minus beta times the gradient backwards.

Source: Ganin and Lempitsky, the layer inside every adversarial discriminator of section 2.1.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

Coefficient = float | Tensor


class Coefficients(NamedTuple):
    """Reversal coefficient of each level at one step: a number or a 0-d tensor, never a ramp.

    That of `encoder` is of discriminators inside an encoder, where it has any.
    """

    relation: Coefficient
    video: Coefficient
    frame: Coefficient
    encoder: Coefficient = 0.0


class GradientReversal(torch.autograd.Function):
    """The autograd function behind `reverse_gradient`.

    `setup_context` and `generate_vmap_rule` make it usable under `torch.func`, so that several
    seeds can be trained as one batched program.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(features: Tensor, coefficient: Coefficient) -> Tensor:  # noqa: ARG004
        """Return a view of the features, whatever the coefficient."""
        return features.view_as(features)

    @staticmethod
    def setup_context(
        ctx: Any,
        inputs: tuple[Tensor, Coefficient],
        output: Tensor,  # noqa: ARG004
    ) -> None:
        """Keep the coefficient for the backward pass."""
        _, coefficient = inputs
        # A tensor must go through save_for_backward: only then does vmap see that it is batched.
        is_tensor = isinstance(coefficient, Tensor)
        ctx.coefficient = None if is_tensor else coefficient
        ctx.save_for_backward(*((coefficient,) if is_tensor else ()))

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, None]:
        """Return minus coefficient times the gradient, and none for the coefficient."""
        coefficient = ctx.saved_tensors[0] if ctx.coefficient is None else ctx.coefficient
        return -coefficient * grads[0], None


def reverse_gradient(features: Tensor, coefficient: Coefficient) -> Tensor:
    """Return the features unchanged, with their gradient multiplied by minus the coefficient.

    Args:
        features: any shape.
        coefficient: beta, a number or a 0-d tensor; 0 stops the gradient's value, 1 flips its sign.
    """
    reversed_features: Tensor = GradientReversal.apply(features, coefficient)
    return reversed_features
