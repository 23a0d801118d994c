"""MCC: classes of the target that predictions confuse, and the consistency of that confusion.

Shapes: B target videos, C classes.
"""

from typing import TYPE_CHECKING

from ta3n.train.methods.base import Method, Term, Weight
from ta3n.train.methods.registry import register_method

if TYPE_CHECKING:
    from torch import Tensor

    from ta3n.train.loop.objective import Step

TEMPERATURE = 2.5
EPSILON = 1e-5  # inside the logarithm of the entropy: the authors' program
_CONSISTENCY_TEMPERATURE, _CONSISTENCY_THRESHOLD = 2.5, 0.7


def mcc(
    logits: "Tensor", temperature: float = TEMPERATURE, *, epsilon: float = EPSILON
) -> "Tensor":
    """Return one minus the mean share of a class in its row of the confusion matrix.

    Between 0 and 1 - 1/C. Certain videos count more, without a gradient through how certain they
    are. A class that no video may belong to counts as confused, where the published programs
    divide zero by zero.

    Args:
        logits: [B, C].
        temperature: of the softmax.
        epsilon: inside the logarithm of the entropy that says how certain a video is.
    """
    confused = _confusion(logits, temperature, epsilon)
    return 1 - confused.diagonal(dim1=-2, dim2=-1).mean()


def cc_loss(
    logits: "Tensor", perturbed: "Tensor", temperature: float, threshold: float
) -> "Tensor":
    """Return how much the confusion of classes differs between two views of the videos.

    Args:
        logits: of the plain view, a constant, [B, C].
        perturbed: of the other view, [B, C].
        temperature: of the softmax of both.
        threshold: a video counts if the probability of its class in the plain view is at least
            this much. Zero with a zero gradient if there is none.
    """
    plain = logits.detach()
    kept = ((plain / temperature).softmax(dim=-1).amax(dim=-1) >= threshold).to(plain)  # [B]
    expected = _confusion(plain, temperature, EPSILON, kept)
    found = _confusion(perturbed, temperature, EPSILON, kept)
    return (expected - found).square().sum() / logits.shape[-1] * kept.mean()


def _confusion(
    logits: "Tensor", temperature: float, epsilon: float, kept: "Tensor | None" = None
) -> "Tensor":
    """Return the confusion of classes with rows that sum to 1, or 0 without a video: [C, C]."""
    import torch

    predicted = (logits / temperature).softmax(dim=-1)  # [B, C]
    entropy = -(predicted * (predicted + epsilon).log()).sum(dim=-1)  # [B]
    certainty = (1 + (-entropy).exp()).detach()
    if kept is not None:
        certainty = certainty * kept
    certainty = certainty / certainty.sum().clamp(min=torch.finfo(logits.dtype).tiny)
    confusion = predicted.mT @ (certainty.unsqueeze(-1) * predicted)
    smallest = torch.finfo(logits.dtype).tiny
    return confusion / confusion.sum(dim=-1, keepdim=True).clamp(min=smallest)


def _loss(step: "Step") -> "Tensor":
    # The published networks have no dropout. With it, predictions can be certain and diverse by
    # which units are dropped, while all videos come to one class without it.
    return mcc(step.evaluate(target_only=True).logits)


def _consistency(step: "Step") -> "Tensor":
    plain = step.evaluate_target().logits
    return cc_loss(plain, step.target_logits, _CONSISTENCY_TEMPERATURE, _CONSISTENCY_THRESHOLD)


MCC = Term(
    name="mcc",
    label="minimum class confusion",
    loss=_loss,
    uses_source=False,
    fewest=2,
    weight=Weight(
        name="mcc",
        default=1.0,
        about="of the minimum class confusion",
        origin="published, at temperature 2.5",
    ),
)

register_method(Method(name="mcc", label="MCC", source="Jin et al., ECCV 2020", terms=(MCC,)))

CC_LOSS = Term(
    name="cc_loss",
    label="consistent class confusion under dropout",
    loss=_consistency,
    uses_source=False,
    weight=Weight(
        name="cc_loss",
        default=1.0,
        about="of the consistency of the class confusion",
        origin="ours: the loss as it is",
    ),
)

register_method(
    Method(
        name="cc-loss",
        label="CC loss",
        source="class confusion consistency of the Transfer Learning Library",
        terms=(CC_LOSS,),
    )
)
