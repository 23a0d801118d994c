"""One training step: losses, gradient, update, without ever waiting for the device.

Shapes: a loss is a 0-d tensor for one run, or [N] for N stacked seeds.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from ta3n.common.errors import UsageError
from ta3n.train.layers.dropout import DropoutMasks
from ta3n.train.loop.batches import Batch
from ta3n.train.loop.measurements import Measured
from ta3n.train.loop.objective import Objective, Weights, next_states, run_update
from ta3n.train.methods.base import Update
from ta3n.train.model.model import TA3N


class StepResult(NamedTuple):
    """What a step measured, on the device and without a graph.

    Attributes:
        losses: of `compute_losses` (of an update that is repeated, the last), with the `total` of
            the joint update, and `grad_norm`, the norm of its gradient before clipping.
        measured: of `measure`, in the joint update.
    """

    losses: Measured
    measured: Measured


R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class OnOneRun(Protocol[R_co]):
    """A function of the model of one run, its batch and its dropout masks."""

    def __call__(self, model: TA3N, batch: Batch, masks: DropoutMasks | None, /) -> R_co:
        """Return tensors, in dictionaries or named tuples."""
        ...


class Learner(Protocol):
    """The weights of one run, or of several stacked ones, and how they are moved.

    Attributes:
        buffers: running statistics and what terms keep, by name.
    """

    parameters: Mapping[str, Tensor]
    buffers: Mapping[str, Tensor]
    optimizer: torch.optim.Optimizer

    def on_each(self, function: OnOneRun[R], batch: Batch, masks: DropoutMasks | None) -> R:
        """Call a function on the weights of each run; its tensors get a leading [N] if stacked."""
        ...

    def clip(self, parameters: Sequence[Tensor], clip_norm: float) -> Tensor:
        """Scale the gradients down to a norm, run by run; return the norm before."""
        ...


class SingleLearner:
    """One model and its optimiser."""

    def __init__(self, model: TA3N, optimizer: torch.optim.Optimizer) -> None:
        self._model = model
        self.optimizer = optimizer
        self.parameters: Mapping[str, Tensor] = dict(model.named_parameters())
        self.buffers: Mapping[str, Tensor] = dict(model.named_buffers())

    def on_each(self, function: OnOneRun[R], batch: Batch, masks: DropoutMasks | None) -> R:
        """Call a function on the model."""
        return function(self._model, batch, masks)

    def clip(self, parameters: Sequence[Tensor], clip_norm: float) -> Tensor:
        """Scale the gradients down to a norm; return the norm before."""
        return clip_grad_norm_(parameters, clip_norm)


def train_step(
    learner: Learner,
    batch: Batch,
    masks: Sequence[DropoutMasks | None],
    *,
    objective: Objective,
    weights: Weights,
) -> StepResult:
    """Make the updates of one step.

    Args:
        learner: updated in place, at the optimiser's present rate.
        masks: dropout masks for each update of the objective.
        weights: in force at this step.
    """
    all_losses: Measured = {}
    measured: Measured = {}
    for update, update_masks in zip(objective.updates, masks, strict=True):
        run = partial(run_update, objective=objective, weights=weights, update=update)
        result = learner.on_each(run, batch, update_masks)
        grad_norm = _move(learner, result.losses["total"], update, objective.recipe.clip_norm)
        losses = {name: loss.detach() for name, loss in result.losses.items()}
        if update.is_joint:
            _keep_statistics(learner, result.statistics, objective.recipe.norm_momentum)
            all_losses |= {**losses, "grad_norm": grad_norm}
            measured = result.measured
        else:
            del losses["total"]
            all_losses |= losses
    if any(term.after_step for term in objective.method.terms):
        _keep_states(learner, batch, objective)
    return StepResult(all_losses, measured)


def _move(learner: Learner, total: Tensor, update: Update, clip_norm: float) -> Tensor:
    """Move what the update moves; a parameter without a gradient is left alone to the bit."""
    learner.optimizer.zero_grad()
    moved = [tensor for name, tensor in learner.parameters.items() if update.moves(name)]
    # Stacked runs share no weights, so the gradient of the sum is the gradient of each.
    total.sum().backward(inputs=moved)  # type: ignore[no-untyped-call]
    grad_norm = learner.clip(moved, clip_norm)
    learner.optimizer.step()
    return grad_norm


@torch.no_grad()
def _keep_statistics(learner: Learner, statistics: Mapping[str, Tensor], momentum: float) -> None:
    for name, seen in statistics.items():
        running = learner.buffers[f"{name}.running"]
        # Of a single item the variance is 0, and tells nothing of the domain's.
        varies = seen[..., 1:, :].any(dim=-1, keepdim=True)
        variance = torch.where(varies, seen[..., 1:, :], running[..., 1:, :])
        running.lerp_(torch.cat([seen[..., :1, :], variance], dim=-2), momentum)


@torch.no_grad()
def _keep_states(learner: Learner, batch: Batch, objective: Objective) -> None:
    states = learner.on_each(partial(next_states, objective=objective), batch, None)
    for name, value in states.items():
        if name not in learner.buffers:
            raise UsageError(f"after_step returns {name}, which start did not lay out")
        learner.buffers[name].copy_(value)
