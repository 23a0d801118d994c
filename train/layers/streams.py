"""Streams of features with layers of their own each, side by side: late fusion.

Shapes: B videos, K segments, S streams, D_s width of a stream's feature, H hidden width of one,
V width of a stream's video feature, P parts of a video.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ta3n.train.layers.initialisation import Linear
from ta3n.train.layers.normalisation import DomainNorm, Domains
from ta3n.train.layers.reversal import Coefficient
from ta3n.train.layers.temporal import EncoderModule


class StreamLinears(nn.ModuleList):
    """A linear layer for each stream: [..., D_1 + D_2 + ...] to [..., S H].

    Args:
        widths: D_s of each.
        hidden_dim: H.
    """

    def __init__(self, widths: Sequence[int], hidden_dim: int) -> None:
        super().__init__(Linear(width, hidden_dim) for width in widths)
        self._widths = list(widths)

    def forward(self, features: Tensor) -> Tensor:
        """Map the feature of each stream by itself."""
        parts = torch.split(features, self._widths, dim=-1)
        return torch.cat([layer(part) for layer, part in zip(self, parts, strict=True)], dim=-1)


class StreamEncoders(EncoderModule):
    """An encoder for each stream: frames [B, K, S H] to [B, S V], or to parts [B, P, S V].

    Args:
        encoders: of one kind.
    """

    def __init__(self, encoders: Sequence[EncoderModule]) -> None:
        super().__init__()
        self.streams = nn.ModuleList(encoders)
        for place, encoder in enumerate(encoders):
            for norm in encoder.modules():
                if isinstance(norm, DomainNorm):
                    # By its name the statistics of a batch find their way back.
                    norm.name = f"encoder.streams.{place}.{norm.name.removeprefix('encoder.')}"

    def forward(self, frames: Tensor, domains: Domains) -> Tensor:
        """Encode each stream by itself."""
        parts = frames.chunk(len(self.streams), dim=-1)
        encoded = [each(part, domains) for each, part in zip(self.streams, parts, strict=True)]
        return torch.cat(encoded, dim=-1)

    def domain_logits(self, parts: Tensor, coefficient: Coefficient) -> Tensor:
        """Return the sum over streams of what the discriminators of the parts say, [B, P, M]."""
        each = zip(self.streams, parts.chunk(len(self.streams), dim=-1), strict=True)
        judged = [encoder.domain_logits(part, coefficient) for encoder, part in each]  # type: ignore[operator]
        return torch.stack(judged).sum(dim=0)
