"""Feature rows on their way into a shard: in memory while they are few, then in a file.

Legend: N rows added, D feature width.
"""

from collections.abc import Sequence
from pathlib import Path
from tempfile import SpooledTemporaryFile
from types import TracebackType
from typing import NamedTuple, Self

import numpy as np

from ta3n.common.store import Features, RowSource

# A shard of usual size stays in memory; a clip of 100,000 frames does not.
_BYTES_IN_MEMORY = 256 * 2**20


class RowSpool:
    """Rows [N, D] that were added, to be read back in any order.

    The file has no name, so that not even a kill leaves it behind.

    Args:
        width: D.
        folder: Where the file lies; None keeps all rows in memory.
    """

    def __init__(self, width: int, folder: Path | None) -> None:
        # A size of 0 sets no limit.
        max_size, where = (0, None) if folder is None else (_BYTES_IN_MEMORY, str(folder))
        self._file = SpooledTemporaryFile(max_size=max_size, dir=where)  # noqa: SIM115
        self._num_rows = 0
        self._width = width

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    @property
    def shape(self) -> tuple[int, int]:
        """N and D."""
        return self._num_rows, self._width

    def append(self, rows: Features) -> None:
        """Add rows [n, D].

        Raises:
            OSError: If the disk is full.
        """
        self._file.seek(4 * self._width * self._num_rows)
        self._file.write(np.ascontiguousarray(rows, np.float32).data)
        self._num_rows += len(rows)

    def __getitem__(self, rows: slice) -> Features:
        """Return the rows of a slice without step."""
        first, end, _ = rows.indices(self._num_rows)
        self._file.seek(4 * self._width * first)
        data = self._file.read(4 * self._width * max(end - first, 0))
        return np.frombuffer(data, np.float32).reshape(-1, self._width)


class Piece(NamedTuple):
    """Rows `first` to `end` of a source."""

    source: RowSource
    first: int
    end: int


class PiecedRows:
    """Rows of several sources, one piece after another, none copied before it is read.

    Args:
        pieces: In order; empty ones are fine.
        width: D.
    """

    def __init__(self, pieces: Sequence[Piece], width: int) -> None:
        self._pieces = [piece for piece in pieces if piece.end > piece.first]
        self._starts = np.cumsum([0, *(piece.end - piece.first for piece in self._pieces)])
        self._width = width

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows, and D."""
        return int(self._starts[-1]), self._width

    def __getitem__(self, rows: slice) -> Features:
        """Return the rows of a slice without step."""
        first, end, _ = rows.indices(self.shape[0])
        parts = [np.empty((0, self._width), np.float32)]
        for piece, start in zip(self._pieces, self._starts[:-1].tolist(), strict=True):
            low = max(piece.first, piece.first + first - start)
            high = min(piece.end, piece.first + end - start)
            if low < high:
                parts.append(piece.source[low:high])
        return np.concatenate(parts)
