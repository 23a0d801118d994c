"""Negative mean entropy of the target predictions.

Shapes: target_logits [N, C], N target videos, at least one, and C classes.

Source: Morerio et al. 2018, "Minimal-Entropy Correlation Alignment for Unsupervised Deep Domain
Adaptation", which chooses its hyperparameter by the least target entropy.
"""

from ta3n.train.validators.base import Tensor, Validator


def negative_entropy(target_logits: Tensor) -> float:
    """Return -1/N sum_i H(p_i) with p_i = softmax(logits_i), between -ln C and 0.

    Only certainty counts: a model that puts every video into one class with certainty has the
    highest score there is. `im` and `bnm` see through that.
    """
    from ta3n.train.losses.entropy import entropy

    return 0.0 - float(entropy(target_logits).mean())  # never -0.0


RULE = Validator(
    name="entropy",
    place=2,
    description="certain target predictions; fooled if all videos go to one class",
    citation="Morerio et al., Minimal-Entropy Correlation Alignment, ICLR 2018",
    compute=negative_entropy,
)
