"""Features of many videos in one file: a dict of arrays by name, or one array and a list of names.

Only what is asked for is read, as far as the form allows: rows of `.npy` and of pickles, entries of
`.npz`, tensors of `.pt` (in torch's newer form). Legend: N videos, F frames, D feature width.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from pickle import UnpicklingError
from typing import Any

import numpy as np
from numpy.lib.npyio import NpzFile

from ta3n.common.errors import DataConflictError, DataMissingError, UsageError, reason_of
from ta3n.common.files import decode_text
from ta3n.datasets.reading.folders import clip_stem, quoted
from ta3n.extract.exchange.feature_files import (
    SUFFIXES,
    FoundFeatures,
    as_array,
    find_features,
    open_arrays,
)
from ta3n.extract.exchange.pickles import PickledArray

_NAMES_KEYS = ("ids", "names", "narration_ids", "video_ids")
"""What lists of the videos of one array are called, where a file holds both."""


@contextmanager
def open_features(source: Path, names: Path | None = None) -> Iterator[Iterator[FoundFeatures]]:
    """Give the videos whose features lie in a folder, or in a file.

    Args:
        names: A text file with the video of each row of the one array in `source`, a line each.

    Raises:
        DataMissingError: There is nothing, or it cannot be read.
        DataConflictError: A file is damaged, or holds neither a dict of arrays nor one array with
            as many names.
        UsageError: Names are given for a folder, or not for an array.
    """
    if not source.is_file():
        if names is not None:
            raise UsageError(f"--ids is for one array of all videos, not for {quoted(source)}")
        yield find_features(source)
        return
    with ExitStack() as opened:
        yield _entries(source, _opened(opened, source), names, opened)


def _opened(opened: ExitStack, source: Path) -> Any:
    """Return what a file holds: an array, or a dict."""
    if source.suffix.lower() not in SUFFIXES:
        raise UsageError(f"{quoted(source)} is not a folder, nor one of {', '.join(SUFFIXES)}")
    try:
        return open_arrays(opened, source, in_place=True)
    except (DataConflictError, DataMissingError):
        raise
    except Exception as error:  # damaged files raise what torch, zipfile and zlib have
        reason = str(error) if isinstance(error, UnpicklingError) else reason_of(error)
        raise DataConflictError(f"{quoted(source)} cannot be read: {reason}") from error


def _entries(
    source: Path, content: Any, names: Path | None, opened: ExitStack
) -> Iterator[FoundFeatures]:
    state = source.stat()
    given = None if names is None else _read_names(names)
    if isinstance(content, Mapping):
        key = next((key for key in _NAMES_KEYS if key in content), None)
        if given is None and (key is None or "features" not in content):
            yield from _of_dict(source, content, state.st_mtime_ns)
            return
        given = given or _texts(source, content[key])
        if "features" not in content:
            raise DataConflictError(f"{quoted(source)} has no features that --ids could name")
        content = content["features"]
    if given is None:
        raise UsageError(f"{quoted(source)} holds one array: name its videos with --ids FILE")
    yield from _of_array(source, content, given, state.st_mtime_ns, opened)


def _of_dict(source: Path, content: Mapping[Any, Any], mtime_ns: int) -> Iterator[FoundFeatures]:
    packed: dict[str, int] = {}
    if isinstance(content, NpzFile) and content.zip is not None:
        members = zip(content.files, content.zip.infolist(), strict=True)
        packed = {name: member.file_size for name, member in members}
    for key in content:
        if not isinstance(key, str):
            raise DataConflictError(
                f"{quoted(source)}: a key is a {type(key).__name__}, not the name of a video"
            )
        yield FoundFeatures(
            name=clip_stem(PurePosixPath(key).name),
            place=f"{source}: {key}",
            size_bytes=packed[key] if packed else _size_of(content[key]),
            mtime_ns=mtime_ns,
            load=partial(_entry, content, key),
        )


def _of_array(
    source: Path, array: Any, names: Sequence[str], mtime_ns: int, opened: ExitStack
) -> Iterator[FoundFeatures]:
    """Yield the rows of one array [N, F, D] or [N, D]."""
    if isinstance(array, PickledArray) and array.items is None:
        array = opened.enter_context(array.with_rows_together(source.parent))
    shape = tuple(getattr(array, "shape", ()))
    if len(shape) not in (2, 3) or shape[0] != len(names):
        what = f"an array of shape {list(shape)}" if shape else f"a {type(array).__name__}"
        raise DataConflictError(f"{quoted(source)} holds {what} for {len(names)} names of videos")
    size = _size_of(array) // max(1, shape[0])
    for number, name in enumerate(names):
        yield FoundFeatures(
            name=clip_stem(PurePosixPath(name).name),
            place=f"{source}: {name}, row {number}",
            size_bytes=size,
            mtime_ns=mtime_ns,
            load=partial(_row, array, number),
        )


def _entry(content: Mapping[str, Any], key: str) -> Any:
    return as_array(content[key])


def _row(array: Any, number: int) -> Any:
    return as_array(array[number : number + 1])[0]


def _size_of(value: Any) -> int:
    if isinstance(value, PickledArray):
        return int(np.prod(value.shape, dtype=object)) * value.dtype.itemsize
    return int(getattr(value, "nbytes", 0))


def _read_names(file: Path) -> list[str]:
    try:
        lines = decode_text(file.read_bytes()).splitlines()
    except OSError as error:
        raise DataMissingError(f"cannot read {quoted(file)}: {reason_of(error)}") from error
    return [line.strip() for line in lines if line.strip()]


def _texts(source: Path, value: Any) -> list[str]:
    if isinstance(value, PickledArray):
        value = value.items if value.items is not None else value.read()
    found: Any = value.tolist() if isinstance(value, np.ndarray) else value
    listed: list[Any] = [*found] if isinstance(found, list | tuple) else [None]
    names = [name.decode("latin-1") if isinstance(name, bytes) else name for name in listed]
    if not all(isinstance(name, str) for name in names):
        raise DataConflictError(f"{quoted(source)}: the names of the videos are no list of texts")
    return names
