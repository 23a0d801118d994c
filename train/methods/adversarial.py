"""The adversarial domain loss of a level: L_sd, L_rd or L_td of equation 1.

Shapes: S source and T target items: frames, relations or videos, in any leading dimensions; M
domains, 2 unless several sources are domains of their own.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from ta3n.train.methods.base import LEVELS, Level, Term, reversal
from ta3n.train.methods.registry import register_term

if TYPE_CHECKING:
    from torch import Tensor

    from ta3n.train.loop.objective import Step


def domain_loss(*logits: "Tensor") -> "Tensor":
    """Return the mean domain cross-entropy over all items of all domains, in nats.

    `1/N_{S u T} sum_i L_d^i`: the domains count by their number of items, and the K-1 relation
    discriminators are pooled into one mean. Equation 1 subtracts this term for the features and
    minimises it for the discriminator; here it is only ever added, since the gradient reversal
    inside the discriminator carries the minus and the trade-off.

    Args:
        logits: domain logits of the items of each domain in order, [S..., M] of the source (of each
            source), [T..., M] of the target last.
    """
    import torch

    own = [
        items.flatten(end_dim=-2).log_softmax(dim=-1)[:, domain]
        for domain, items in enumerate(logits)
    ]
    return -torch.cat(own).mean()


def _loss_of(level: Level) -> "Callable[[Step], Tensor]":
    def loss(step: "Step") -> "Tensor":
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
