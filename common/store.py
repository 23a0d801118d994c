"""Feature shards: the only module that touches h5py.

A shard is written once, checked, and never changed: `/features` float32 [F, D] contiguous, one row
a kept frame; `/frame` int32 [F], its number in the clip; `/row_crc32` uint32 [F]; `/index`, a row
a clip; `/record`, the sidecar as JSON. Legend: F rows, D feature width.
"""

import zlib
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from ta3n.common.errors import FeatureStoreError
from ta3n.common.files import publish_file, replace_file, temporary_beside
from ta3n.common.records import ClipRecord, ShardRecord, dump_record, parse_record

Features = NDArray[np.float32]

_STATUS_CODES = {"ok": 0, "partial": 1, "empty": 2, "failed": 3, "crashed": 4, "timeout": 5}
_INDEX_DTYPE = np.dtype(
    [
        ("id", np.int32),
        ("start", np.int64),
        ("length", np.int32),
        ("status", h5py.enum_dtype(_STATUS_CODES, basetype=np.int8)),
        ("crc32", np.uint32),
    ]
)
# Shards are private until published and immutable after: a lock could only fail or hang.
_NO_LOCK = {"locking": False}


def shard_path(folder: Path, shard: str) -> Path:
    """Return where a shard lies."""
    return folder / f"{shard}.h5"


def sidecar_path(folder: Path, shard: str) -> Path:
    """Return where a shard's sidecar lies; a shard counts as done once it is there."""
    return folder / f"{shard}.json"


def crc32_of(rows: Features) -> int:
    """Return the CRC-32 of feature rows as they lie in a shard."""
    return zlib.crc32(np.ascontiguousarray(rows, dtype="<f4").data)


def write_shard(
    folder: Path, record: ShardRecord, features: Features, frames: NDArray[np.int32]
) -> ShardRecord:
    """Write a shard and its sidecar, each complete or not at all.

    Args:
        folder: Feature folder of the dataset.
        record: Its clips, with rows and checksums filled in.
        features: Rows [F, D].
        frames: Frame number of each row [F].

    Returns:
        The record of the published shard: another job's, if that one was first.

    Raises:
        FeatureStoreError: If what was written does not read back.
        OSError: If the disk is full or the folder cannot be written.
    """
    path = shard_path(folder, record.shard)
    with temporary_beside(path) as temporary:
        _write_file(temporary, record, features, frames)
        with ShardReader(temporary) as shard:
            shard.verify()
        publish_file(temporary, path)
    return restore_sidecar(folder, record.shard)


def restore_sidecar(folder: Path, shard: str) -> ShardRecord:
    """Write the sidecar of a published shard from the copy inside it.

    Raises:
        FeatureStoreError: If the shard is damaged.
        OSError: If the folder cannot be written.
    """
    with ShardReader(shard_path(folder, shard)) as reader:
        record = reader.record
    replace_file(sidecar_path(folder, shard), dump_record(record))
    return record


def _write_file(
    path: Path, record: ShardRecord, features: Features, frames: NDArray[np.int32]
) -> None:
    index = np.array(
        [(c.id, c.start, c.length, _STATUS_CODES[c.status], c.crc32) for c in record.clips],
        dtype=_INDEX_DTYPE,
    )
    row_crcs = np.array([crc32_of(row) for row in features], dtype=np.uint32)
    try:
        with h5py.File(path, "x", **_NO_LOCK) as file:
            file.create_dataset("features", data=features.astype("<f4", copy=False))
            file.create_dataset("frame", data=frames)
            file.create_dataset("row_crc32", data=row_crcs)
            file.create_dataset("index", data=index)
            file.create_dataset("record", data=np.frombuffer(dump_record(record), np.uint8))
            file.attrs["schema_version"] = record.schema_version
            file.attrs["config_hash"] = record.config_hash
            for key, value in record.provenance.items():
                file.attrs[key] = value
    except (RuntimeError, OSError) as error:
        # HDF5 hides errno (a full disk, say) in its text, and may fail only on closing.
        raise OSError(f"cannot write {path.parent}: {_first_line(error)}") from error


