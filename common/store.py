"""Feature shards, and HDF5 files of others: the only module that touches h5py.

A shard is written once, checked, and never changed: `/features` float32 [F, D] contiguous, one row
a kept frame; `/frame` int32 [F], its number in the clip; `/row_crc32` uint32 [F]; `/index`, a row
a clip; `/record`, the sidecar as JSON. Rows need not be in memory all at once.

Legend: F rows, D feature width.
"""

import errno
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol, Self

# Shards are private until published and immutable after: a lock could only fail or hang. The
# variable wins over the argument and is read on import, so it is set whatever the cluster sets.
os.environ["HDF5_USE_FILE_LOCKING"] = "FALSE"

import h5py
import numpy as np
from numpy.typing import NDArray

from ta3n.common.errors import FeatureStoreError, first_line
from ta3n.common.files import (
    ErrorKeepingFile,
    fsync_and_forget,
    fsync_path,
    publish_file,
    replace_file,
    temporary_beside,
)
from ta3n.common.records import ClipRecord, ShardRecord, dump_record, parse_record

Features = NDArray[np.float32]

ROWS_AT_ONCE = 4096
"""Rows that are in memory at a time where a shard is written, copied or checked."""


class RowSource(Protocol):
    """Rows [F, D] that can be had in slices without step; an array will do."""

    @property
    def shape(self) -> tuple[int, ...]:
        """F and D."""

    def __getitem__(self, rows: slice, /) -> Features: ...


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

# What a file that was tampered with, or lies on a bad disk, raises on reading.
_UNREADABLE: tuple[type[Exception], ...] = (
    *(KeyError, ValueError, TypeError, AttributeError, IndexError, OverflowError),
    *(OSError, RuntimeError, MemoryError, FeatureStoreError),
)


def row_blocks(source: RowSource) -> Iterator[Features]:
    """Yield rows in blocks of bounded size, [<= 4096, D] each."""
    for start in range(0, source.shape[0], ROWS_AT_ONCE):
        yield source[start : min(start + ROWS_AT_ONCE, source.shape[0])]


def crc32_of(rows: Features) -> int:
    """Return the CRC-32 of rows [F, D] as they lie in a shard."""
    return zlib.crc32(np.ascontiguousarray(rows, dtype="<f4").data)


def joined_crc32(row_crcs: NDArray[np.uint32], width: int) -> int:
    """Return the CRC-32 of rows of D = `width` one after another, given that of each row [F].

    A checksum moves past the bytes of a row by a linear map of its 32 bits, as in zlib's
    `crc32_combine`; rows have one length, so one map serves, and no row is read again.
    """
    low, second, third, high = _moved_past_row(width)
    joined = 0
    for crc in row_crcs.tolist():
        moved = low[joined & 255] ^ second[joined >> 8 & 255]
        joined = crc ^ moved ^ third[joined >> 16 & 255] ^ high[joined >> 24]
    return joined


@lru_cache(maxsize=4)
def _moved_past_row(width: int) -> list[list[int]]:
    """Return, for each of a checksum's four bytes, where its 256 values go past a row."""
    zeros = bytes(4 * width)
    own = zlib.crc32(zeros)
    return [
        [zlib.crc32(zeros, value << shift) ^ own for value in range(256)]
        for shift in (0, 8, 16, 24)
    ]


@dataclass(frozen=True, slots=True)
class RowChecks:
    """What one look at rows tells of each: its CRC-32, uint32 [F], and whether it is finite [F]."""

    crc32: NDArray[np.uint32]
    finite: NDArray[np.bool_]

    def take(self, numbers: NDArray[np.int64]) -> "RowChecks":
        """Return those of the rows of these numbers."""
        return RowChecks(self.crc32[numbers], self.finite[numbers])


def check_rows(source: RowSource) -> RowChecks:
    """Look at rows [F, D] once, block by block."""
    crcs = np.empty(source.shape[0], np.uint32)
    finite = np.empty(source.shape[0], np.bool_)
    first = 0
    for block in row_blocks(source):
        rows = np.ascontiguousarray(block, "<f4")
        crcs[first : first + len(rows)] = [zlib.crc32(row) for row in rows]
        finite[first : first + len(rows)] = np.isfinite(rows).all(axis=1)
        first += len(rows)
    return RowChecks(crcs, finite)


def shard_path(folder: Path, shard: str) -> Path:
    """Return where a shard lies."""
    return folder / f"{shard}.h5"


