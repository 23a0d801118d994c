"""Negative mean entropy of the target predictions.

Shapes: N target videos, C classes.

Source: Morerio et al. 2018, "Minimal-Entropy Correlation Alignment for Unsupervised Deep Domain
Adaptation", which chooses its hyperparameter by the least target entropy.
"""

from torch import Tensor

from ta3n.train.losses.entropy import entropy


def negative_entropy(logits: Tensor) -> float:
    """Return -1/N sum_i H(p_i) with p_i = softmax(logits_i), between -ln C and 0.

    Only certainty counts: a model that puts every video into one class with certainty has the
    highest score there is. `im` and `bnm` see through that.

    Args:
        logits: [N, C], at least one video.
    """
    return 0.0 - float(entropy(logits).mean())  # never -0.0
