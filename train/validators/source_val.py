"""Accuracy on held-out labelled source videos.

Shapes: M held-out source videos, C classes.

Source: the usual practice without target labels, and the baseline of Musgrave et al. 2022, "Three
New Validators and a Large-Scale Benchmark Ranking for Unsupervised Domain Adaptation".
"""

from torch import Tensor


def source_accuracy(logits: Tensor, labels: Tensor) -> float:
    """Return the share of videos whose largest logit is that of their class, between 0 and 1.

    Blind to the domain gap: a model that never adapts can have the highest score.

    Args:
        logits: [M, C], at least one video.
        labels: int64 [M].
    """
    return float((logits.argmax(dim=1) == labels).double().mean())
