"""TransferAttn: a transformer whose last block attends to frames by how a discriminator errs.

Shapes: B videos, K frames, H width, N heads of width h.
"""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

from ta3n.train.encoders.registry import Encoder, register_encoder
from ta3n.train.encoders.transformer import block, num_heads_of, positions, run_block

if TYPE_CHECKING:
    from torch import Tensor

    from ta3n.train.layers.normalisation import Domains
    from ta3n.train.layers.reversal import Coefficient
    from ta3n.train.layers.temporal import EncoderModule, Layers
    from ta3n.train.model.model import ModelSpec

NUM_LAYERS = 4
JUDGE_WIDTH = 1024


def quick_gelu(values: "Tensor") -> "Tensor":
    """Return a sigmoid(1.702 a), which is close to GELU."""
    return values * (1.702 * values).sigmoid()


def domain_attention(
    judge: "Callable[[Tensor], Tensor]", coefficient: "Coefficient"
) -> "Callable[[Tensor, Tensor], Tensor]":
    """Return an attention by the domain losses of queries and keys.

    Its scores are R(l_q) R(l_k)' / sqrt(h), where l is the cross-entropy of what the judge says of
    R(q) or R(k) with the label `target`, which the published program tells it of either domain.
    The gradient R is reversed twice on its way to queries and keys, once on its way to the judge.

    Args:
        judge: maps [..., h] to the logit of `target`, [..., 1].
        coefficient: of every reversal.
    """
    from torch.nn import functional as F

    from ta3n.train.layers.reversal import reverse_gradient

    def loss_of(features: "Tensor") -> "Tensor":
        logits = judge(reverse_gradient(features, coefficient))
        return reverse_gradient(F.softplus(-logits), coefficient)  # [B, N, K, 1]

    def attention(query: "Tensor", key: "Tensor") -> "Tensor":
        scores: Tensor = loss_of(query) @ loss_of(key).mT / query.shape[-1] ** 0.5
        return scores.softmax(dim=-1)

    return attention


def _build(spec: "ModelSpec") -> "EncoderModule":
    from torch import nn

    from ta3n.train.layers.initialisation import Linear
    from ta3n.train.layers.temporal import LayeredEncoder

    width = spec.hidden_dim
    sizes = (width // num_heads_of(width), JUDGE_WIDTH, JUDGE_WIDTH, 1)
    linear = [Linear(one, other, "default") for one, other in pairwise(sizes)]
    layers = {
        "places": positions(spec.num_segments, width),
        "blocks": nn.ModuleList(block(width) for _ in range(NUM_LAYERS)),
        "judge": nn.Sequential(linear[0], nn.ReLU(), linear[1], nn.ReLU(), linear[2]),
    }
    return LayeredEncoder(layers, _encode)


def _encode(layers: "Layers", frames: "Tensor", domains: "Domains") -> "Tensor":
    """Map frame features [B, K, H] to video features of length 1, [B, H].

    The published program divides them by 0.07, for Adam at 3e-5. Here the classifier's weights
    find that scale themselves, under SGD at the recipe's rate.
    """
    from torch.nn import functional as F

    run = partial(run_block, num_heads=num_heads_of(frames.shape[-1]), activation=quick_gelu)
    tokens = frames + layers["places"].weight
    *ordinary, last = layers["blocks"]
    for one in ordinary:
        tokens = run(one, tokens)
    tokens = run(last, tokens, attention=domain_attention(layers["judge"], domains.coefficient))
    return F.normalize(tokens.mean(dim=1), dim=-1)


TRANSFERATTN = register_encoder(
    Encoder(
        name="transferattn",
        label="TransferAttn",
        source="Sacilotti et al., WACV 2025",
        build=_build,
        reverses=True,
        rank=6,
    )
)
