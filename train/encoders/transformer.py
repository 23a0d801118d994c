"""A pre-norm transformer over the frames, with learned positions and a class token.

Shapes: B videos, K frames, H width, T tokens (the class token and K frames), N heads of width h.
"""

from collections.abc import Callable
from math import gcd
from typing import TYPE_CHECKING

from ta3n.train.encoders.registry import Encoder, register_encoder

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ta3n.train.layers.normalisation import Domains
    from ta3n.train.layers.temporal import EncoderModule, Layers
    from ta3n.train.model.model import ModelSpec

NUM_LAYERS = 2
EXPANSION = 4
"""Width of the feed-forward layer by that of the tokens, as in Vaswani et al., NeurIPS 2017."""
MOST_HEADS = 8
POSITION_STD = 0.02
"""Of the positions and the class token at the start, as in Dosovitskiy et al., ICLR 2021."""
OUTPUT_SCALE = 0.1
"""Of the last normalisation at the start: with 1, SGD at the recipe's rate learns nothing."""


def num_heads_of(width: int) -> int:
    """Return how many heads share a width evenly: 8 (Vaswani et al.), or fewer for an odd one."""
    return gcd(width, MOST_HEADS)


def positions(count: int, width: int) -> "nn.Embedding":
    """Return learned vectors [count, width] that are added to tokens."""
    from torch import nn

    table = nn.Embedding(count, width)
    nn.init.normal_(table.weight, std=POSITION_STD)
    return table


def block(width: int) -> "nn.ModuleDict":
    """Return the layers of one block."""
    from torch import nn

    from ta3n.train.layers.initialisation import Linear

    return nn.ModuleDict(
        {
            "attention_norm": nn.LayerNorm(width),
            **{name: Linear(width, width, "default") for name in ("query", "key", "value")},
            "output": Linear(width, width, "default"),
            "forward_norm": nn.LayerNorm(width),
            "expand": Linear(width, EXPANSION * width, "default"),
            "contract": Linear(EXPANSION * width, width, "default"),
        }
    )


def dot_products(query: "Tensor", key: "Tensor") -> "Tensor":
    """Return scaled dot-product attention, [B, N, T, h] twice to [B, N, T, T], rows of sum 1."""
    scores: Tensor = query @ key.mT / query.shape[-1] ** 0.5
    return scores.softmax(dim=-1)


def run_block(
    layers: "Layers",
    tokens: "Tensor",
    *,
    num_heads: int,
    activation: "Callable[[Tensor], Tensor]",
    attention: "Callable[[Tensor, Tensor], Tensor]" = dot_products,
) -> "Tensor":
    """Run one pre-norm block: x + attention(LN(x)), then x + W2 activation(W1 LN(x)).

    Args:
        layers: of `block`.
        tokens: x, [B, T, H].
        attention: of queries and keys, both [B, N, T, h].
    """
    normed = layers["attention_norm"](tokens)
    query, key, value = (
        layers[name](normed).unflatten(-1, (num_heads, -1)).transpose(1, 2)  # [B, N, T, h]
        for name in ("query", "key", "value")
    )
    seen = attention(query, key) @ value
    tokens = tokens + layers["output"](seen.transpose(1, 2).flatten(2))
    hidden = activation(layers["expand"](layers["forward_norm"](tokens)))
    updated: Tensor = tokens + layers["contract"](hidden)
    return updated


def stack(width: int, num_layers: int) -> "nn.ModuleDict":
    """Return the layers of a transformer: blocks and the normalisation after the last."""
    from torch import nn

    blocks, norm = nn.ModuleList(block(width) for _ in range(num_layers)), nn.LayerNorm(width)
    nn.init.constant_(norm.weight, OUTPUT_SCALE)
    return nn.ModuleDict({"blocks": blocks, "norm": norm})


def run_stack(layers: "Layers", tokens: "Tensor") -> "Tensor":
    """Run a transformer of `stack` on tokens [B, T, H] with their positions in them."""
    from torch.nn import functional as F

    for one in layers["blocks"]:
        tokens = run_block(one, tokens, num_heads=num_heads_of(tokens.shape[-1]), activation=F.gelu)
    normed: Tensor = layers["norm"](tokens)
    return normed


def _build(spec: "ModelSpec") -> "EncoderModule":
    from ta3n.train.layers.temporal import LayeredEncoder

    places = positions(1 + spec.num_segments, spec.hidden_dim)
    layers = {"places": places, "stack": stack(spec.hidden_dim, NUM_LAYERS)}
    return LayeredEncoder(layers, _encode)


def _encode(layers: "Layers", frames: "Tensor", _domains: "Domains") -> "Tensor":
    """Map frame features [B, K, H] to what the class token has gathered, [B, H]."""
    import torch

    first, rest = layers["places"].weight.split([1, frames.shape[1]])
    tokens = torch.cat([first.expand(len(frames), 1, -1), frames + rest], dim=1)  # [B, T, H]
    return run_stack(layers["stack"], tokens)[:, 0]


TRANSFORMER = register_encoder(
    Encoder(
        name="transformer",
        label="Transformer",
        source="Xiong et al., ICML 2020, pre-norm; two layers, ours",
        build=_build,
        rank=3,
    )
)
