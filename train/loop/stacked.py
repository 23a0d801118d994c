"""Several seeds of one row trained as one batched program.

Shapes: N seeds (members); the rest as in `loop/batches.py` and `model/model.py`, with a leading N.

Every member keeps its own generators, so it sees the batches and the dropout masks of its single
run. It is stacked for an epoch and given back what was learned: between epochs it can be evaluated,
saved and gone on with alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from ta3n.common.errors import DataConflictError
from ta3n.train.layers.dropout import DropoutMasks
from ta3n.train.loop.batches import Batch, EpochPlan, side_by_side
from ta3n.train.loop.checks import NonFiniteError
from ta3n.train.loop.engine import Trainer
from ta3n.train.loop.measurements import EpochRecord, EpochTable, Measured, read_tables
from ta3n.train.loop.step import OnOneRun, train_step
from ta3n.train.model.model import TA3N
from ta3n.train.recipe.optimizers import make_optimizer

R = TypeVar("R")

_COUNT = "step"
"""What optimisers call the number of their steps: one number for all members."""


class StackedTrainer:
    """Trains members side by side, each as it would train alone, to rounding.

    Args:
        members: runs that differ in their seed only, all after the same epoch.

    Raises:
        DataConflictError: if they differ in anything else.
    """

    def __init__(self, members: Sequence[Trainer]) -> None:
        _check_alike(members)
        self._members = tuple(members)

    def epochs(self) -> Iterator[list[EpochRecord | NonFiniteError]]:
        """Train to the end of the recipe, handing over after each epoch to evaluate and save."""
        while self._members and self._members[0].epoch < self._members[0].settings.recipe.epochs:
            yield self.run_epoch()

    def run_epoch(self) -> list[EpochRecord | NonFiniteError]:
        """Train for one epoch.

        Returns:
            For each member its record, or what stopped being finite. Such a member has left the
            stack: the next epoch is of the others.
        """
        plans = [member.begin_epoch() for member in self._members]
        learner = StackedLearner(self._members)
        measured = [
            self._step(learner, batch, step, plans[0].steps)
            for step, batch in enumerate(side_by_side(plans).batches(self._members[0].data))
        ]
        learner.hand_over()
        tables = read_tables(measured, len(self._members))
        ended = [_end(*each) for each in zip(self._members, plans, tables, strict=True)]
        pairs = zip(self._members, ended, strict=True)
        self._members = tuple(
            member for member, end in pairs if not isinstance(end, NonFiniteError)
        )
        return ended

    def _step(
        self, learner: "StackedLearner", batch: Batch, step: int, steps_per_epoch: int
    ) -> Measured:
        """Make one update of all members, and set the rate of the next."""
        first = self._members[0]
        result = train_step(
            learner,
            batch,
            self._masks(batch),
            objective=first.objective,
            weights=first.weights(step, steps_per_epoch),
        )
        for optimizer in (learner.optimizer, *(m.optimizer for m in self._members)):
            first.set_learning_rate(optimizer, step, steps_per_epoch)
        return {**result.losses, **result.measured}

    def _masks(self, batch: Batch) -> list[DropoutMasks | None]:
        """Let each member draw its masks, and stack them update by update."""
        target = batch.target_features
        num_videos = batch.source_features.shape[1] + (0 if target is None else target.shape[1])
        drawn = [member.draw_masks(num_videos) for member in self._members]
        return [_stack_masks(masks) for masks in zip(*drawn, strict=True)]


def _end(member: Trainer, plan: EpochPlan, table: EpochTable) -> EpochRecord | NonFiniteError:
    try:
        return member.end_epoch(plan, table)
    except NonFiniteError as error:
        return error


class _Template(nn.Module):
    """The model of a member, handed to a function while other weights stand in for its own."""

    def __init__(self, model: TA3N) -> None:
        super().__init__()
        self.model = model

    def forward(self, function: OnOneRun[R], batch: Batch, masks: DropoutMasks | None) -> R:
        """Call the function on the model."""
        return function(self.model, batch, masks)


class StackedLearner:
    """The stacked weights of members, and their one optimiser.

    Args:
        members: their weights, buffers and momenta are copied; `hand_over` gives them back.

    Attributes:
        parameters: by name, each [N, ...]; matrices are held transposed, as their gradients come,
            which saves copying every one of them (a third of a step of CDAN on a CPU).
        buffers: by name, each [N, ...].
        optimizer: over the stacked parameters; it treats every number by itself.
    """

    def __init__(self, members: Sequence[Trainer]) -> None:
        self._members = tuple(members)
        self._template = _Template(members[0].model)
        parameters = [dict(member.model.named_parameters()) for member in members]
        buffers = [dict(member.model.named_buffers()) for member in members]
        self.parameters: Mapping[str, Tensor] = {
            name: torch.stack([_as_held(own[name].detach()) for own in parameters]).requires_grad_()
            for name in parameters[0]
        }
        self.buffers: Mapping[str, Tensor] = {
            name: torch.stack([own[name] for own in buffers]) for name in buffers[0]
        }
        self.optimizer = make_optimizer(self.parameters.values(), members[0].settings.optimisation)
        self.optimizer.param_groups[0]["lr"] = members[0].optimizer.param_groups[0]["lr"]
        self._take_over(parameters)

    def on_each(self, function: OnOneRun[R], batch: Batch, masks: DropoutMasks | None) -> R:
        """Call a function on the weights of each member; what it returns has a leading [N]."""

        def member(
            parameters: Mapping[str, Tensor], buffers: Mapping[str, Tensor], own: dict[str, Tensor]
        ) -> R:
            both = {f"model.{name}": each for name, each in {**parameters, **buffers}.items()}
            args = (function, _batch_of(own), _masks_of(own))
            result: R = functional_call(self._template, both, args)
            return result

        weights = {name: _as_held(each, stacked=True) for name, each in self.parameters.items()}
        stacked: R = vmap(member)(weights, dict(self.buffers), _tensors(batch, masks))
        return stacked

    def clip(self, parameters: Sequence[Tensor], clip_norm: float) -> Tensor:
        """Scale each member's gradient down to a norm; return the norms before, [N].

        The formula is that of `torch.nn.utils.clip_grad_norm_`, member by member.
        """
        grads = [tensor.grad for tensor in parameters if tensor.grad is not None]
        each = [torch.linalg.vector_norm(grad.flatten(1), dim=1) for grad in grads]  # [N]
        norms: Tensor = torch.linalg.vector_norm(torch.stack(each), dim=0)
        factors = (clip_norm / (norms + 1e-6)).clamp_max(1.0)
        for grad in grads:
            grad.mul_(factors.reshape(-1, *[1] * (grad.ndim - 1)))
        return norms

    @torch.no_grad()
    def hand_over(self) -> None:
        """Give the members their weights and buffers, their optimisers their part of the state."""
        for name, tensor in self.buffers.items():
            for index, member in enumerate(self._members):
                member.model.get_buffer(name).copy_(tensor[index])
        for name, tensor in self.parameters.items():
            for index, member in enumerate(self._members):
                member.model.get_parameter(name).copy_(_as_held(tensor[index]))
            for key, value in self.optimizer.state[tensor].items():
                if value is None:
                    continue
                for index, member in enumerate(self._members):
                    own = member.model.get_parameter(name)
                    part = value if key == _COUNT else _as_held(value[index])
                    member.optimizer.state[own][key] = _copy(part)

    def _take_over(self, parameters: Sequence[Mapping[str, Tensor]]) -> None:
        """Stack the optimiser's state that members bring from earlier epochs."""
        for name, tensor in self.parameters.items():
            brought = [
                member.optimizer.state.get(own[name], {})
                for member, own in zip(self._members, parameters, strict=True)
            ]
            for key, first in brought[0].items():
                if first is None:
                    continue
                # One objective reaches the same weights, so all members bring the same keys.
                self.optimizer.state[tensor][key] = (
                    first.clone()
                    if key == _COUNT
                    else torch.stack([_as_held(b[key]) for b in brought])
                )


