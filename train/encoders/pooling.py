"""TemPooling: the mean over the frames."""

from typing import TYPE_CHECKING

from ta3n.train.encoders.registry import Encoder, register_encoder

if TYPE_CHECKING:
    from ta3n.train.layers.temporal import TemPooling
    from ta3n.train.model.model import ModelSpec


def _build(_spec: "ModelSpec") -> "TemPooling":
    from ta3n.train.layers.temporal import TemPooling

    return TemPooling()


POOLING = register_encoder(
    Encoder(name="pooling", label="TemPooling", source="section 2.1", build=_build, rank=1)
)
