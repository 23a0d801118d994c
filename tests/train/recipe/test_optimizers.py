"""If this breaks, runs move other than torch would, or load its compiler for nothing."""

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor

from ta3n.train.recipe.optimizers import make_optimizer, uncompiled
from ta3n.train.recipe.recipes import OFFICIAL, Optimizer

KINDS = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}


def moved(kind: type[torch.optim.Optimizer], **options: Any) -> Tensor:
    weight = torch.linspace(-1, 1, 12).reshape(3, 4).requires_grad_()
    optimizer = kind([weight], **options)
    for step in range(4):
        optimizer.zero_grad()
        (weight.square() * (step + 1)).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if step == 1:
            optimizer.load_state_dict(optimizer.state_dict())
    assert weight.requires_grad
    assert weight.grad_fn is None
    return weight.detach()


@pytest.mark.parametrize("name", KINDS)
def test_weights_are_moved_as_by_torch_to_the_bit(name: Optimizer) -> None:
    options = {"lr": 0.1, "weight_decay": 0.01, "fused": True}
    options |= {"momentum": 0.9, "nesterov": True} if name == "sgd" else {}
    assert torch.equal(moved(uncompiled(KINDS[name]), **options), moved(KINDS[name], **options))


def test_the_compiler_of_torch_is_not_loaded() -> None:
    """It takes seconds and 0.15 GB of every process."""
    code = """
import sys, torch
from ta3n.train.recipe.optimizers import make_optimizer
from ta3n.train.recipe.recipes import OFFICIAL
from ta3n.train.validators.dev import importance_weights
weight = torch.ones(3, requires_grad=True)
optimizer = make_optimizer([weight], OFFICIAL)
optimizer.zero_grad()
weight.sum().backward()
optimizer.step()
optimizer.load_state_dict(optimizer.state_dict())
importance_weights(*torch.rand(3, 40, 4))
assert "torch._dynamo" not in sys.modules
"""
    subprocess.run([sys.executable, "-P", "-c", code], check=True)


def test_no_gradient_of_a_step_is_kept() -> None:
    weight = torch.ones(3, requires_grad=True)
    optimizer = make_optimizer([weight], OFFICIAL)
    weight.sum().backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    state = optimizer.state_dict()["state"][0]
    assert not state["momentum_buffer"].requires_grad
