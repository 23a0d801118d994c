"""Dilated temporal convolutions, each level of which is a part of the video, after MA2L-TD.

Shapes: B videos, K frames, H frame feature width, R width of a level, L levels.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from ta3n.train.encoders.registry import Encoder, register_encoder

if TYPE_CHECKING:
    from torch import Tensor

    from ta3n.train.layers.normalisation import Domains
    from ta3n.train.layers.reversal import Coefficient
    from ta3n.train.layers.temporal import EncoderModule, Layers
    from ta3n.train.model.model import ModelSpec


def dilations(num_segments: int) -> tuple[int, ...]:
    """Return 1, 3, 7, 15 .. as in MA2L-TD, until the last level's middle sees all K frames."""
    found, seen = [1], 3
    while seen < num_segments:
        found.append(2 * found[-1] + 1)
        seen += 2 * found[-1]
    return tuple(found)


def convolve(linear: "Callable[[Tensor], Tensor]", frames: "Tensor", dilation: int) -> "Tensor":
    """Convolve over time with kernel 3, zeros before the first frame and after the last.

    Args:
        linear: of the frames at t - dilation, t and t + dilation, side by side.
        frames: [B, K, R].
    """
    import torch
    from torch.nn import functional as F

    count = frames.shape[1]
    padded = F.pad(frames, (0, 0, dilation, dilation))
    taps = [padded[:, place : place + count] for place in (0, dilation, 2 * dilation)]
    return linear(torch.cat(taps, dim=-1))


def _build(spec: "ModelSpec") -> "EncoderModule":
    from torch import nn

    from ta3n.train.layers.discriminator import Discriminator
    from ta3n.train.layers.initialisation import Linear
    from ta3n.train.layers.temporal import LayeredEncoder

    width, levels = spec.relation_dim, dilations(spec.num_segments)
    layers = {
        "input": Linear(spec.hidden_dim, width, "default"),
        "levels": nn.ModuleList(Linear(3 * width, width, "default") for _ in levels),
        "discriminators": nn.ModuleList(
            Discriminator(width, "default", num_domains=spec.num_domains) for _ in levels
        ),
    }
    return LayeredEncoder(layers, _encode, _judge)


def _encode(layers: "Layers", frames: "Tensor", _domains: "Domains") -> "Tensor":
    """Map frame features [B, K, H] to the mean over time of each level, [B, L, R].

    Frames are normalised first (ours), since they start near 0.01.
    """
    import torch
    from torch.nn.functional import layer_norm

    steps = layers["input"](layer_norm(frames, frames.shape[2:])).relu()
    parts = []
    for linear, dilation in zip(layers["levels"], dilations(frames.shape[1]), strict=True):
        steps = steps + convolve(linear, steps, dilation).relu()
        parts.append(steps.mean(dim=1))
    return torch.stack(parts, dim=1)


def _judge(layers: "Layers", parts: "Tensor", coefficient: "Coefficient") -> "Tensor":
    """Let the discriminator of each level judge it: [B, L, R] to [B, L, 2]."""
    import torch

    judged = zip(layers["discriminators"], parts.unbind(dim=1), strict=True)
    return torch.stack([judge(part, coefficient) for judge, part in judged], dim=1)


TCN = register_encoder(
    Encoder(
        name="tcn",
        label="TCN",
        source="after MA2L-TD, WACV 2022: its dilations, a discriminator per level",
        build=_build,
        width="relation_dim",
        has_parts=True,
        part="level",
        reads=("relation_dim",),
        rank=4,
    )
)
