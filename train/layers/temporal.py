"""Temporal modules: from frame features to a video feature (sections 2.1 and 2.2).

Shapes: B videos, K segments (frames per video), H frame feature width, R relation width,
n frames in a relation, S subsets of n frames.
"""

from collections.abc import Callable, Iterator, Mapping
from math import comb
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from ta3n.common.errors import UsageError
from ta3n.train.layers.discriminator import Discriminator
from ta3n.train.layers.initialisation import Linear
from ta3n.train.layers.normalisation import DomainNorm, Domains
from ta3n.train.layers.reversal import Coefficient

if TYPE_CHECKING:
    from ta3n.train.model.model import ModelSpec

Subset = tuple[int, ...]


def relation_subsets(num_segments: int, num_frames: int, max_subsets: int) -> tuple[Subset, ...]:
    """Choose which ordered frame subsets stand for the n-frame relation.

    Of the N subsets in lexicographic order, those numbered `ceil(i N / m)` for i = 0..m-1, with
    m = min(max_subsets, N): evenly spread, and the same for every video and every run.

    Args:
        num_segments: K, frames per video.
        num_frames: n, frames in each subset, 1..K.
        max_subsets: most subsets wanted.
    """
    total = comb(num_segments, num_frames)
    count = min(max_subsets, total)
    # Rounding up with integers: K = 64 has up to 10^18 subsets, where floats slip.
    ranks = [-(-i * total // count) for i in range(count)]
    return tuple(_subset_at(rank, num_segments, num_frames) for rank in ranks)


def _subset_at(rank: int, num_segments: int, num_frames: int) -> Subset:
    """Return one subset by its lexicographic rank, without listing those before it."""
    subset = []
    candidate = 0
    for missing in range(num_frames, 0, -1):
        # How many subsets begin with the candidate at this place; skip them while rank is past.
        while rank >= (block := comb(num_segments - candidate - 1, missing - 1)):
            rank -= block
            candidate += 1
        subset.append(candidate)
        candidate += 1
    return tuple(subset)


class EncoderModule(nn.Module):
    """What the module of every encoder does: frames [B, K, H] to a video feature, or its parts."""

    def forward(self, frames: Tensor, domains: Domains) -> Tensor:
        """Map frame features [B, K, H] to [B, V], or to parts [B, P, V] if the encoder has them.

        Args:
            frames: of both domains, the source first.
            domains: for normalisation per domain.
        """
        raise NotImplementedError

    def domain_logits(
        self,
        parts: Tensor,  # noqa: ARG002
        coefficient: Coefficient,  # noqa: ARG002
    ) -> Tensor:
        """Let each part's own discriminator judge it: [B, P, V] to [B, P, M].

        Raises:
            UsageError: if the parts have none.
        """
        raise UsageError(
            f"the parts of {type(self).__name__} have no discriminators (domain_logits); leave out "
            "the relation discriminators and domain attention"
        )


Layers = Any
"""An `nn.ModuleDict`: of what lies in one, PyTorch's types say no more than that it is a module."""


class LayeredEncoder(EncoderModule):
    """An encoder in functions, so that its file needs no class of torch's to be read.

    Args:
        layers: what has weights, by name.
        encode: what `forward` computes with them.
        judge: what `domain_logits` computes with them, if the parts have discriminators.
    """

    def __init__(
        self,
        layers: Mapping[str, nn.Module],
        encode: Callable[[Layers, Tensor, Domains], Tensor],
        judge: Callable[[Layers, Tensor, Coefficient], Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleDict(layers)
        self._encode, self._judge = encode, judge

    def forward(self, frames: Tensor, domains: Domains) -> Tensor:
        """Map frame features [B, K, H] to [B, V] or [B, P, V]."""
        return self._encode(self.layers, frames, domains)

    def domain_logits(self, parts: Tensor, coefficient: Coefficient) -> Tensor:
        """Let each part's own discriminator judge it: [B, P, V] to [B, P, M]."""
        if self._judge is None:
            return super().domain_logits(parts, coefficient)
        return self._judge(self.layers, parts, coefficient)


class TemPooling(EncoderModule):
    """The mean over the K frames (section 2.1)."""

    def forward(self, frames: Tensor, domains: Domains) -> Tensor:  # noqa: ARG002
        """Map frame features [B, K, H] to video features [B, H]."""
        return frames.mean(dim=1)


class Relation(nn.Module):
    """One n-frame relation R_n with its discriminator (section 2.2, Figure 4).

    Args:
        spec: of the model. Where all its layers are normalised, the fused frames are as well, per
            domain and before their ReLU.
        num_frames: n.
    """

    def __init__(self, spec: "ModelSpec", num_frames: int) -> None:
        super().__init__()
        width, num_domains = spec.relation_dim, spec.num_domains
        self.subsets = relation_subsets(spec.num_segments, num_frames, spec.max_subsets)
        self.fc = Linear(num_frames * spec.hidden_dim, width, "default")
        self.discriminator = Discriminator(width, "default", num_domains=num_domains)
        normalised = spec.norm_layers == "all"
        name = f"encoder.{num_frames}.norm"
        self.norm = DomainNorm(name, width, shared_affine=True) if normalised else None

    def forward(self, frames: Tensor, domains: Domains) -> Tensor:
        """Fuse the frames of each subset and sum over the subsets: [B, K, H] to R_n [B, R]."""
        by_time = frames.unbind(dim=1)  # K times [B, H]
        # Concatenated rather than indexed: where frames repeat, PyTorch does not promise the order
        # of the sums in the backward pass of an index, and runs must be equal to the bit.
        chosen = torch.cat([by_time[t] for subset in self.subsets for t in subset], dim=-1)
        chosen = chosen.reshape(-1, len(self.subsets), self.fc.in_features)  # [B, S, n H]
        # Frame features are never negative, but what is fused passes a ReLU first by definition.
        fused: Tensor = self.fc(chosen.relu())  # [B, S, R]
        if self.norm is not None:
            fused = self.norm(fused, domains)
        return fused.relu().sum(dim=1)


class TemRelation(EncoderModule):
    """All n-frame relations of a model, n = K..2, under the names `"K"`..`"2"` (section 2.2)."""

    def __init__(self, spec: "ModelSpec") -> None:
        super().__init__()
        for n in range(spec.num_segments, 1, -1):
            self.add_module(str(n), Relation(spec, n))

    def relations(self) -> Iterator[Relation]:
        """Yield the relations in the order n = K..2, which is that of every [B, K-1] tensor."""
        return (cast(Relation, module) for module in self.children())

    def forward(self, frames: Tensor, domains: Domains) -> Tensor:
        """Map frame features [B, K, H] to the relations R_K..R_2, [B, K-1, R]."""
        return torch.stack([relation(frames, domains) for relation in self.relations()], dim=1)

    def domain_logits(self, relations: Tensor, coefficient: Coefficient) -> Tensor:
        """Let each relation's own discriminator judge it: [B, K-1, R] to [B, K-1, M]."""
        judged = zip(self.relations(), relations.unbind(dim=1), strict=True)
        return torch.stack([r.discriminator(feature, coefficient) for r, feature in judged], dim=1)
