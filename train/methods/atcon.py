"""ATCoN: the relations of a target video agree in what they predict, and in their features.

Only these two losses, here beside the source's labels; the authors learn without a source video.

Shapes: B target videos, P relations of a video, C classes, V feature width.
"""

from itertools import combinations
from math import log
from typing import TYPE_CHECKING

from ta3n.train.methods.base import Method, Term, Weight
from ta3n.train.methods.registry import register_method

if TYPE_CHECKING:
    from torch import Tensor

    from ta3n.train.loop.objective import Step

SHARPNESS = 10.0
OFF_DIAGONAL = 0.0039


def prediction_consistency(logits: "Tensor") -> "Tensor":
    """Return how far the relations' predictions are from their mean, sure ones weighing more.

    Mean over the relations of mean over the videos of w KL(mean || p), p = softmax(z), with
    w = C - H(softmax(10 z)) by its mean over the batch.

    Args:
        logits: z of the relations, [B, P, C].
    """
    from ta3n.train.losses.entropy import entropy

    logarithms = logits.log_softmax(dim=2)
    mean = logarithms.logsumexp(dim=1, keepdim=True) - log(logits.shape[1])  # [B, 1, C]
    divergence = (mean.exp() * (mean - logarithms)).sum(dim=2)  # [B, P]
    sureness = logits.shape[2] - entropy(SHARPNESS * logits)
    return (sureness / sureness.mean(dim=0) * divergence).mean()


def feature_consistency(parts: "Tensor") -> "Tensor":
    """Return how far every two relations are from having equal, uncorrelated features.

    Half the squared distance of R = X'Y / B from the identity, where entries off the diagonal count
    0.0039; mean over the pairs of relations. Features are neither centred nor scaled.

    Args:
        parts: of the videos, [B, P, V], P at least 2.
    """
    import torch

    pairs = list(combinations(range(parts.shape[1]), 2))
    first, second = (parts[:, [pair[n] for pair in pairs]] for n in (0, 1))
    products = torch.einsum("bpv,bpw->pvw", first, second) / len(parts)
    same = products.diagonal(dim1=1, dim2=2)
    off = products.square().sum(dim=(1, 2)) - same.square().sum(dim=1)
    return (0.5 * ((same - 1).square().sum(dim=1) + OFF_DIAGONAL * off)).mean()


def _parts(step: "Step") -> "Tensor":
    """Return the relations of the target, [B, P, V]."""
    parts = step.output.parts
    assert parts is not None, "a term with parts has an encoder with parts"
    return parts[step.num_source :]


def _of_predictions(step: "Step") -> "Tensor":
    return prediction_consistency(step.classifier(_parts(step)))


def _of_features(step: "Step") -> "Tensor | None":
    parts = _parts(step)
    return feature_consistency(parts) if parts.shape[1] > 1 else None


ATCON = register_method(
    Method(
        name="atcon",
        label="ATCoN consistency",
        source="Xu et al., ECCV 2022, its consistency alone",
        terms=(
            Term(
                name="consistency_of_predictions",
                label="relations that predict alike",
                loss=_of_predictions,
                weight=Weight(
                    name="atcon_predictions",
                    default=0.01,
                    about="of the agreement of the relations' predictions",
                    origin="the largest that harms none on rendered clips; published 10",
                ),
                parts=True,
                uses_source=False,
            ),
            Term(
                name="consistency_of_features",
                label="relations with equal features",
                loss=_of_features,
                weight=Weight(
                    name="atcon_features",
                    default=0.0001,
                    about="of the agreement of the relations' features",
                    origin="small against what harms on rendered clips, 0.001; published 0.01",
                ),
                parts=True,
                uses_source=False,
            ),
        ),
    )
)
