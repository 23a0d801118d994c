"""How features are scaled before the first layer, by what is kept with the weights.

Shapes: B videos, K segments, D feature width.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_LEAST_SPREAD = 1e-8
"""Of a value whose spread over the source is smaller, as a part of the largest, nothing is told."""


class FeatureScale(nn.Module):
    """Divides each frame's feature by its length, or standardises each of its values.

    Args:
        kind: `l2`, or `standard`: less the mean over all frames of the source's training videos,
            divided by the standard deviation.
        widths: of the streams that lie side by side in a feature; `l2` treats each by itself.
    """

    def __init__(self, kind: str, widths: Sequence[int]) -> None:
        super().__init__()
        self._kind = kind
        self._widths = list(widths)
        if kind == "standard":
            self.register_buffer("mean", torch.zeros(sum(widths)))
            self.register_buffer("deviation", torch.ones(sum(widths)))

    @torch.no_grad()
    def fit(self, batches: Iterable[Tensor]) -> None:
        """Take over what the source's training features are like, [B, K, D] each."""
        if self._kind != "standard":
            return
        count, total, squares = 0, torch.zeros(()), torch.zeros(())
        for batch in batches:
            rows = batch.flatten(0, 1).double()
            count += len(rows)
            total = total.to(rows) + rows.sum(dim=0)
            squares = squares.to(rows) + rows.square().sum(dim=0)
        if not count:
            return
        mean = total / count
        deviation = (squares / count - mean.square()).clamp_min(0).sqrt()
        deviation[deviation <= _LEAST_SPREAD * deviation.max()] = 1.0
        self.get_buffer("mean").copy_(mean)
        self.get_buffer("deviation").copy_(deviation)

    def forward(self, features: Tensor) -> Tensor:
        """Return the features [B, K, D] scaled."""
        if self._kind == "standard":
            return (features - self.get_buffer("mean")) / self.get_buffer("deviation")
        parts = torch.split(features, self._widths, dim=-1)
        return torch.cat([F.normalize(part, dim=-1) for part in parts], dim=-1)
