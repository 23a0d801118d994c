"""What a transformer makes of the frames in their order, less what one makes of them in any order.

After MetaTrans (arXiv 2605.19510), our reading: F = M1(X + P) - M2(X), M2 repeated as its mean. Of
its layers and heads nothing was to be had, and the video feature is the mean of F over the frames.

Shapes: B videos, K frames, H width.
"""

from typing import TYPE_CHECKING

from ta3n.train.encoders.registry import Encoder, register_encoder
from ta3n.train.encoders.transformer import positions, run_stack, stack

if TYPE_CHECKING:
    from torch import Tensor

    from ta3n.train.layers.normalisation import Domains
    from ta3n.train.layers.temporal import EncoderModule, Layers
    from ta3n.train.model.model import ModelSpec

NUM_LAYERS = 1


def _build(spec: "ModelSpec") -> "EncoderModule":
    from ta3n.train.layers.temporal import LayeredEncoder

    layers = {
        "places": positions(spec.num_segments, spec.hidden_dim),
        "ordered": stack(spec.hidden_dim, NUM_LAYERS),
        "static": stack(spec.hidden_dim, NUM_LAYERS),
    }
    return LayeredEncoder(layers, _encode)


def _encode(layers: "Layers", frames: "Tensor", _domains: "Domains") -> "Tensor":
    """Map frame features [B, K, H] to video features [B, H]."""
    ordered = run_stack(layers["ordered"], frames + layers["places"].weight)
    static = run_stack(layers["static"], frames).mean(dim=1, keepdim=True)
    return (ordered - static).mean(dim=1)


POSITION_MINUS_STATIC = register_encoder(
    Encoder(
        name="position-minus-static",
        label="Position minus static",
        source="after MetaTrans, ICML 2026, our reading",
        build=_build,
        rank=7,
    )
)
