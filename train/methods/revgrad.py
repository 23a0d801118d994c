"""RevGrad (DANN): adversarial discriminators of the domain.

With TemRelation the row of Table 3 is the G_sd row of Table 4: the frame discriminator alone.
"""

from ta3n.train.methods.adversarial import ADVERSARIAL
from ta3n.train.methods.base import Method
from ta3n.train.methods.registry import register_method

REVGRAD = register_method(
    Method(
        name="revgrad",
        label="RevGrad",
        source="Ganin and Lempitsky, ICML 2015; Table 3",
        terms=(ADVERSARIAL["frame"],),
        with_encoder={"pooling": (ADVERSARIAL["video"], ADVERSARIAL["frame"])},
        rank=3,
    )
)
