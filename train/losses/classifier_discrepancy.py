"""How much two classifiers disagree, the loss of MCD.

Shapes: B target videos, C classes.

Source: Saito et al., "Maximum Classifier Discrepancy for Unsupervised Domain Adaptation",
equation 9.
"""

from torch import Tensor


def classifier_discrepancy(first: Tensor, second: Tensor) -> Tensor:
    """Return the mean absolute difference of the class probabilities, between 0 and 2 / C.

    Both are class logits, [B, C].
    """
    return (first.softmax(dim=-1) - second.softmax(dim=-1)).abs().mean()
