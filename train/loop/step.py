"""One training step: losses, gradient, update, without ever waiting for the device.

Shapes: a loss is a 0-d tensor for one run, or [N] for N stacked seeds.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from ta3n.train.layers.dropout import DropoutMasks
from ta3n.train.loop.batches import Batch
from ta3n.train.loop.measurements import Measured
from ta3n.train.loop.objective import Objective, Phase, PhaseResult, run_phase
from ta3n.train.model.model import TA3N
from ta3n.train.recipe.schedule import TradeOffs


class StepResult(NamedTuple):
    """What a step measured, on the device and without a graph.

    Attributes:
        losses: of `compute_losses` (of a phase that is repeated, the last), with the `total` of
            the joint phase, and `grad_norm`, the norm of its gradient before clipping.
        measured: of `measure`, in the joint phase.
    """

    losses: Measured
    measured: Measured


class Learner(Protocol):
    """The weights of one run, or of several stacked ones, and how they are moved.

    Attributes:
        parameters: by name.
        buffers: running statistics, by name.
        optimizer: over the parameters.
    """

    parameters: Mapping[str, Tensor]
    buffers: Mapping[str, Tensor]
    optimizer: torch.optim.SGD

    def run_phase(
        self,
        batch: Batch,
        masks: DropoutMasks | None,
        *,
        objective: Objective,
        phase: Phase,
        trade_offs: TradeOffs,
    ) -> PhaseResult:
        """Run the model on a batch, see `objective.run_phase`."""
        ...

    def clip(self, parameters: Sequence[Tensor], clip_norm: float) -> Tensor:
        """Scale the gradients down to a norm, run by run; return the norm before."""
        ...


class SingleLearner:
    """One model and its optimiser.

    Args:
        model: updated in place.
        optimizer: over the model's parameters.
    """

    def __init__(self, model: TA3N, optimizer: torch.optim.SGD) -> None:
        self._model = model
        self.optimizer = optimizer
        self.parameters: Mapping[str, Tensor] = dict(model.named_parameters())
        self.buffers: Mapping[str, Tensor] = dict(model.named_buffers())

    def run_phase(
        self,
        batch: Batch,
        masks: DropoutMasks | None,
        *,
        objective: Objective,
        phase: Phase,
        trade_offs: TradeOffs,
    ) -> PhaseResult:
        """Run the model on a batch, see `objective.run_phase`."""
        return run_phase(
            self._model, batch, masks, objective=objective, phase=phase, trade_offs=trade_offs
        )

    def clip(self, parameters: Sequence[Tensor], clip_norm: float) -> Tensor:
        """Scale the gradients down to a norm; return the norm before."""
        return clip_grad_norm_(parameters, clip_norm)


def train_step(
    learner: Learner,
    batch: Batch,
    masks: Sequence[DropoutMasks | None],
    *,
    objective: Objective,
    trade_offs: TradeOffs,
) -> StepResult:
    """Make the updates of one step.

    Args:
        learner: updated in place, at the optimiser's present rate.
        batch: videos of this step.
        masks: dropout masks for each phase of the objective.
        objective: what is minimised.
        trade_offs: in force at this step.
    """
    all_losses: Measured = {}
    measured: Measured = {}
    for phase, phase_masks in zip(objective.phases, masks, strict=True):
        result = learner.run_phase(
            batch, phase_masks, objective=objective, phase=phase, trade_offs=trade_offs
        )
        grad_norm = _update(learner, result.losses["total"], phase, objective.recipe.clip_norm)
        losses = {name: loss.detach() for name, loss in result.losses.items()}
        if phase is Phase.JOINT:
            _keep_statistics(learner, result.statistics, objective.recipe.norm_momentum)
            all_losses |= {**losses, "grad_norm": grad_norm}
            measured = result.measured
        else:
            del losses["total"]
            all_losses |= losses
    return StepResult(all_losses, measured)


def _update(learner: Learner, total: Tensor, phase: Phase, clip_norm: float) -> Tensor:
    """Move what the phase moves; a parameter without a gradient is left alone to the bit."""
    learner.optimizer.zero_grad()
    moved = [tensor for name, tensor in learner.parameters.items() if phase.moves(name)]
    # Stacked runs share no weights, so the gradient of the sum is the gradient of each.
    total.sum().backward(inputs=moved)  # type: ignore[no-untyped-call]
    grad_norm = learner.clip(moved, clip_norm)
    learner.optimizer.step()
    return grad_norm


@torch.no_grad()
def _keep_statistics(learner: Learner, statistics: Mapping[str, Tensor], momentum: float) -> None:
    for name, seen in statistics.items():
        learner.buffers[f"{name}.running"].lerp_(seen, momentum)
