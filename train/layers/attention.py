"""Attention over the relations: the domain attention of section 2.3, and a learned one.

Shapes: B videos, K segments, R relation width.
"""

from torch import Tensor, nn

from ta3n.train.layers.initialisation import Linear
from ta3n.train.losses.entropy import domain_entropy


def domain_attention(relation_logits: Tensor) -> Tensor:
    """Weigh each relation by how well its discriminator tells the domains apart.

    w_n = 1 - H(d_n) with the natural logarithm, so w lies in [1 - ln 2, 1], see `domain_entropy`.
    The gradient flows through w.

    Args:
        relation_logits: domain logits of the relations, [B, K-1, 2], or of more domains.

    Returns:
        Attention w, [B, K-1].
    """
    return 1 - domain_entropy(relation_logits)


class ConventionalAttention(nn.Module):
    """Attention that is learned from the relations alone, as in the authors' program.

    Linear R->R, tanh, Linear R->1, softmax over the relations: the domains have no part in it.

    Args:
        width: R.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.hidden = Linear(width, width, "default")
        self.output = Linear(width, 1, "default")

    def forward(self, relations: Tensor) -> Tensor:
        """Map relations [B, K-1, R] to attention [B, K-1], which sums to 1 over the relations."""
        scores: Tensor = self.output(self.hidden(relations).tanh())  # [B, K-1, 1]
        return scores.squeeze(-1).softmax(dim=-1)


def attend(relations: Tensor, attention: Tensor) -> Tensor:
    """Return (1 + w_n) R_n: residual attention, so that no relation is ever silenced.

    Args:
        relations: [B, K-1, R].
        attention: [B, K-1].
    """
    return (1 + attention).unsqueeze(-1) * relations
