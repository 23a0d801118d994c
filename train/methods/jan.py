"""JAN: the joint maximum mean discrepancy of class predictions and video features."""

from typing import TYPE_CHECKING

from ta3n.train.methods.base import Method, Term
from ta3n.train.methods.dan import ALPHA
from ta3n.train.methods.registry import register_method

if TYPE_CHECKING:
    from torch import Tensor

    from ta3n.train.loop.objective import Step

_NUM_BANDWIDTHS = (2, 5)  # of predictions and video features: the authors' program


def _discrepancy(step: "Step") -> "Tensor":
    from ta3n.train.losses.mmd import joint_mmd_loss

    recipe, logits = step.recipe, step.output.logits
    predictions = logits.softmax(dim=-1) if recipe.joint_input == "softmax" else logits
    layers = (predictions, step.output.video_features)
    return joint_mmd_loss(
        [layer[: step.num_source] for layer in layers],
        [layer[step.num_source :] for layer in layers],
        num_bandwidths=_NUM_BANDWIDTHS,
        estimator=recipe.mmd_estimator,
        bandwidth_floor=recipe.bandwidth_floor,
    )


JAN = Term(
    name="discrepancy_jan",
    label="JAN",
    loss=_discrepancy,
    sources="pairs",
    weight=ALPHA,
    group="alignment",
    choice="jan",
    reads=("mmd_estimator", "bandwidth_floor", "joint_input"),
)

register_method(
    Method(name="jan", label="JAN", source="Long et al., ICML 2017; Table 3", terms=(JAN,), rank=5)
)
