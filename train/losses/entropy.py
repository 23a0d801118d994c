"""Shannon entropy of predicted distributions, in nats.

Shapes: C classes (2 for domains); any leading dimensions.
"""

from torch import Tensor


def entropy(logits: Tensor) -> Tensor:
    """Return H(softmax(logits)) over the last dimension.

    Written with the logarithm of the softmax, so that a probability of zero contributes zero
    instead of NaN: finite for any finite logits.

    Args:
        logits: [..., C].

    Returns:
        Entropy in nats, [...], between 0 and ln C.
    """
    log_probabilities = logits.log_softmax(dim=-1)
    return -(log_probabilities.exp() * log_probabilities).sum(dim=-1)