def sidecar_path(folder: Path, shard: str) -> Path:
    """Return where a shard's sidecar lies; a shard counts as done once it is there."""
    return folder / f"{shard}.json"


def is_finished(folder: Path, shard: str) -> bool:
    """Return whether a shard and its sidecar are there."""
    return sidecar_path(folder, shard).exists() and shard_path(folder, shard).exists()


def write_shard(
    folder: Path,
    record: ShardRecord,
    features: RowSource,
    frames: NDArray[np.int32],
    *,
    checks: RowChecks | None = None,
    replace: bool = False,
) -> ShardRecord:
    """Write a shard and its sidecar, each complete or not at all.

    What was written is held to the rows, as the disk holds it, before the shard has its name.

    Args:
        folder: Feature folder of the dataset.
        record: Its clips, with rows and checksums filled in.
        features: Rows [F, D].
        frames: Frame number of each row [F].
        checks: Of the rows, where they were looked at before.
        replace: Put it in the place of a shard that is damaged or lacks clips. A kill on the way
            leaves the old shard or the new one; both have their record inside.

    Returns:
        The record of the published shard: another job's, if that one was first.

    Raises:
        FeatureStoreError: If what was written does not read back, or is not as the record says.
        OSError: If the disk is full or the folder cannot be written.
    """
    path = shard_path(folder, record.shard)
    if not folder.is_dir():
        # It was there when the job began: nothing may appear in a new, empty one.
        raise FileNotFoundError(errno.ENOENT, "the feature folder is gone", str(folder))
    checks = check_rows(features) if checks is None else checks
    _check_record(path, record, checks, features.shape[1])
    with temporary_beside(path) as temporary:
        _write_file(temporary, record, features, frames, checks.crc32)
        fsync_and_forget(temporary)
        with ShardReader(temporary) as shard:
            shard.compare(record, features, frames, checks.crc32)
        if replace:
            sidecar_path(folder, record.shard).unlink(missing_ok=True)
            temporary.replace(path)
            fsync_path(folder)
        else:
            publish_file(temporary, path)
    return restore_sidecar(folder, record.shard)


def restore_sidecar(folder: Path, shard: str) -> ShardRecord:
    """Write the sidecar of a published shard from the copy inside it.

    Raises:
        FeatureStoreError: If the shard is damaged.
        OSError: If the folder cannot be written.
    """
    written: ShardRecord | None = None
    while True:
        with ShardReader(shard_path(folder, shard)) as reader:
            record = reader.record
        # Another job may have replaced the shard meanwhile: the last sidecar must be its own.
        if record == written:
            return record
        replace_file(sidecar_path(folder, shard), dump_record(record))
        written = record


def _check_record(path: Path, record: ShardRecord, checks: RowChecks, width: int) -> None:
    """Refuse rows that are not finite, or not those whose checksums the record has."""
    for clip in record.clips:
        rows = slice(clip.start, clip.start + clip.length)
        if not checks.finite[rows].all():
            raise FeatureStoreError(f"{path}: {clip.path} holds values that are not finite")
        if joined_crc32(checks.crc32[rows], width) != clip.crc32:
            raise FeatureStoreError(f"{path} is damaged: {clip.path} fails its checksum")


def _write_file(
    path: Path,
    record: ShardRecord,
    features: RowSource,
    frames: NDArray[np.int32],
    row_crcs: NDArray[np.uint32],
) -> None:
    index = np.array([_index_row(clip) for clip in record.clips], dtype=_INDEX_DTYPE)
    try:
        with ErrorKeepingFile(path) as target, h5py.File(target, "w") as file:
            dataset = file.create_dataset("features", shape=features.shape, dtype="<f4")
            first = 0
            for block in row_blocks(features):
                dataset[first : first + len(block)] = block
                first += len(block)
            file.create_dataset("frame", data=frames)
            file.create_dataset("row_crc32", data=row_crcs)
            file.create_dataset("index", data=index)
            file.create_dataset("record", data=np.frombuffer(dump_record(record), np.uint8))
            file.attrs["schema_version"] = record.schema_version
            file.attrs["config_hash"] = record.config_hash
            for key, value in record.provenance.items():
                file.attrs[key] = value
    except RuntimeError as error:
        raise OSError(f"cannot write {path.parent}: {first_line(error)}") from error


def _index_row(clip: ClipRecord) -> tuple[int, ...]:
    return clip.id, clip.start, clip.length, _STATUS_CODES[clip.status], clip.crc32


