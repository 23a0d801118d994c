"""Memory that decoders and the network's process share: blocks of frames, and signs of life.

It has no name: what maps it is given its descriptor, and it is gone with the last of them, whatever
ended them. It lies in no file system whose size could be too small, but where a system has no such
memory: then in a file of the temporary folder that was removed as soon as it was open.
"""

import mmap
import os
import tempfile
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ta3n.common.device import open_memory
from ta3n.common.log import LOGGER
from ta3n.common.video import RgbImage

_PAGE = 4096
_MOST_IN_A_BLOCK = 2 * 2**20
# So that each decoder fills a block while others of its own wait.
_BLOCKS_EACH = 4


@dataclass(frozen=True, slots=True)
class Layout:
    """How the memory is divided: a counter for each decoder, then blocks of equal size."""

    num_decoders: int
    num_blocks: int
    block_bytes: int

    @classmethod
    def of(cls, num_decoders: int, max_bytes: int, frame_bytes: int) -> "Layout":
        """Return a division of so many bytes, and more only if two frames do not fit.

        Args:
            frame_bytes: The most that a frame, or a window of frames, takes.
        """
        share = min(max_bytes // (_BLOCKS_EACH * num_decoders), _MOST_IN_A_BLOCK)
        size = -(-max(share, frame_bytes, _PAGE) // _PAGE) * _PAGE
        return cls(num_decoders, max(max_bytes // size, 2), size)

    @property
    def num_bytes(self) -> int:
        """Of it all."""
        return self._first + self.num_blocks * self.block_bytes

    @property
    def _first(self) -> int:
        return -(-8 * self.num_decoders // _PAGE) * _PAGE

    def offset(self, block: int) -> int:
        """Return where a block begins."""
        return self._first + block * self.block_bytes


class Blocks:
    """The memory itself, mapped into this process.

    Args:
        descriptor: Of the shared memory; None takes memory of this process alone.

    Attributes:
        steps: A counter for each decoder, which goes up with every packet that it reads.
    """

    def __init__(self, layout: Layout, descriptor: int | None = None) -> None:
        self.layout = layout
        self._bytes = np.frombuffer(
            mmap.mmap(-1 if descriptor is None else descriptor, layout.num_bytes), np.uint8
        )
        self.steps: NDArray[np.uint64] = self._bytes[: 8 * layout.num_decoders].view(np.uint64)

    def frames(self, block: int, shape: tuple[int, ...], count: int) -> RgbImage:
        """Return so many frames of one shape, one behind the other in a block [count, *shape]."""
        first = self.layout.offset(block)
        num_bytes = count * int(np.prod(shape))
        return self._bytes[first : first + num_bytes].reshape(count, *shape)


def open_shared_memory(num_bytes: int) -> int | None:
    """Return a descriptor of new memory that can be shared; None, with a line, if there is none."""
    with suppress(OSError):
        descriptor = open_memory("ta3n-frames")
        os.ftruncate(descriptor, num_bytes)
        return descriptor
    folder = tempfile.gettempdir()
    try:
        with tempfile.TemporaryFile(prefix="ta3n-", dir=folder) as file:
            # A disk that fills up later would end whoever writes to what is mapped.
            for first in range(0, num_bytes, 2**20):
                file.write(bytes(min(2**20, num_bytes - first)))
            file.flush()
            LOGGER.info(
                "no memory can be shared here: decoded frames go through a file of %.0f MB in %s",
                num_bytes / 1e6,
                folder,
            )
            return os.dup(file.fileno())
    except OSError as error:
        LOGGER.warning(
            "no memory can be shared here, nor a file of %.0f MB in %s (%s): clips are decoded in "
            "threads of this process, which one that crashes takes down",
            num_bytes / 1e6,
            folder,
            error.strerror,
        )
    return None
