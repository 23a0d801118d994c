"""What has to hold inside a shard, and what reading one may raise. Needs no HDF5.

Legend: F rows, D feature width.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ta3n.common.errors import FeatureStoreError
from ta3n.common.records import ClipRecord, ShardRecord

STATUS_CODES = {"ok": 0, "partial": 1, "empty": 2, "failed": 3, "crashed": 4, "timeout": 5}

# What a file that was tampered with, or lies on a bad disk, raises on reading.
UNREADABLE: tuple[type[Exception], ...] = (
    *(KeyError, ValueError, TypeError, AttributeError, IndexError, OverflowError),
    *(OSError, RuntimeError, MemoryError, FeatureStoreError),
)


def check_parts(record: ShardRecord, features: Any, num_rows: tuple[int, int]) -> None:
    """Check the shapes of a shard's parts against each other.

    Args:
        record: The shard's record.
        features: The dataset of the rows.
        num_rows: Length of the other parts that have an entry a row.

    Raises:
        FeatureStoreError: If they do not fit.
    """
    if features.ndim != 2 or features.dtype != np.dtype("<f4"):
        raise FeatureStoreError(f"features are {features.dtype} {features.shape}")
    if {len(features), *num_rows} != {record.num_rows}:
        raise FeatureStoreError(f"the parts do not all have {record.num_rows} rows")


def check_index(record: ShardRecord, index: NDArray[Any]) -> None:
    """Check the index against the record, and the clips' rows against their number.

    Raises:
        FeatureStoreError: If they disagree.
    """
    if len(index) != len(record.clips):
        raise FeatureStoreError(f"index of {len(index)} clips, record of {len(record.clips)}")
    for row, clip in zip(index, record.clips, strict=True):
        if not _agree(row, clip):
            raise FeatureStoreError(f"index and record disagree on {clip.path}")
        if not 0 <= clip.start <= record.num_rows - clip.length <= record.num_rows:
            raise FeatureStoreError(f"the rows of {clip.path} are not all there")


def first_line(error: Exception) -> str:
    """Return the first line of an error's text, or its kind if it has none."""
    text = str(error).strip("'\"")
    return text.splitlines()[0] if text else type(error).__name__


def _agree(row: Any, clip: ClipRecord) -> bool:
    found = tuple(int(row[name]) for name in ("id", "start", "length", "status", "crc32"))
    return found == (clip.id, clip.start, clip.length, STATUS_CODES[clip.status], clip.crc32)