class ShardReader:
    """An open shard, with the sidecar's copy inside it as `record`.

    Raises:
        FeatureStoreError: If the file is missing, is no shard, or contradicts its record.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with _told(path, "cannot be read"):
            self._file = h5py.File(path, "r", locking=False)
        with ExitStack() as on_error, _told(path, "is damaged"):
            on_error.callback(self._file.close)
            self._features = self._dataset("features")
            self._row_crcs = self._dataset("row_crc32")[:]
            self.frames: NDArray[np.int32] = self._dataset("frame")[:]
            self.record = parse_record(ShardRecord, self._dataset("record")[:].tobytes(), path)
            self._check_parts()
            _check_index(self.record, self._dataset("index")[:])
            on_error.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def feature_dim(self) -> int:
        """D, the width of a row."""
        return int(self._features.shape[1])

    def attributes(self) -> dict[str, str]:
        """Return what other programs see of the shard's origin.

        Raises:
            FeatureStoreError: If the file is damaged there.
        """
        with _told(self.path, "is damaged"):
            return {str(key): str(value) for key, value in self._file.attrs.items()}

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
                what = f"row {row} does not match its checksum; run ta3n-extract --repair"
                raise FeatureStoreError(f"{self.path} is damaged: {what}")
        return block

    def map_rows(self) -> "MappedRows":
        """Return the rows mapped into memory, which outlive this reader.

        Raises:
            FeatureStoreError: If the file is damaged, or cannot be mapped.
        """
        with _told(self.path, "cannot be mapped"):
            shape, offset = self._features.shape, self._features.id.get_offset()
            if not shape[0]:
                return MappedRows(self.path, np.empty(shape, np.float32), self._row_crcs)
            if offset is None or offset + self._features.nbytes > self.path.stat().st_size:
                raise FeatureStoreError("features are not stored in one piece in this file")
            mapped = np.memmap(self.path, "<f4", "r", offset, shape)
        return MappedRows(self.path, mapped, self._row_crcs)

    def verify(self) -> None:
        """Check every row, every clip's checksum, and that all features are finite.

        Raises:
            FeatureStoreError: At the first clip that does not match.
        """
        for clip in self.record.clips:
            for first in range(0, clip.length, ROWS_AT_ONCE):
                block = range(first, min(first + ROWS_AT_ONCE, clip.length))
                if not np.isfinite(self.rows(clip.start, block)).all():
                    what = f"{clip.path} holds values that are not finite"
                    raise FeatureStoreError(f"{self.path}: {what}")
            # Its rows match their own checksums, so those stand for the rows.
            row_crcs = self._row_crcs[clip.start : clip.start + clip.length]
            if joined_crc32(row_crcs, self.feature_dim) != clip.crc32:
                raise FeatureStoreError(f"{self.path} is damaged: {clip.path} fails its checksum")

    def compare(
        self,
        record: ShardRecord,
        features: RowSource,
        frames: NDArray[np.int32],
        row_crcs: NDArray[np.uint32],
    ) -> None:
        """Hold all of the shard to what was to be written, byte by byte.

        Raises:
            FeatureStoreError: If anything differs.
        """
        parts = [(self.frames, frames), (self._row_crcs, row_crcs)]
        is_record = dump_record(self.record) == dump_record(record)
        if not is_record or not all(np.array_equal(*pair) for pair in parts):
            raise FeatureStoreError(f"{self.path} does not read back as it was written")
        with _told(self.path, "cannot be read"), self.path.open("rb") as file:
            # Plain reading is faster than HDF5's, and other threads go on meanwhile.
            file.seek(self._features.id.get_offset() or 0)
            for block in row_blocks(features):
                expected = np.ascontiguousarray(block, "<f4").view(np.uint32)
                found = np.empty_like(expected)
                size = file.readinto(found.data.cast("B"))
                if size != found.nbytes or not np.array_equal(found, expected):
                    raise FeatureStoreError("it does not read back as it was written")

    def _check_parts(self) -> None:
        features, num_rows = self._features, self.record.num_rows
        if features.ndim != 2 or features.dtype != np.dtype("<f4"):
            raise FeatureStoreError(f"features are {features.dtype} {features.shape}")
        if {len(features), len(self._row_crcs), len(self.frames)} != {num_rows}:
            raise FeatureStoreError(f"the parts do not all have {num_rows} rows")

    def _dataset(self, name: str) -> Any:
        """Return a dataset whose data lies inside this very file, as all that we write does."""
        if not isinstance(self._file.get(name, getlink=True), h5py.HardLink):
            raise FeatureStoreError(f"{name} is missing, or a link to somewhere else")
        dataset = self._file[name]
        if not isinstance(dataset, h5py.Dataset):
            raise FeatureStoreError(f"{name} is no dataset")
        elsewhere = dataset.external or dataset.is_virtual
        if elsewhere or dataset.chunks or dataset.nbytes > self.path.stat().st_size:
            raise FeatureStoreError(f"{name} is not stored in one piece in this file")
        return dataset

    def _read(self, rows: Any) -> Features:
        with _told(self.path, "cannot be read"):
            values: Features = self._features[rows]
            return values


class MappedRows:
    """The rows of a shard where they lie: those that are asked for are read, and no others.

    Args:
        path: The shard, for messages.
        rows: [F, D], of the file.
        row_crcs: Checksum of each [F]. A row is held against its own the first time it is read.
    """

    def __init__(self, path: Path, rows: Features, row_crcs: NDArray[np.uint32]) -> None:
        self._path = path
        self._rows = rows
        self._row_crcs = row_crcs
        self._seen = np.zeros(len(row_crcs), np.bool_)

    def __len__(self) -> int:
        return len(self._row_crcs)

    def take(self, numbers: NDArray[np.int64]) -> Features:
        """Return a copy of the rows of these numbers [M, D].

        Raises:
            FeatureStoreError: If a row does not match its checksum, or has values that are not
                finite.
        """
        block = np.asarray(self._rows[numbers])
        for place in np.flatnonzero(~self._seen[numbers]).tolist():
            number, values = int(numbers[place]), block[place]
            if crc32_of(values) != self._row_crcs[number]:
                what = f"row {number} does not match its checksum; run ta3n-extract --repair"
                raise FeatureStoreError(f"{self._path} is damaged: {what}")
            if not np.isfinite(values).all():
                raise FeatureStoreError(
                    f"{self._path}: row {number} holds values that are not finite; verify the "
                    "feature files and extract them again"
                )
        self._seen[numbers] = True
        return block


def _check_index(record: ShardRecord, index: NDArray[Any]) -> None:
    """Check the index against the record, and the clips' rows against their number."""
    if len(index) != len(record.clips):
        raise FeatureStoreError(f"index of {len(index)} clips, record of {len(record.clips)}")
    for row, clip in zip(index, record.clips, strict=True):
        if tuple(int(row[name]) for name in _INDEX_DTYPE.names or ()) != _index_row(clip):
            raise FeatureStoreError(f"index and record disagree on {clip.path}")
        if not 0 <= clip.start <= record.num_rows - clip.length <= record.num_rows:
            raise FeatureStoreError(f"the rows of {clip.path} are not all there")


