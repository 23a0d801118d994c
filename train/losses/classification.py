"""Class prediction loss L_y on labelled videos, the first term of equation 1.

Shapes: B labelled videos, C classes.
"""

from torch import Tensor
from torch.nn import functional as F


def classification_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean cross-entropy, `1/N_S sum_i L_y^i`.

    Args:
        logits: class logits, [B, C].
        labels: class indices, int64 [B].

    Returns:
        A 0-d tensor, in nats.
    """
    return F.cross_entropy(logits, labels)
