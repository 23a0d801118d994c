"""A bidirectional gated recurrent unit (GRU) over the frames.

Shapes: B videos, K frames, H frame feature width, R width of the state of either direction.
"""

from typing import TYPE_CHECKING

from ta3n.train.encoders.registry import Encoder, register_encoder

if TYPE_CHECKING:
    from torch import Tensor

    from ta3n.train.layers.normalisation import Domains
    from ta3n.train.layers.temporal import EncoderModule, Layers
    from ta3n.train.model.model import ModelSpec


def _build(spec: "ModelSpec") -> "EncoderModule":
    from torch import nn

    from ta3n.train.layers.initialisation import Linear
    from ta3n.train.layers.temporal import LayeredEncoder

    width = spec.relation_dim
    layers = {
        direction: nn.ModuleDict(
            {
                "input": Linear(spec.hidden_dim, 3 * width, "default"),
                "state": Linear(width, 3 * width, "default"),
            }
        )
        for direction in ("ahead", "back")
    }
    return LayeredEncoder(layers, _encode)


def run_gru(layers: "Layers", frames: "list[Tensor]") -> "list[Tensor]":
    """Return the state after each frame, from zeros on: K times [B, H] to K times [B, R].

    Gates and formula are those of `torch.nn.GRU`, which does not run under `torch.func.vmap`.
    """
    width = layers["state"].in_features
    state = frames[0].new_zeros(len(frames[0]), width)
    states = []
    for frame in frames:
        seen, kept = layers["input"](frame), layers["state"](state)
        gates = (seen + kept)[:, : 2 * width].sigmoid()
        reset, update = gates.split(width, dim=1)
        new = (seen[:, 2 * width :] + reset * kept[:, 2 * width :]).tanh()
        state = (1 - update) * new + update * state
        states.append(state)
    return states


def _encode(layers: "Layers", frames: "Tensor", _domains: "Domains") -> "Tensor":
    """Map frame features [B, K, H] to [B, R]: the sum of both directions, the mean over time.

    Frames are normalised first (ours): as they start, near 0.01, gates learn nothing for epochs.
    """
    import torch
    from torch.nn.functional import layer_norm

    in_order = list(layer_norm(frames, frames.shape[2:]).unbind(dim=1))
    states = run_gru(layers["ahead"], in_order) + run_gru(layers["back"], in_order[::-1])
    return torch.stack(states).sum(dim=0) / frames.shape[1]


GRU = register_encoder(
    Encoder(
        name="gru",
        label="BiGRU",
        source="Cho et al., EMNLP 2014; both directions summed, mean over the frames",
        build=_build,
        width="relation_dim",
        reads=("relation_dim",),
        rank=5,
    )
)
