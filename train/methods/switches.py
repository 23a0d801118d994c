"""Terms of the authors' program that are in no method by themselves, for ablations."""

from typing import TYPE_CHECKING

from ta3n.train.methods.base import Term
from ta3n.train.methods.registry import register_term
from ta3n.train.methods.ta3n import GAMMA

if TYPE_CHECKING:
    from torch import Tensor

    from ta3n.train.loop.objective import Step


def _target_entropy(step: "Step") -> "Tensor":
    from ta3n.train.losses.entropy import entropy

    return entropy(step.target_logits).mean()


TARGET_ENTROPY = register_term(
    Term(
        name="target_entropy",
        label="target entropy",
        loss=_target_entropy,
        uses_source=False,
        weight=GAMMA,
        group="entropy",
        choice="target",
    )
)

CONVENTIONAL_ATTENTION = register_term(
    Term(
        name="conventional_attention",
        label="conventional attention",
        group="attention",
        choice="conventional",
        attends="conventional",
        uses_target=False,
    )
)
