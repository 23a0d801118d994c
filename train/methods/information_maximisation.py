"""Information maximisation: predictions of the target that are certain each, and spread together.

Shapes: B target videos, C classes.
"""

from typing import TYPE_CHECKING

from ta3n.train.methods.base import Method, Term, Weight
from ta3n.train.methods.entropy import smoothed_entropy
from ta3n.train.methods.registry import register_method

if TYPE_CHECKING:
    from torch import Tensor

    from ta3n.train.loop.objective import Step

EPSILON = 1e-5  # inside both logarithms, as in the authors' program


def information_maximisation(
    logits: "Tensor", *, diverse: bool = True, epsilon: float = EPSILON
) -> "Tensor":
    """Return the mean entropy minus the entropy of the mean: Liang et al., ICML 2020, section 3.2.

    Args:
        logits: [B, C].
        diverse: whether predictions are spread; without, it is the mean entropy alone.
        epsilon: inside both logarithms.
    """
    certain = smoothed_entropy(logits, epsilon)
    if not diverse:
        return certain
    mean = logits.softmax(dim=-1).mean(dim=0)  # [C]
    return certain + (mean * (mean + epsilon).log()).sum()


def _loss(step: "Step") -> "Tensor":
    return information_maximisation(step.target_logits)


IM = Term(
    name="information",
    label="information maximisation",
    loss=_loss,
    uses_source=False,
    fewest=2,
    weight=Weight(
        name="im",
        default=0.1,
        about="of the information maximisation",
        origin="ours, by the rule im on clips of another seed: 1 is for trained models",
    ),
)

register_method(
    Method(name="im", label="IM", source="Liang et al., ICML 2020, section 3.2", terms=(IM,))
)
