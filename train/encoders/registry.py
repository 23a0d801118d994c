"""What an encoder says of itself. No torch here.

An encoder is one file in this folder, or in a plug-in, that registers one object. Its module maps
frame features [B, K, H] to a video feature [B, V], or to parts [B, P, V] that are summed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ta3n.common.registry import Registry

if TYPE_CHECKING:
    from ta3n.train.layers.temporal import EncoderModule
    from ta3n.train.model.model import ModelSpec


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """A temporal module, by name.

    Args:
        name: on the command line.
        label: in tables.
        source: where it is described.
        build: makes the module. Its weights are drawn from the run's seed, whatever layers it is
            made of.
        width: which width of the model V is: `hidden_dim` (H) or `relation_dim` (R).
        has_parts: whether it yields parts, such as relations, which can have a discriminator each
            and be weighed by attention.
        reverses: whether it has discriminators inside, whose gradient it reverses by
            `domains.coefficient`: the weight `beta_encoder` of a run.
        part: what a part is called.
        reads: fields of the recipe that it depends on, beside the number of frames and H.
        rank: place in lists.
    """

    name: str
    label: str
    source: str
    build: "Callable[[ModelSpec], EncoderModule]"
    width: Literal["hidden_dim", "relation_dim"] = "hidden_dim"
    has_parts: bool = False
    reverses: bool = False
    part: str = "part"
    reads: tuple[str, ...] = ()
    rank: int = 100


ENCODERS: Registry[Encoder] = Registry("--temporal", "ta3n.train.encoders")


def part_names(part: str, count: int) -> list[str]:
    """Return what each part is called, in the order in which attention is kept: the last one first.

    Args:
        part: what one is called; relations are yielded from K frames down to 2.
        count: how many there are.
    """
    if part == "relation":
        return [f"{n}-frame" for n in range(2, count + 2)]
    return [f"{part} {n}" for n in range(count, 0, -1)]


register_encoder = ENCODERS.register
"""Makes an encoder known under its name."""
