"""AFN: the norms of video features are made larger, step by step or towards a radius.

Shapes: B_S source and B_T target videos, V feature width.
"""

from typing import TYPE_CHECKING

from ta3n.train.methods.base import Method, Term, Weight
from ta3n.train.methods.registry import register_method

if TYPE_CHECKING:
    from torch import Tensor

    from ta3n.train.loop.objective import Step

STEP, RADIUS = 1.0, 25.0


def stepwise_afn(features: "Tensor", step: float = STEP) -> "Tensor":
    """Return the mean squared distance of norms to themselves plus a step, which are constants.

    Its value is always `step` squared; its gradient asks every norm to grow alike.

    Args:
        features: of one domain, [B, V].
        step: how far a norm is to grow.
    """
    norms: Tensor = features.norm(dim=-1)  # [B]
    return (norms - (norms.detach() + step)).square().mean()


def hard_afn(features: "Tensor", radius: float = RADIUS) -> "Tensor":
    """Return the squared distance of the mean norm of one domain, [B, V], to a radius."""
    norms: Tensor = features.norm(dim=-1)  # [B]
    return (norms.mean() - radius).square()


def _stepwise(step: "Step") -> "Tensor":
    # Before dropout, which changes norms.
    return stepwise_afn(step.source_features) + stepwise_afn(step.target_features)


def _hard(step: "Step") -> "Tensor":
    return hard_afn(step.source_features) + hard_afn(step.target_features)


AFN = Term(
    name="afn",
    label="stepwise feature norm",
    loss=_stepwise,
    sources="pairs",
    weight=Weight(
        name="afn",
        default=3e-5,
        about="of the feature norms that grow by steps of 1",
        origin="by im on rendered clips; the published 0.05 is for a rate of 0.001",
    ),
)

register_method(
    Method(name="afn", label="AFN", source="Xu et al., ICCV 2019: stepwise", terms=(AFN,))
)

HARD_AFN = Term(
    name="hard_afn",
    label="hard feature norm",
    loss=_hard,
    sources="pairs",
    weight=Weight(
        name="hard_afn",
        default=0.05,
        about="of the mean feature norms against a radius of 25",
        origin="published",
    ),
)

register_method(
    Method(
        name="hard-afn", label="Hard AFN", source="Xu et al., ICCV 2019: hard", terms=(HARD_AFN,)
    )
)
