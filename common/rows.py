"""Feature rows that need not be in memory all at once, and their checksums.

Legend: F rows, D feature width.
"""

import zlib
from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.float32]

ROWS_AT_ONCE = 4096
"""Rows that are in memory at a time where a shard is written, copied or checked."""


class RowSource(Protocol):
    """Rows [F, D] that can be had in slices; an array will do."""

    @property
    def shape(self) -> tuple[int, ...]:
        """F and D."""
        ...

    def __getitem__(self, rows: slice, /) -> Features:
        """Return the rows of a slice without step."""
        ...


def row_blocks(source: RowSource, first: int = 0, end: int | None = None) -> Iterator[Features]:
    """Yield rows `first` to `end` (or the last) in blocks of bounded size, [<= 4096, D] each."""
    end = source.shape[0] if end is None else end
    for start in range(first, end, ROWS_AT_ONCE):
        yield source[start : min(start + ROWS_AT_ONCE, end)]


def crc32_of(rows: Features, before: int = 0) -> int:
    """Return the CRC-32 of feature rows as they lie in a shard.

    Args:
        rows: Rows [F, D].
        before: The CRC-32 of the rows before these, to go on from.
    """
    return zlib.crc32(np.ascontiguousarray(rows, dtype="<f4").data, before)
