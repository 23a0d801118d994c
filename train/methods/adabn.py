"""AdaBN: each domain normalised by its own statistics."""

from ta3n.train.methods.base import Method, Term
from ta3n.train.methods.registry import register_method

ADABN = Term(
    name="adabn",
    label="normalisation per domain",
    normalises=True,
    fewest=2,
    group="norm",
    choice="adabn",
    reads=("norm_layers", "norm_momentum"),
)

register_method(
    Method(
        name="adabn",
        label="AdaBN",
        source="Li et al., Pattern Recognition 2018; Table 3",
        terms=(ADABN,),
        rank=6,
    )
)
