"""Several seeds of one row trained as one batched program.

Shapes: N seeds (members); the rest as in `batches` and `model`, with a leading N.

Every member keeps its own generators, so it sees the batches and the dropout masks of its single
run. While it is stacked, its weights are views into the stacked ones: it can be evaluated, saved
and gone on with alone at the end of any epoch.
"""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor
from torch.func import functional_call, vmap

from ta3n.common.errors import DataConflictError
from ta3n.train.layers.dropout import DropoutMasks
from ta3n.train.loop.batches import Batch, EpochPlan, TrainingData
from ta3n.train.loop.engine import Trainer, sgd
from ta3n.train.loop.measurements import EpochRecord, Measured, read_tables
from ta3n.train.loop.objective import Losses, Objective, Phase, PhaseResult, run_phase
from ta3n.train.loop.step import train_step
from ta3n.train.model.model import ModelOutput
from ta3n.train.recipe.schedule import TradeOffs


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
        self._learner = StackedLearner(self._members)

    def epochs(self) -> Iterator[list[EpochRecord]]:
        """Train to the end of the recipe, handing over after each epoch to evaluate and save."""
        while self._members[0].epoch < self._members[0].settings.recipe.epochs:
            yield self.run_epoch()

    def run_epoch(self) -> list[EpochRecord]:
        """Train for one epoch; return the record of each member.

        Raises:
            TrainingError: if a loss or the gradient of a member stopped being finite.
        """
        plans = [member.begin_epoch() for member in self._members]
        measured = [
            self._step(batch, step, plans[0].steps)
            for step, batch in enumerate(_batches(plans, self._members[0].data))
        ]
        self._learner.hand_over()
        tables = read_tables(measured, len(self._members))
        ended = zip(self._members, plans, tables, strict=True)
        return [member.end_epoch(plan, table) for member, plan, table in ended]

    def _step(self, batch: Batch, step: int, steps_per_epoch: int) -> Measured:
        """Make one update of all members, and set the rate of the next."""
        first = self._members[0]
        result = train_step(
            self._learner,
            batch,
            self._masks(batch),
            objective=first.objective,
            trade_offs=first.trade_offs(step, steps_per_epoch),
        )
        for optimizer in (self._learner.optimizer, *(m.optimizer for m in self._members)):
            first.set_learning_rate(optimizer, step, steps_per_epoch)
        return {**result.losses, **result.measured}

    def _masks(self, batch: Batch) -> list[DropoutMasks | None]:
        """Let each member draw its masks, and stack them phase by phase."""
        target = batch.target_features
        num_videos = batch.source_features.shape[1] + (0 if target is None else target.shape[1])
        drawn = [member.draw_masks(num_videos) for member in self._members]
        return [_stack_masks(phase) for phase in zip(*drawn, strict=True)]


