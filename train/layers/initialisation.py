"""How weights start: from one explicit generator, and never from the global one.

Source: the authors' program. Most layers start as N(0, 0.001) with zero bias; the relation fusion
and the relation discriminators keep the framework's default for a linear layer.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import nn

Start = Literal["normal", "default"]

NORMAL_STD = 0.001


class Linear(nn.Linear):
    """A linear layer without values until `initialise` draws them.

    Args:
        start: `normal` draws the weight from N(0, 0.001), 0.001 being the standard deviation, and
            zeroes the bias; `default` draws both as `nn.Linear` does.
    """

    def __init__(self, in_features: int, out_features: int, start: Start = "normal") -> None:
        self.start = start
        super().__init__(in_features, out_features)

    def reset_parameters(self) -> None:
        """Draw nothing."""

    @torch.no_grad()
    def draw(self, generator: torch.Generator) -> None:
        """Draw weight and bias."""
        if self.start == "normal":
            nn.init.normal_(self.weight, std=NORMAL_STD, generator=generator)
            nn.init.zeros_(self.bias)
        else:
            bound = 1 / math.sqrt(self.in_features)
            nn.init.uniform_(self.weight, -bound, bound, generator=generator)
            nn.init.uniform_(self.bias, -bound, bound, generator=generator)


def initialise(module: nn.Module, generator: torch.Generator) -> None:
    """Draw the values of every `Linear` of a module, in the order of their names."""
    for layer in module.modules():
        if isinstance(layer, Linear):
            layer.draw(generator)


@contextmanager
def drawn_from(generator: torch.Generator) -> Iterator[None]:
    """Let layers that draw from the global generator draw from one of this generator's seed.

    The global generator is left as it was, and the given one is not moved.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(generator.initial_seed())
        yield
