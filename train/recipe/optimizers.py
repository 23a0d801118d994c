"""Optimisers by the name that a recipe gives them."""

from collections.abc import Iterable
from inspect import unwrap
from typing import TypeVar

import torch
from torch import Tensor

from ta3n.train.recipe.recipes import Recipe

Kind = TypeVar("Kind", bound=torch.optim.Optimizer)

_WRAPPED = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")


def uncompiled(kind: type[Kind]) -> type[Kind]:
    """Return the same optimiser without what torch wraps its methods in for its compiler.

    The wrappers load the compiler to tell it what not to compile, which takes seconds and 0.15 GB
    in every process, and nothing is compiled here. That of `step` also takes no gradients.
    """
    methods = {name: unwrap(getattr(kind, name)) for name in _WRAPPED}
    step = torch.no_grad()(unwrap(kind.step))
    return type(kind.__name__, (kind,), {**methods, "step": step})


def make_optimizer(parameters: Iterable[Tensor], recipe: Recipe) -> torch.optim.Optimizer:
    """Return the optimiser of a recipe, at its first rate.

    Each of them treats every number by itself, so that the stacked weights of several runs are
    moved as each alone.
    """
    # Fused: one pass over the weights instead of several, an eighth of the time on a CPU.
    if recipe.optimizer == "sgd":
        return uncompiled(torch.optim.SGD)(
            parameters,
            lr=recipe.learning_rate,
            momentum=recipe.momentum,
            nesterov=recipe.nesterov,
            weight_decay=recipe.weight_decay,
            fused=True,
        )
    kind = torch.optim.Adam if recipe.optimizer == "adam" else torch.optim.AdamW
    return uncompiled(kind)(
        parameters,
        lr=recipe.learning_rate,
        betas=(recipe.momentum, recipe.adam_beta2),
        weight_decay=recipe.weight_decay,
        fused=True,
    )
