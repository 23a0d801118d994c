"""What the steps of an epoch measure beside what they minimise, and the record of an epoch.

Everything stays on the device until the epoch ends: a step never waits for a number.

Shapes: B_S source and B_T target videos, the source first; K segments, N stacked runs.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ta3n.train.layers.domains import by_domain
from ta3n.train.methods.base import Level
from ta3n.train.model.model import ModelOutput

Measured = dict[str, Tensor]

_DOMAIN_ACCURACY = "domain_accuracy_"
_ATTENTION = "attention"
SOURCE_ACCURACY = "source_accuracy"


@dataclass(frozen=True, kw_only=True)
class EpochRecord:
    """What is known about an epoch when it has ended, without any target label.

    Args:
        epoch: from 1.
        steps: number of updates.
        losses: mean over the steps of each loss that was computed, in nats, and `total`.
        grad_norm: mean over the steps of the gradient's norm before clipping.
        learning_rate: rate of the next step.
        reversal: gradient reversal coefficient at the last step, by placed discriminator.
        domain_accuracy: by placed discriminator, the share of its items (frames, relations or
            videos) whose domain it told, balanced over the domains: source and target, or the
            target and each of several sources; mean over the steps.
        attention: weight of each part, mean over videos of both domains and then over the
            steps, the last part (the 2-frame relation) first; none without attention.
        source_videos: different source videos that the epoch used.
        target_videos: likewise of the target; 0 where the method does not adapt.
        source_accuracy: share of the source videos of a batch that the updated model told in
            training, with dropout, by all trained heads; mean over the steps. None in records that
            are older, and where no label is learned.
    """

    epoch: int
    steps: int
    losses: dict[str, float]
    grad_norm: float
    learning_rate: float
    reversal: dict[str, float]
    domain_accuracy: dict[str, float]
    attention: tuple[float, ...] | None
    source_videos: int
    target_videos: int
    source_accuracy: float | None = None


def measure(output: ModelOutput, num_source: int, placed: Sequence[Level]) -> Measured:
    """Look at a training step's output without touching its gradients.

    Args:
        output: of the model on source and target.
        num_source: B_S.
        placed: levels whose discriminator is part of the objective.

    Returns:
        `domain_accuracy_<level>`, 0-d, for each placed discriminator, and `attention` [P] in the
        order of the parts where there is attention.
    """
    measured = {
        f"{_DOMAIN_ACCURACY}{level}": _balanced_accuracy(output.domain_logits[level], num_source)
        for level in placed
    }
    if output.attention is not None:
        measured[_ATTENTION] = output.attention.detach().mean(dim=0)
    return measured


def _balanced_accuracy(logits: Tensor, num_source: int) -> Tensor:
    """Return the mean of the shares of each domain's items in [B, ..., M] that are told."""
    if logits.shape[-1] > 2:
        told = by_domain(logits.detach().argmax(dim=-1), num_source, logits.shape[-1])
        shares = [(items == n).to(logits.dtype).mean() for n, items in enumerate(told)]
        return torch.stack(shares).mean()
    source, target = logits.detach().unbind(dim=-1)
    called_target = (target > source).to(logits.dtype)
    # Source items are told where they are not called target.
    both_told = 1 + called_target[num_source:].mean() - called_target[:num_source].mean()
    return both_told / 2


@dataclass(frozen=True, kw_only=True)
class EpochTable:
    """All numbers of one run's epoch, on the host.

    Args:
        names: of the columns; the items of a vector are numbered.
        rows: one for each step.
    """

    names: tuple[str, ...]
    rows: Sequence[Sequence[float]]

    def means(self) -> dict[str, float]:
        """Return the mean of each column over the steps."""
        columns = zip(*self.rows, strict=True)
        return {n: math.fsum(c) / len(c) for n, c in zip(self.names, columns, strict=True)}


def read_tables(steps: Sequence[Mapping[str, Tensor]], num_runs: int) -> list[EpochTable]:
    """Fetch what the steps measured, in one transfer: the only wait for the device in an epoch.

    Args:
        steps: for each step its numbers and vectors by name, each with a leading [N] if runs are
            stacked.
        num_runs: N, 1 for a run that is not stacked.

    Returns:
        A table for each run.
    """
    rows = [torch.cat([v.reshape(num_runs, -1) for v in row.values()], dim=1) for row in steps]
    tables = torch.stack(rows, dim=1).cpu().double().tolist()  # [N, steps, columns]
    names: list[str] = []
    for name, value in steps[0].items():
        width = value.numel() // num_runs
        names += [name] if name != _ATTENTION else [f"{_ATTENTION}_{n}" for n in range(width)]
    return [EpochTable(names=tuple(names), rows=table) for table in tables]


def split_means(
    means: Mapping[str, float],
) -> tuple[dict[str, float], dict[str, float], tuple[float, ...] | None]:
    """Sort the means of a table into losses, domain accuracies and attention.

    Returns:
        Losses by name (and `grad_norm`), accuracies by level, and the attention with the 2-frame
        relation first, or none.
    """
    accuracies, attention, losses = {}, [], {}
    for name, value in means.items():
        if name.startswith(_DOMAIN_ACCURACY):
            accuracies[name.removeprefix(_DOMAIN_ACCURACY)] = value
        elif name.startswith(f"{_ATTENTION}_"):
            attention.append(value)
        else:
            losses[name] = value
    return losses, accuracies, tuple(reversed(attention)) or None
