"""Accuracy on held-out labelled source videos.

Shapes: M held-out source videos, C classes.

Source: the usual practice without target labels, and the baseline of Musgrave et al. 2022, "Three
New Validators and a Large-Scale Benchmark Ranking for Unsupervised Domain Adaptation".
"""

from ta3n.train.validators.base import Tensor, Validator


def source_accuracy(held_out_logits: Tensor, held_out_labels: Tensor) -> float:
    """Return the share of videos whose largest logit is that of their class, between 0 and 1.

    Blind to the domain gap: a model that never adapts can have the highest score.

    Args:
        held_out_logits: [M, C], at least one video.
        held_out_labels: int64 [M].
    """
    hits = held_out_logits.argmax(dim=1) == held_out_labels
    return float(hits.double().mean())


RULE = Validator(
    name="source_val",
    place=1,
    description="accuracy on held-out labelled source videos; blind to the domain gap",
    citation="common practice; Musgrave et al. 2022, Three New Validators, arXiv:2208.07360",
    compute=source_accuracy,
)
