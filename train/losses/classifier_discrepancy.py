"""How much two classifiers disagree, the loss of MCD.

Shapes: B target videos, C classes.

Source: Saito et al., "Maximum Classifier Discrepancy for Unsupervised Domain Adaptation",
equation 9.
"""

from torch import Tensor


def classifier_discrepancy(first: Tensor, second: Tensor) -> Tensor:
    """Return the mean absolute difference of the class probabilities.

    Args:
        first: logits of one classifier, [B, C].
        second: logits of the other, [B, C].

    Returns:
        A 0-d tensor between 0 and 2 / C.
    """
    return (first.softmax(dim=-1) - second.softmax(dim=-1)).abs().mean()
