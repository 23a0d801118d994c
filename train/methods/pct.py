"""PCT: transport of target features to the classifier's own weights, and back.

The rows of the video classifier are the prototypes of the classes. Every target video is moved to
the prototypes that it resembles, and every prototype to the videos that resemble it; the cost is
the angle. The source takes part by its classification alone.

Shapes: B target videos, C classes, V feature width.
"""

from typing import TYPE_CHECKING

from ta3n.train.methods.base import Method, Term, Weight
from ta3n.train.methods.registry import register_method

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from ta3n.train.loop.objective import Start, Step, StepContext

PRIOR_RATE = 0.001
_FLOOR = 1e-6
_LEAST_SQUARED_NORM = 1e-12


def next_prior(
    prior: "Tensor", prototypes: "Tensor", features: "Tensor", rate: float = PRIOR_RATE
) -> "Tensor":
    """Return the class frequencies [C] of the target, moved towards those of a batch.

    Args:
        prior: [C].
        prototypes: [C, V].
        features: [B, V].
        rate: share of the batch; 0 keeps the prior.
    """
    logits = features.detach() @ prototypes.detach().T  # [B, C]
    seen = (logits + (prior + _FLOOR).log()).softmax(dim=1).mean(dim=0)
    return (1 - rate) * prior + rate * seen


def transport_cost(
    prototypes: "Tensor", features: "Tensor", prior: "Tensor", towards_classes: float = 0.5
) -> "Tensor":
    """Return the expected cost of moving videos to prototypes, and prototypes to videos.

    Args:
        prototypes: [C, V].
        features: [B, V].
        prior: of the classes, [C].
        towards_classes: share of the first direction, s of the paper.
    """
    logits = features @ prototypes.T  # [B, C]
    cost = 1 - unit(features) @ unit(prototypes).T
    to_classes = (cost * (logits + (prior + _FLOOR).log()).softmax(dim=1)).sum(dim=1).mean()
    # The prior of a class is the same for all videos and cancels.
    to_videos = (prior * (cost * logits.softmax(dim=0)).sum(dim=0)).sum()
    return towards_classes * to_classes + (1 - towards_classes) * to_videos


def unit(rows: "Tensor") -> "Tensor":
    """Return rows of length 1, [..., V]; one of zeros has no direction, and a finite gradient."""
    return rows / rows.square().sum(dim=-1, keepdim=True).clamp_min(_LEAST_SQUARED_NORM).sqrt()


def _start(begin: "Start") -> "Mapping[str, Tensor]":
    import torch

    classes = begin.model.spec.num_classes
    return {"prior": torch.full((classes,), 1 / classes)}


def _loss(step: "Step") -> "Tensor":
    prototypes, features = step.model.video_classifier.weight, step.target_features
    prior = next_prior(step.state["prior"], prototypes, features)
    return transport_cost(prototypes, features, prior)


def _after_step(context: "StepContext") -> "Mapping[str, Tensor]":
    features = context.evaluate_target().features
    prototypes = context.model.video_classifier.weight
    return {"prior": next_prior(context.state["prior"], prototypes, features)}


PCT = Term(
    name="prototype_transport",
    label="transport between videos and class prototypes",
    loss=_loss,
    weight=Weight(
        name="pct",
        default=0.03,
        about="of the transport between target videos and the classifier's weights",
        origin="by im on rendered clips, where it gains nothing; published 1 collapses",
    ),
    uses_source=False,
    start=_start,
    after_step=_after_step,
)

register_method(
    Method(name="pct", label="PCT", source="Tanwisuth et al., NeurIPS 2021", terms=(PCT,))
)
