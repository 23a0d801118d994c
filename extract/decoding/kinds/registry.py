"""What a kind of clip says of itself.

A kind is one file in this folder that registers one object. Its reader is a `ClipReader` of
`ta3n.common.video`; decoding knows of no other.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ta3n.common.registry import Registry
from ta3n.common.sampling import Reading
from ta3n.common.video import ClipReader


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One way of storing a clip.

    Attributes:
        name: What it is called.
        reads: Tells whether a path is of this kind; those of a higher rank are not asked then.
        reader: Makes the reader of a path, not opened yet, with what to call for every packet and
            what is known of how the clips are to be read.
        rank: Kinds are asked in this order.
    """

    name: str
    reads: Callable[[Path], bool]
    reader: Callable[[Path, Callable[[], None], Reading], ClipReader]
    rank: int


KINDS: Registry[Kind] = Registry("kind of clip", "ta3n.extract.decoding.kinds")
