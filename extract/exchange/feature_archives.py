"""Features of many videos in one file: a dict of arrays by name, or one array and a list of names.

Only what is asked for is read, as far as the form allows: rows of `.npy` and of pickles, entries of
`.npz`, tensors of `.pt` (in torch's newer form). Legend: N videos, F frames, D feature width.
"""

import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ta3n.common.errors import ClipError, DataConflictError, DataMissingError, UsageError, reason_of
from ta3n.common.files import decode_text
from ta3n.common.store import Features
from ta3n.datasets.reading.folders import clip_stem, quoted
from ta3n.extract.exchange.feature_files import checked, find_features, from_tensor, load_values
from ta3n.extract.exchange.pickles import PickledArray, open_pickle

_NAMES_KEYS = ("ids", "names", "narration_ids", "video_ids")
"""What lists of the videos of one array are called, where a file holds both."""

_SUFFIXES = (".npy", ".npz", ".pt", ".pth", ".pkl", ".pickle")


@dataclass(frozen=True, slots=True)
class FoundFeatures:
    """Features of one video, to be read.

    Attributes:
        place: Where they lie, for messages.
        load: Gives what lies there, an array that is not checked.
    """

    name: str
    place: str
    size_bytes: int
    mtime_ns: int
    load: Callable[[], Any]

    def read(self, *, pooled: bool = False) -> Features:
        """Return the features [F, D], float32.

        Args:
            pooled: Whether an array of one axis is a single row, the features of a whole video.

        Raises:
            ClipError: They are damaged, not numbers, not finite, or of another shape.
            DataConflictError: The file with all videos is damaged there.
        """
        name = PurePosixPath(self.place).name
        try:
            values = self.load()
        except (ClipError, DataConflictError):
            raise
        except Exception as error:  # damaged files raise what torch, zipfile and zlib have
            raise ClipError(f"{name} cannot be read: {reason_of(error)}") from error
        return checked(values, name, pooled=pooled)


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
        yield (
            FoundFeatures(f.name, str(f.path), f.size_bytes, f.mtime_ns, partial(load_values, f))
            for f in find_features(source)
        )
        return
    with ExitStack() as opened:
        yield _entries(source, _opened(opened, source), names, opened)


def _opened(opened: ExitStack, source: Path) -> Any:
    """Return what a file holds: an array, or a dict."""
    suffix = source.suffix.lower()
    if suffix not in _SUFFIXES:
        raise UsageError(f"{quoted(source)} is not a folder, nor one of {', '.join(_SUFFIXES)}")
    try:
        if suffix in (".pkl", ".pickle"):
            return opened.enter_context(open_pickle(source))
        if suffix in (".pt", ".pth"):
            return _tensors(source)
        if suffix == ".npy":
            return np.load(source, mmap_mode="r", allow_pickle=False)
        return _Archive(opened.enter_context(np.load(source, allow_pickle=False)))
    except (DataConflictError, DataMissingError):
        raise
    except Exception as error:  # damaged files raise what torch, zipfile and zlib have
        raise DataConflictError(f"{quoted(source)} cannot be read: {reason_of(error)}") from error


def _tensors(source: Path) -> Any:
    import torch

    # Tensors of the older form cannot be left in the file.
    is_new = zipfile.is_zipfile(source)
    return torch.load(source, map_location="cpu", weights_only=True, mmap=is_new)


class _Archive(dict[str, Callable[[], Any]]):
    """Arrays of a `.npz`, each read when it is called for."""

    def __init__(self, archive: Any) -> None:
        super().__init__({name: partial(archive.__getitem__, name) for name in archive.files})
        self.sizes = {
            name.removesuffix(".npy"): archive.zip.getinfo(name).file_size
            for name in archive.zip.namelist()
        }


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
        given = given or _texts(source, _value(content[key]))
        if "features" not in content:
            raise DataConflictError(f"{quoted(source)} has no features that --ids could name")
        content = _value(content["features"])
    if given is None:
        raise UsageError(f"{quoted(source)} holds one array: name its videos with --ids FILE")
    yield from _of_array(source, content, given, state.st_mtime_ns, opened)


def _of_dict(source: Path, content: Mapping[Any, Any], mtime_ns: int) -> Iterator[FoundFeatures]:
    for key, value in content.items():
        if not isinstance(key, str):
            raise DataConflictError(
                f"{quoted(source)}: a key is a {type(key).__name__}, not the name of a video"
            )
        size = content.sizes[key] if isinstance(content, _Archive) else _size_of(value)
        yield FoundFeatures(
            name=clip_stem(PurePosixPath(key).name),
            place=f"{source}: {key}",
            size_bytes=size,
            mtime_ns=mtime_ns,
            load=partial(_array, value),
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


def _row(array: Any, number: int) -> Any:
    return _array(array[number : number + 1])[0]


def _array(value: Any) -> Any:
    """Return an array of what a file holds for one."""
    value = _value(value)
    if isinstance(value, PickledArray):
        return np.array(value.items, object) if value.items is not None else value.read()
    return value if isinstance(value, np.ndarray) else from_tensor(value)


def _value(value: Any) -> Any:
    return value() if isinstance(value, partial) else value


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
