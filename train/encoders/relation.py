"""TemRelation: what 2, 3 .. K frames in their order say together."""

from typing import TYPE_CHECKING

from ta3n.train.encoders.registry import Encoder, register_encoder

if TYPE_CHECKING:
    from ta3n.train.layers.temporal import TemRelation
    from ta3n.train.model.model import ModelSpec


def _build(spec: "ModelSpec") -> "TemRelation":
    from ta3n.train.layers.temporal import TemRelation

    return TemRelation(spec)


RELATION = register_encoder(
    Encoder(
        name="relation",
        part="relation",
        label="TemRelation",
        source="section 2.2",
        build=_build,
        width="relation_dim",
        has_parts=True,
        reads=("relation_dim", "max_subsets"),
        rank=2,
    )
)