class ShardReader:
    """An open shard.

    Args:
        path: The shard file.

    Attributes:
        record: The sidecar's copy inside it.

    Raises:
        FeatureStoreError: If the file is missing, is no shard, or contradicts its record.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = h5py.File(path, "r", **_NO_LOCK)
        except OSError as error:
            raise FeatureStoreError(f"{path} cannot be read: {_first_line(error)}") from error
        try:
            self._features = self._file["features"]
            self._row_crcs = self._file["row_crc32"][:]
            self.frames: NDArray[np.int32] = self._file["frame"][:]
            self.record = parse_record(ShardRecord, self._file["record"][:].tobytes(), path)
            self._check_index(self._file["index"][:])
        except (KeyError, OSError, FeatureStoreError) as error:
            self._file.close()
            raise FeatureStoreError(f"{path} is damaged: {_first_line(error)}") from error

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
    def feature_dim(self) -> int:
        """D, the width of a row."""
        return int(self._features.shape[1])

    def rows(self, start: int, offsets: Sequence[int]) -> Features:
        """Return the rows at `start + offset` [len(offsets), D], each against its checksum.

        Raises:
            FeatureStoreError: If a row lies outside the shard or does not match.
        """
        wanted = [start + offset for offset in offsets]
        if not wanted:
            return np.empty((0, self.feature_dim), np.float32)
        low, high = min(wanted), max(wanted) + 1
        if low < 0 or high > len(self._row_crcs):
            raise FeatureStoreError(f"{self.path} has no rows {low} to {high - 1}")
        # Few rows of a long clip are read one by one, close ones in one sweep.
        if high - low <= 4 * len(wanted):
            block = self._read(slice(low, high))[[row - low for row in wanted]]
        else:
            block = np.stack([self._read(row) for row in wanted])
        for row, values in zip(wanted, block, strict=True):
            if crc32_of(values) != self._row_crcs[row]:
                raise FeatureStoreError(
                    f"{self.path} is damaged: row {row} does not match its checksum; "
                    "remove this shard with its .json and extract again"
                )
        return block

    def verify(self) -> None:
        """Check every row, every clip's checksum, and that all features are finite.

        Raises:
            FeatureStoreError: At the first clip that does not match.
        """
        for clip in self.record.clips:
            rows = self.rows(clip.start, range(clip.length))
            if crc32_of(rows) != clip.crc32:
                raise FeatureStoreError(f"{self.path} is damaged: {clip.path} fails its checksum")
            if not np.isfinite(rows).all():
                raise FeatureStoreError(
                    f"{self.path}: {clip.path} holds values that are not finite"
                )

    def _read(self, rows: Any) -> Features:
        try:
            values: Features = self._features[rows]
        except OSError as error:
            raise FeatureStoreError(f"{self.path} cannot be read: {_first_line(error)}") from error
        return values

    def _check_index(self, index: NDArray[Any]) -> None:
        if self._features.ndim != 2 or len(self._row_crcs) != len(self._features):
            raise FeatureStoreError(f"features have shape {self._features.shape}")
        if len(index) != len(self.record.clips):
            raise FeatureStoreError(
                f"index of {len(index)} clips, record of {len(self.record.clips)}"
            )
        for row, clip in zip(index, self.record.clips, strict=True):
            if not _agree(row, clip):
                raise FeatureStoreError(f"index and record disagree on {clip.path}")


def _agree(row: Any, clip: ClipRecord) -> bool:
    found = (int(row["id"]), int(row["start"]), int(row["length"]), int(row["crc32"]))
    return found == (clip.id, clip.start, clip.length, clip.crc32)


def _first_line(error: Exception) -> str:
    return str(error).strip("'\"").splitlines()[0] if str(error) else type(error).__name__
