"""Domain attention over the relations (section 2.3, Figure 3).

Shapes: B videos, K segments, R relation width.
"""

from torch import Tensor

from ta3n.train.losses.entropy import entropy


def domain_attention(relation_logits: Tensor) -> Tensor:
    """Weigh each relation by how well its discriminator tells the domains apart.

    w_n = 1 - H(d_n) with the natural logarithm, so w lies in [1 - ln 2, 1]. The gradient flows
    through w.

    Args:
        relation_logits: domain logits of the relations, [B, K-1, 2].

    Returns:
        Attention w, [B, K-1].
    """
    return 1 - entropy(relation_logits)


def attend(relations: Tensor, attention: Tensor) -> Tensor:
    """Return (1 + w_n) R_n: residual attention, so that no relation is ever silenced.

    Args:
        relations: [B, K-1, R].
        attention: [B, K-1].
    """
    return (1 + attention).unsqueeze(-1) * relations
