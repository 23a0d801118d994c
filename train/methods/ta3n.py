"""TA3N: TA2N with domain attention and attentive entropy (section 2.3)."""

from typing import TYPE_CHECKING

from ta3n.train.methods.adversarial import ADVERSARIAL
from ta3n.train.methods.base import Method, Term, Weight
from ta3n.train.methods.registry import register_method

if TYPE_CHECKING:
    from torch import Tensor

    from ta3n.train.loop.objective import Step

GAMMA = Weight(
    name="gamma",
    default=0.003,
    about="weight of the attentive entropy, or of the target entropy",
    origin="published for UCF->HMDB",
)


def _attentive_entropy(step: "Step") -> "Tensor":
    from ta3n.train.losses.entropy import attentive_entropy_loss

    # Always the video level: the authors' program silently took another one where this
    # discriminator was left out.
    return attentive_entropy_loss(step.output.logits, step.output.domain_logits["video"])


DOMAIN_ATTENTION = Term(
    name="domain_attention",
    label="domain attention",
    group="attention",
    choice="domain",
    attends="domain",
    uses_target=False,
    sources="classes",
)

ATTENTIVE_ENTROPY = Term(
    name="attentive_entropy",
    label="attentive entropy",
    loss=_attentive_entropy,
    weight=GAMMA,
    group="entropy",
    choice="attentive",
    levels=("video",),
    sources="classes",
)

TA3N = register_method(
    Method(
        name="ta3n",
        label="TA3N",
        source="section 2.3; Tables 2 and 3",
        terms=(*ADVERSARIAL.values(), DOMAIN_ATTENTION, ATTENTIVE_ENTROPY),
        rank=9,
    )
)
