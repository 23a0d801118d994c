"""TA2N: adversarial discriminators at every level (section 2.2)."""

from ta3n.train.methods.adversarial import ADVERSARIAL
from ta3n.train.methods.base import Method
from ta3n.train.methods.registry import register_method

TA2N = register_method(
    Method(
        name="ta2n",
        label="TA2N",
        source="section 2.2; Tables 2 to 4",
        terms=tuple(ADVERSARIAL.values()),
        rank=8,
    )
)
