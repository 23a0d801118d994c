"""Features of many videos in one file: a dict of arrays by name, or one array and a list of names.

Dicts may lie in dicts, as files in folders, and a list of dicts with a name each will do as well.
Only what is asked for is read, as far as the form allows: rows of `.npy`, `.h5` and of pickles,
entries of `.npz`, tensors of `.pt` (in torch's newer form).

Legend: N videos, F frames, D feature width.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from pickle import UnpicklingError
from typing import Any

import numpy as np
from numpy.lib.npyio import NpzFile

from ta3n.common.errors import (
    DataConflictError,
    DataMissingError,
    UsageError,
    printable,
    reason_of,
    shorten,
)
from ta3n.common.files import decode_text
from ta3n.common.store import StoredArray
from ta3n.datasets.custom.lists import parts_of
from ta3n.datasets.reading.folders import clip_stem, quoted
from ta3n.extract.exchange.feature_files import (
    SUFFIXES,
    FoundFeatures,
    as_array,
    chosen,
    find_features,
    open_arrays,
)
from ta3n.extract.exchange.pickles import PickledArray

_NAMES_KEYS = (
    *("ids", "names", "narration_ids", "video_ids", "video_names", "videos", "vids", "filenames"),
)
"""What lists of the videos of one array are called, where a file holds both."""

_NAME_KEYS = ("narration_id", "video_name", "video_id", "video", "vid", "name", "filename", "path")
"""What the name of its video is called in a record."""


@contextmanager
def open_features(
    source: Path,
    names: Path | None = None,
    *,
    key: str = "",
    is_video: Callable[[str], bool] = lambda _name: False,
) -> Iterator[Iterator[FoundFeatures]]:
    """Give the videos whose features lie in a folder, or in a file.

    Args:
        names: A text file with the video of each row of the one array in `source`, a line each.
        key: Entry with the features, where there are several.
        is_video: See `find_features`; dicts in a file are as folders.

    Raises:
        DataMissingError: There is nothing, or it cannot be read.
        DataConflictError: A file is damaged, or holds neither a dict of arrays nor one array with
            as many names.
        UsageError: Names are given for a folder, or not for an array.
    """
    if not source.is_file():
        if names is not None:
            raise UsageError(f"--ids is for one array of all videos, not for {quoted(source)}")
        yield find_features(source, key=key, is_video=is_video)
        return
    with ExitStack() as opened:
        archive = _Archive(source, source.stat().st_mtime_ns, key, is_video, opened)
        yield archive.entries(_opened(opened, source), names)


def _opened(opened: ExitStack, source: Path) -> Any:
    """Return what a file holds: an array, or a dict."""
    if not source.name.lower().endswith(SUFFIXES):
        raise UsageError(
            f"{quoted(source)} is not a folder, nor one of {', '.join(SUFFIXES)}; "
            "unpack archives first"
        )
    try:
        return open_arrays(opened, source, in_place=True)
    except (DataConflictError, DataMissingError):
        raise
    except Exception as error:  # damaged files raise what torch, zipfile and zlib have
        reason = str(error) if isinstance(error, UnpicklingError) else reason_of(error)
        raise DataConflictError(f"{quoted(source)} cannot be read: {reason}") from error


@dataclass(frozen=True, slots=True)
class _Archive:
    """A file with the features of many videos."""

    source: Path
    mtime_ns: int
    key: str
    is_video: Callable[[str], bool]
    opened: ExitStack

    def entries(self, content: Any, names: Path | None) -> Iterator[FoundFeatures]:
        """Yield the videos of all that the file holds."""
        given = None if names is None else _read_names(names)
        key = self.key or "features"
        if isinstance(content, Mapping):
            listed = next((name for name in _NAMES_KEYS if name in content), None)
            if given is None and (listed is None or key not in content):
                yield from self._of_dict(content, "")
                return
            if given is None:
                given = _texts(self.source, self._value(content, str(listed)))
            if key not in content:
                raise DataConflictError(f"{quoted(self.source)} has no {key} that --ids could name")
            content = self._value(content, key)
        if given is None and not _are_records(content):
            raise UsageError(
                f"{quoted(self.source)} holds one array: name its videos with --ids FILE"
            )
        yield from self._of_records(content) if given is None else self._of_array(content, given)

    def _of_dict(self, content: Mapping[Any, Any], folder: str) -> Iterator[FoundFeatures]:
        packed: dict[str, int] = {}
        if isinstance(content, NpzFile) and content.zip is not None:
            members = zip(content.files, content.zip.infolist(), strict=True)
            packed = {name: member.file_size for name, member in members}
        for key in content:
            if not isinstance(key, str):
                raise DataConflictError(
                    f"{quoted(self.source)}: a key is a {type(key).__name__}, not the name of a "
                    "video"
                )
            value = None if packed else content[key]
            path = PurePosixPath(folder, parts_of(key))
            if isinstance(value, Mapping) and not self.is_video(clip_stem(path.name)):
                yield from self._of_dict(value, str(path))
            elif _are_records(value):
                yield from self._of_records(value)
            else:
                yield FoundFeatures(
                    name=clip_stem(path.name),
                    folder=path.parent.name,
                    place=f"{self.source}: {printable(str(path))}",
                    size_bytes=packed[key] if packed else _size_of(value),
                    mtime_ns=self.mtime_ns,
                    load=partial(self._entry, content, key),
                )

    def _entry(self, content: Mapping[str, Any], key: str) -> Any:
        value = content[key]
        if isinstance(value, Mapping):
            value = chosen(value, self.key, key)
        return as_array(value)

    def _of_records(self, records: Any) -> Iterator[FoundFeatures]:
        """Yield the videos of a list of dicts, each of which has a name and the features."""
        records = records.items if isinstance(records, PickledArray) else records
        for number, record in enumerate(records):
            key = next((k for k in _NAME_KEYS if isinstance(record.get(k), str)), None)
            if key is None:
                raise DataConflictError(
                    f"{quoted(self.source)}: record {number} has {shorten(map(str, record))}, and "
                    f"none of {', '.join(_NAME_KEYS)} for its name"
                )
            # Of EPIC-KITCHENS-55: section `uid` of a recording.
            path = parts_of(record[key])
            name = f"{path.name}_{record['uid']}" if "uid" in record else clip_stem(path.name)
            yield FoundFeatures(
                name=name,
                folder=path.parent.name,
                place=f"{self.source}: {printable(name)}, record {number}",
                size_bytes=sum(map(_size_of, record.values())),
                mtime_ns=self.mtime_ns,
                load=partial(self._record, record, name),
            )

    def _record(self, record: Mapping[str, Any], name: str) -> Any:
        return as_array(chosen(record, self.key, name))

    def _of_array(self, array: Any, names: Sequence[str]) -> Iterator[FoundFeatures]:
        """Yield the rows of one array [N, F, D] or [N, D], or of a list of arrays."""
        if isinstance(array, PickledArray):
            if array.items is None:
                array = self.opened.enter_context(array.with_rows_together(self.source.parent))
            elif len(array.shape) == 1:
                array = array.items
        is_list = isinstance(array, list | tuple)
        shape = (len(array), 0) if is_list else tuple(getattr(array, "shape", ()))
        if len(shape) < 2 or shape[0] != len(names):
            what = f"a {type(array).__name__}"
            if is_list:
                what += f" of {len(array)}"
            elif shape:
                what = f"an array of shape {list(shape)}"
            raise DataConflictError(
                f"{quoted(self.source)} holds {what} for {len(names)} names of videos"
            )
        size = 0 if is_list else _size_of(array) // max(1, shape[0])
        for number, name in enumerate(names):
            path = parts_of(name)
            yield FoundFeatures(
                name=clip_stem(path.name),
                folder=path.parent.name,
                place=f"{self.source}: {printable(name)}, row {number}",
                size_bytes=_size_of(array[number]) if is_list else size,
                mtime_ns=self.mtime_ns,
                load=partial(_listed if is_list else _row, array, number),
            )

    def _value(self, content: Mapping[Any, Any], key: str) -> Any:
        try:
            return content[key]
        except Exception as error:  # a damaged archive, or objects in it
            raise DataConflictError(
                f"{quoted(self.source)} cannot be read: {key}: {reason_of(error)}"
            ) from error


def _are_records(value: Any) -> bool:
    """Tell whether it is a list of dicts."""
    listed = value.items if isinstance(value, PickledArray) else value
    return (
        isinstance(listed, list | tuple)
        and bool(listed)
        and all(isinstance(one, Mapping) for one in listed)
    )


def _listed(values: Sequence[Any], number: int) -> Any:
    return as_array(values[number])


def _row(array: Any, number: int) -> Any:
    return as_array(array[number : number + 1])[0]


def _size_of(value: Any) -> int:
    if isinstance(value, PickledArray | StoredArray):
        return int(np.prod(value.shape, dtype=object)) * value.dtype.itemsize
    return int(getattr(value, "nbytes", 0))


def _read_names(file: Path) -> list[str]:
    try:
        lines = decode_text(file.read_bytes()).splitlines()
    except OSError as error:
        raise DataMissingError(f"cannot read {quoted(file)}: {reason_of(error)}") from error
    return [line.strip() for line in lines if line.strip()]


def _texts(source: Path, value: Any) -> list[str]:
    if isinstance(value, PickledArray | StoredArray):
        value = getattr(value, "items", None) or value.read()
    found: Any = value.tolist() if isinstance(value, np.ndarray) else value
    listed: list[Any] = [*found] if isinstance(found, list | tuple) else [None]
    names = [
        name.decode(errors="surrogateescape") if isinstance(name, bytes) else name
        for name in listed
    ]
    if not all(isinstance(name, str) for name in names):
        raise DataConflictError(f"{quoted(source)}: the names of the videos are no list of texts")
    return names