def _check_alike(members: Sequence[Trainer]) -> None:
    first = members[0]
    for member in members[1:]:
        ours, theirs = member.identity(), first.identity()
        different = [key for key in ours if key != "seed" and ours[key] != theirs[key]]
        if member.epoch != first.epoch:
            different.append("epoch")
        if different:
            raise DataConflictError(
                f"runs with different {', '.join(different)} cannot be stacked; train them apart"
            )


def _as_held(tensor: Tensor, *, stacked: bool = False) -> Tensor:
    """Transpose a matrix, or a stack of matrices; its own inverse."""
    return tensor.mT if tensor.ndim == 2 + stacked else tensor


def _copy(tensor: Tensor) -> Tensor:
    """Copy row by row, as weights lie: fused optimisers want their state to lie alike."""
    return tensor.clone(memory_format=torch.contiguous_format)


def _stack_masks(masks: Sequence[DropoutMasks | None]) -> DropoutMasks | None:
    drawn = [mask for mask in masks if mask is not None]
    if not drawn:
        return None
    return DropoutMasks(
        frame=torch.stack([mask.frame for mask in drawn]),
        video=torch.stack([mask.video for mask in drawn]),
    )


def _tensors(batch: Batch, masks: DropoutMasks | None) -> dict[str, Tensor]:
    """Return what differs between members as a dictionary, which is what vmap can map over."""
    tensors = {name: getattr(batch, name) for name in _OF_A_BATCH}
    if masks is not None:
        tensors |= {"frame": masks.frame, "video": masks.video}
    return {name: tensor for name, tensor in tensors.items() if tensor is not None}


_OF_A_BATCH = tuple(field.name for field in fields(Batch))


def _batch_of(own: Mapping[str, Tensor]) -> Batch:
    return Batch(**{name: own[name] for name in _OF_A_BATCH if name in own})


def _masks_of(own: Mapping[str, Tensor]) -> DropoutMasks | None:
    return DropoutMasks(frame=own["frame"], video=own["video"]) if "frame" in own else None
