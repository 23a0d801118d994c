"""How weights start, from one explicit generator and never from the global one.

Source: the authors' program. Most layers start as N(0, 0.001) with zero bias; the relation fusion
and the relation discriminators keep the framework's default for a linear layer.
"""

import math

import torch
from torch import nn

NORMAL_STD = 0.001


def empty_linear(in_features: int, out_features: int) -> nn.Linear:
    """Return a linear layer with memory but no values, leaving the global generator untouched."""
    linear: nn.Linear = nn.utils.skip_init(  # type: ignore[no-untyped-call]
        nn.Linear, in_features, out_features
    )
    return linear


@torch.no_grad()
def initialise_normal(linear: nn.Linear, generator: torch.Generator) -> None:
    """Draw the weight from N(0, 0.001), 0.001 being the standard deviation; zero the bias."""
    nn.init.normal_(linear.weight, std=NORMAL_STD, generator=generator)
    nn.init.zeros_(linear.bias)


@torch.no_grad()
def initialise_default(linear: nn.Linear, generator: torch.Generator) -> None:
    """Draw weight and bias as `nn.Linear` does: uniform within 1 / sqrt(in_features)."""
    bound = 1 / math.sqrt(linear.in_features)
    nn.init.uniform_(linear.weight, -bound, bound, generator=generator)
    nn.init.uniform_(linear.bias, -bound, bound, generator=generator)