class StackedLearner:
    """The stacked weights of members, and their one optimiser.

    Args:
        members: their weights, running statistics and momenta become views into the stacked ones.

    Attributes:
        parameters: by name, each [N, ...].
        buffers: by name, each [N, ...].
        optimizer: over the stacked parameters; SGD treats every number by itself.
    """

    def __init__(self, members: Sequence[Trainer]) -> None:
        self._members = tuple(members)
        self._template = members[0].model
        parameters = [dict(member.model.named_parameters()) for member in members]
        buffers = [dict(member.model.named_buffers()) for member in members]
        stacked = _stack_into_views(parameters)
        self.parameters: Mapping[str, Tensor] = {
            name: tensor.requires_grad_() for name, tensor in stacked.items()
        }
        self.buffers: Mapping[str, Tensor] = _stack_into_views(buffers)
        self.optimizer = sgd(self.parameters.values(), members[0].settings.recipe)
        self.optimizer.param_groups[0]["lr"] = members[0].optimizer.param_groups[0]["lr"]
        self._take_over(parameters)

    def run_phase(
        self,
        batch: Batch,
        masks: DropoutMasks | None,
        *,
        objective: Objective,
        phase: Phase,
        trade_offs: TradeOffs,
    ) -> PhaseResult:
        """Return losses [N] and all else [N, ...], see `objective.run_phase`."""

        def member(
            parameters: Mapping[str, Tensor], buffers: Mapping[str, Tensor], own: Losses
        ) -> PhaseResult:
            def forward(*args: object, **kwargs: object) -> ModelOutput:
                weights = {**parameters, **buffers}
                output: ModelOutput = functional_call(self._template, weights, args, kwargs)
                return output

            return run_phase(
                forward,
                _batch_of(own),
                _masks_of(own),
                objective=objective,
                phase=phase,
                trade_offs=trade_offs,
            )

        stacked: PhaseResult = vmap(member)(
            dict(self.parameters), dict(self.buffers), _tensors(batch, masks)
        )
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

    def hand_over(self) -> None:
        """Let the members' optimisers see the momenta, as views."""
        for name, tensor in self.parameters.items():
            momentum = self.optimizer.state[tensor].get("momentum_buffer")
            if momentum is None:
                continue
            for index, member in enumerate(self._members):
                own = member.model.get_parameter(name)
                member.optimizer.state[own]["momentum_buffer"] = momentum[index]

    def _take_over(self, parameters: Sequence[Mapping[str, Tensor]]) -> None:
        """Stack the momenta that members bring from earlier epochs."""
        for name, tensor in self.parameters.items():
            brought = [
                member.optimizer.state.get(own[name], {}).get("momentum_buffer")
                for member, own in zip(self._members, parameters, strict=True)
            ]
            known = [momentum for momentum in brought if momentum is not None]
            if known:
                assert len(known) == len(brought), "one objective reaches the same weights"
                self.optimizer.state[tensor]["momentum_buffer"] = torch.stack(known)


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


@torch.no_grad()
def _stack_into_views(members: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Stack tensors by name, and make each member's tensor a view of its part."""
    stacked = {}
    for name in members[0]:
        tensors = [member[name] for member in members]
        whole = torch.stack([tensor.detach() for tensor in tensors])
        for index, tensor in enumerate(tensors):
            tensor.data = whole[index]
        stacked[name] = whole
    return stacked


def _batches(plans: Sequence[EpochPlan], data: TrainingData) -> Iterator[Batch]:
    """Gather the batches of all members, step by step, on the device of the data."""
    for step in range(plans[0].steps):
        source = torch.stack([plan.source_batches[step] for plan in plans])  # [N, B_S]
        target = None
        chosen = [p.target_batches[step] for p in plans if p.target_batches is not None]
        if chosen and data.target_features is not None:
            target = _gather(data.target_features, torch.stack(chosen))
        yield Batch(
            source_features=_gather(data.source_features, source),
            source_labels=_gather(data.source_labels, source),
            target_features=target,
        )


def _gather(tensor: Tensor, indices: Tensor) -> Tensor:
    """Take rows of [V, ...] by indices [N, B]: [N, B, ...]."""
    rows = tensor.index_select(0, indices.flatten())
    return rows.reshape(*indices.shape, *tensor.shape[1:])


def _stack_masks(masks: Sequence[DropoutMasks | None]) -> DropoutMasks | None:
    drawn = [mask for mask in masks if mask is not None]
    if not drawn:
        return None
    return DropoutMasks(
        frame=torch.stack([mask.frame for mask in drawn]),
        video=torch.stack([mask.video for mask in drawn]),
    )


def _tensors(batch: Batch, masks: DropoutMasks | None) -> Losses:
    """Return what differs between members as a dictionary, which is what vmap can map over."""
    tensors = {"source": batch.source_features, "labels": batch.source_labels}
    if batch.target_features is not None:
        tensors["target"] = batch.target_features
    if masks is not None:
        tensors |= {"frame_mask": masks.frame, "video_mask": masks.video}
    return tensors


def _batch_of(own: Losses) -> Batch:
    return Batch(
        source_features=own["source"],
        source_labels=own["labels"],
        target_features=own.get("target"),
    )


def _masks_of(own: Losses) -> DropoutMasks | None:
    if "frame_mask" not in own:
        return None
    return DropoutMasks(frame=own["frame_mask"], video=own["video_mask"])
