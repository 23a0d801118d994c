"""DAN: the maximum mean discrepancy of class logits and video features."""

from typing import TYPE_CHECKING

from ta3n.train.methods.base import Method, Term, Weight
from ta3n.train.methods.registry import register_method

if TYPE_CHECKING:
    from torch import Tensor

    from ta3n.train.loop.objective import Step

ALPHA = Weight(
    name="alpha",
    default=0.1,
    about="weight of the discrepancy of DAN or JAN",
    origin="ours: small beside the classification, since a sum of kernels reaches 10",
    ramps=True,
)


def _discrepancy(step: "Step") -> "Tensor":
    import torch

    from ta3n.train.losses.mmd import mmd_loss

    recipe = step.recipe
    each = [
        mmd_loss(
            layer[: step.num_source],
            layer[step.num_source :],
            estimator=recipe.mmd_estimator,
            bandwidth_floor=recipe.bandwidth_floor,
        )
        for layer in (step.output.logits, step.output.video_features)
    ]
    return torch.stack(each).sum()


DAN = Term(
    name="discrepancy_dan",
    label="DAN",
    loss=_discrepancy,
    sources="pairs",
    weight=ALPHA,
    group="alignment",
    choice="dan",
    reads=("mmd_estimator", "bandwidth_floor"),
)

register_method(
    Method(name="dan", label="DAN", source="Long et al., ICML 2015", terms=(DAN,), rank=4)
)
