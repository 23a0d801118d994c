"""The adversarial domain loss of a level: L_sd, L_rd or L_td of equation 1."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from ta3n.train.methods.base import LEVELS, Level, Term, reversal
from ta3n.train.methods.registry import register_term

if TYPE_CHECKING:
    from torch import Tensor

    from ta3n.train.loop.objective import Step


def _loss_of(level: Level) -> "Callable[[Step], Tensor]":
    def loss(step: "Step") -> "Tensor":
        from ta3n.train.losses.domain import domain_loss

        return domain_loss(*step.by_domain(step.output.domain_logits[level]))

    return loss


ADVERSARIAL: dict[Level, Term] = {
    level: register_term(
        Term(
            name=f"adversarial_{level}",
            label=f"the {level} discriminator",
            loss=_loss_of(level),
            weight=reversal(level),
            scales="gradient",
            group="adversarial",
            choice=level,
            level=level,
            sources="classes",
        )
    )
    for level in LEVELS
}
"""By level; the weight is the coefficient of the reversal inside the discriminator."""