@contextmanager
def _told(path: Path, what: str) -> Iterator[None]:
    """Turn whatever an unreadable file raises into our error."""
    try:
        yield
    except FileNotFoundError as error:
        raise FeatureStoreError(f"{path} {what}: it is missing") from error
    except _UNREADABLE as error:
        raise FeatureStoreError(f"{path} {what}: {first_line(error)}") from error


@dataclass(frozen=True, slots=True)
class StoredArray:
    """An array in an HDF5 file of somebody else, read as long as that is open."""

    _dataset: Any

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        return tuple(self._dataset.shape or ())

    @property
    def dtype(self) -> np.dtype[Any]:
        """Form of its values."""
        dtype: np.dtype[Any] = self._dataset.dtype
        return dtype

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        """Return a slice along the first axis; nothing else of the array is read."""
        return np.asarray(self._dataset[rows])

    def read(self) -> NDArray[Any]:
        """Return all of it."""
        return np.asarray(self._dataset[()])


@contextmanager
def open_arrays_of_hdf5(path: Path) -> Iterator[dict[str, Any]]:
    """Give the arrays of an HDF5 file by name; groups are dicts.

    What lies in other files is left out: a file of a stranger may name any.

    Raises:
        OSError: It cannot be read, or is none.
    """
    with h5py.File(path, "r") as file:
        yield _members(file, set())


def _members(group: Any, seen: set[int]) -> dict[str, Any]:
    seen.add(h5py.h5o.get_info(group.id).addr)
    found: dict[str, Any] = {}
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            continue
        member = group[name]
        if isinstance(member, h5py.Group):
            # A group may lie in itself.
            if h5py.h5o.get_info(member.id).addr not in seen:
                found[name] = _members(member, seen)
        elif isinstance(member, h5py.Dataset) and not member.is_virtual and not member.external:
            found[name] = StoredArray(member)
    return found
