"""Batch normalisation with statistics per domain: AdaBN (Li et al.).

Shapes: B videos, any dimensions between, F feature width. In a batch the source comes first.

The forward pass changes nothing: it hands the statistics of the batch to whoever trains, so that it
also runs with the stacked weights of several seeds.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ta3n.common.errors import TrainingError
from ta3n.train.layers.reversal import Coefficient

EPSILON = 1e-5


@dataclass(frozen=True)
class Domains:
    """Which videos of a batch are source, and what the normalisations saw of either domain.

    A batch never mixes the domains' statistics: the domain is explicit in every normalisation.

    Args:
        num_source: the first so many videos are source, the others target.
        statistics: filled in while training, by name of the normalisation: [2, 2, F], domain
            (source, target) by (mean, unbiased variance), without a gradient.
        coefficient: gradient reversal of discriminators inside an encoder.
    """

    num_source: int
    statistics: dict[str, Tensor] = field(default_factory=dict)
    coefficient: Coefficient = 0.0


class DomainNorm(nn.Module):
    """Normalise each domain by its own statistics, then scale and shift.

    In training those are the statistics of the batch, in evaluation running averages of them.

    Args:
        name: key of its statistics.
        width: F.
        shared_affine: whether the domains share scale and shift.

    Attributes:
        running: [2, 2, F], domain by (mean, variance).
    """

    running: Tensor

    def __init__(self, name: str, width: int, *, shared_affine: bool) -> None:
        super().__init__()
        self.name = name
        start = torch.stack([torch.zeros(width), torch.ones(width)])
        self.register_buffer("running", start.expand(2, 2, width).clone())
        self.source_weight = nn.Parameter(torch.ones(width))
        self.source_bias = nn.Parameter(torch.zeros(width))
        # A shared parameter is registered once, so that it is one parameter to the optimiser.
        self.target_weight = None if shared_affine else nn.Parameter(torch.ones(width))
        self.target_bias = None if shared_affine else nn.Parameter(torch.zeros(width))

    def forward(self, features: Tensor, domains: Domains) -> Tensor:
        """Normalise [B, ..., F].

        Raises:
            TrainingError: if a domain is missing from a batch in training.
        """
        parts = [features[: domains.num_source], features[domains.num_source :]]
        if self.training:
            if not all(len(part) for part in parts):
                raise TrainingError(
                    f"a batch has {len(parts[0])} source and {len(parts[1])} target videos;"
                    " normalisation per domain needs both while training"
                )
            moments = [_moments(part) for part in parts]
            domains.statistics[self.name] = torch.stack([_unbiased(*m) for m in moments])
            used = [(mean, variance) for mean, variance, _ in moments]
        else:
            used = [(running[0], running[1]) for running in self.running.unbind()]
        scaled = [
            self._scale((part - mean) / (variance + EPSILON).sqrt(), is_target=is_target)
            for part, (mean, variance), is_target in zip(parts, used, (False, True), strict=True)
        ]
        return torch.cat(scaled)

    def _scale(self, features: Tensor, *, is_target: bool) -> Tensor:
        if is_target and self.target_weight is not None and self.target_bias is not None:
            return features * self.target_weight + self.target_bias
        return features * self.source_weight + self.source_bias


def _moments(features: Tensor) -> tuple[Tensor, Tensor, int]:
    """Return mean [F], biased variance [F] and count over all but the last dimension."""
    items = features.flatten(end_dim=-2)
    mean = items.mean(dim=0)
    return mean, (items - mean).square().mean(dim=0), len(items)


def _unbiased(mean: Tensor, variance: Tensor, count: int) -> Tensor:
    """Return [2, F] for the running averages; a single item has no spread, and none is made up."""
    return torch.stack([mean, variance * (count / max(count - 1, 1))]).detach()
