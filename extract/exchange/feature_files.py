"""Features of one video as other programs keep them, read and written.

A folder with a file for each frame, as the authors of TA3N published theirs (`img_00001.t7`, saved
by torch, whatever the suffix says), or one array for each video. Legend: F frames, D feature width.
"""

import math
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from errno import EINVAL
from functools import partial
from pathlib import Path, PurePosixPath
from pickle import UnpicklingError
from typing import Any
from zipfile import BadZipFile, ZipFile, is_zipfile

import numpy as np

from ta3n.common.errors import (
    ClipError,
    DataConflictError,
    DataMissingError,
    first_line,
    printable,
    reason_of,
    shorten,
)
from ta3n.common.files import is_named_in_utf8
from ta3n.common.store import Features, StoredArray, open_arrays_of_hdf5
from ta3n.datasets.reading.folders import clip_stem, quoted
from ta3n.extract.exchange.pickles import PickledArray, no_arrays, open_pickle

_PICKLES = (".pkl", ".pickle", ".p")
SUFFIXES = (".npy", ".npz", ".pt", ".pth", ".pth.tar", *_PICKLES, ".h5", ".hdf5")
"""How files end that hold arrays; which of the forms they have is told by what is in them."""

_FRAME = re.compile(r"img_(\d{5,})\.(?:t7|pt|pth)", re.IGNORECASE)
_NUMBERED = re.compile(r"(.*?)(\d+)\.[a-z0-9.]+", re.IGNORECASE)
_SUFFIX = re.compile("|".join(f"{re.escape(s)}$" for s in sorted(SUFFIXES)), re.IGNORECASE)
_TORCH_BEFORE_1_6 = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_SHOWN = 160
_MOST_VALUES = 2**28
_FEATURES = "features"


@dataclass(frozen=True, slots=True)
class FoundFeatures:
    """Features of one video, to be read.

    Attributes:
        place: Where they lie, for messages.
        load: Gives what lies there, an array that is not checked.
        folder: Name of the folder that they lie in, in which other names are theirs.
    """

    name: str
    place: str
    size_bytes: int
    mtime_ns: int
    load: Callable[[], Any]
    folder: str = ""

    def read(self, *, pooled: bool = False, transposed: bool = False) -> Features:
        """Return the features [F, D], float32. Nothing in a file is ever run.

        Axes of one value are left out where there are more than two.

        Args:
            pooled: Whether an array of one axis is a single row, the features of a whole video.
            transposed: Whether it is [D, F] that lies there.

        Raises:
            ClipError: They are damaged, not numbers, not finite, or of another shape, or a frame is
                missing.
            DataConflictError: The file with all videos is damaged there.
        """
        name = PurePosixPath(self.place).name
        try:
            values = self.load()
        except (ClipError, DataConflictError):
            raise
        except Exception as error:  # damaged files raise what torch, zipfile and zlib have
            raise ClipError(f"{name} cannot be read: {reason_of(error)}") from error
        return _checked(values, name, pooled=pooled, transposed=transposed)


def find_features(
    folder: Path, *, key: str = "", is_video: Callable[[str], bool] = lambda _name: False
) -> Iterator[FoundFeatures]:
    """Yield the videos whose features lie in a folder and below, sorted by path.

    Args:
        key: Entry with the features, or of a video's folder the file, where there are several.
        is_video: Tells whether a name is a video's, so that a folder called so is all its own,
            whatever the files in it are called.

    Raises:
        DataMissingError: If the folder is not there.
        OSError: If it cannot be read.
    """
    if not folder.is_dir():
        raise DataMissingError(f"no folder {quoted(folder)}")
    for place, folders, names in os.walk(folder):
        folders.sort()
        path = Path(place)
        frames = sorted((int(m[1]), path / n) for n in names if (m := _FRAME.fullmatch(n)))
        if frames:
            yield _found(path, path.name, partial(_stacked, frames), *(file for _, file in frames))
        files = {
            path / name: clip_stem(_SUFFIX.sub("", name))
            for name in sorted(n for n in names if _SUFFIX.search(n) and not _FRAME.match(n))
        }
        if files and not frames and is_video(path.name) and not any(map(is_video, files.values())):
            yield _found(path, path.name, partial(_of_folder, list(files), key), *files)
            continue
        for file, name in files.items():
            yield _found(file, name, partial(_values, file, key), file)


def _found(place: Path, name: str, load: Callable[[], Any], *files: Path) -> FoundFeatures:
    states = [file.stat() for file in files]
    return FoundFeatures(
        name=name,
        place=str(place),
        size_bytes=sum(state.st_size for state in states),
        mtime_ns=max(state.st_mtime_ns for state in states),
        load=load,
        folder=place.parent.name,
    )


def _of_folder(files: list[Path], key: str) -> Any:
    """Return the features of a video that has a folder: frames that are numbered, or one array."""
    numbered = [_NUMBERED.fullmatch(file.name) for file in files]
    if len({match and match[1] for match in numbered}) == 1 and numbered[0]:
        pairs = zip(numbered, files, strict=True)
        return _stacked(sorted((int(match[2]), file) for match, file in pairs if match))
    named = [file for file in files if len(files) == 1 or _SUFFIX.sub("", file.name) == key]
    if len(named) != 1:
        names = shorten(file.name for file in files)
        raise ClipError(f"its folder holds {names}; name the one to take with --key")
    return _values(named[0], key)


def _checked(rows: Any, name: str, *, pooled: bool, transposed: bool) -> Features:
    if rows.ndim > 2:
        is_one_row = rows.shape[0] == 1
        rows = rows.squeeze()
        rows = rows[None] if rows.ndim == 1 and is_one_row else rows
    if transposed and rows.ndim == 2:
        rows = rows.T
    if pooled and rows.ndim == 1:
        rows = rows[None]
    if rows.ndim != 2 or 0 in rows.shape:
        vector = "; --pooled takes it as the one row of its video" if rows.ndim == 1 else ""
        raise ClipError(f"{name} has shape {list(rows.shape)}, not frames x features{vector}")
    if rows.dtype.kind not in "fiu":
        raise ClipError(f"{name} holds {rows.dtype} values, not numbers")
    with np.errstate(over="ignore"):  # told as not finite
        values: Features = rows.astype(np.float32)
    if bad := np.flatnonzero(~np.isfinite(values).all(axis=1)).tolist():
        raise ClipError(f"features of frame {bad[0] + 1} are not finite")
    return values


def _stacked(frames: list[tuple[int, Path]]) -> Any:
    for number, (found, file) in enumerate(frames, start=min(1, frames[0][0])):
        if found != number:
            raise ClipError(f"frame {number} is missing, {file.name} comes in its place")
    rows: list[Any] = []
    for _, file in frames:
        values = _values(file)
        if values.size != max(values.shape, default=0):
            raise ClipError(f"{file.name} has shape {list(values.shape)}, not one row of features")
        if rows and values.size != rows[0].size:
            raise ClipError(f"{file.name} has {values.size} values, the first frame {rows[0].size}")
        rows.append(values.reshape(-1))
    return np.stack(rows)


def write_frames(rows: Features, folder: Path) -> None:
    """Write a video as the authors published theirs, a file for each of its rows [F, D]."""
    import torch

    folder.mkdir(parents=True)
    for number, row in enumerate(rows, start=1):
        # A copy: torch saves all the memory that a view is of. In the older of its two forms: the
        # authors' program is of torch 0.4.1, which cannot read the newer one.
        torch.save(
            torch.from_numpy(row.copy()),
            folder / f"img_{number:05d}.t7",
            _use_new_zipfile_serialization=False,
        )


def write_array(rows: Features, file: Path) -> None:
    """Write a video as one array [F, D]."""
    file.parent.mkdir(parents=True, exist_ok=True)
    np.save(file, rows)


def _values(file: Path, key: str = "") -> Any:
    """Return the array of a file, whatever of the forms it has."""
    try:
        array = np.asarray(_load(file, key))
    except ClipError:
        raise
    except DataConflictError as error:
        raise ClipError(str(error)) from error
    except Exception as error:  # damaged files raise what torch, zipfile and zlib have
        reason = first_line(error)[:_SHOWN]
        raise ClipError(f"{file.name} cannot be read: {reason}") from error
    if array.dtype.kind not in "fiu":
        raise ClipError(f"{file.name} holds {array.dtype} values, not numbers")
    return array


def _load(file: Path, key: str) -> Any:
    with ExitStack() as opened:
        value = open_arrays(opened, file, in_place=False)
        value = chosen(value, key, file.name) if isinstance(value, Mapping) else value
        try:
            return as_array(value)
        except ClipError as error:
            kind = "an array of numbers" if _is_pickle(file) else "a tensor"
            there = "an array" if isinstance(value, PickledArray) else f"a {type(value).__name__}"
            raise ClipError(f"{file.name} holds {there}, not {kind}: {error}") from error


def chosen(entries: Mapping[Any, Any], key: str, name: str) -> Any:
    """Return the entry that holds a video's features.

    It is the one that is asked for, else the one called `features`, else the only one, or the only
    one that has rows.

    Raises:
        ClipError: There is none, or several.
    """
    there = printable(shorten(map(str, entries)))
    if key or _FEATURES in entries:
        if (key or _FEATURES) not in entries:
            raise ClipError(f"{name} has no entry {printable(key)} (it has {there}); correct --key")
        return entries[key or _FEATURES]
    found = list(entries)
    if len(found) > 1:
        found = [one for one in found if _num_axes(entries[one]) > 1]
    if len(found) != 1:
        raise ClipError(f"{name} holds {there}; name the one to take with --key")
    return entries[found[0]]


def _num_axes(value: Any) -> int:
    if isinstance(value, list | tuple):
        return 1 + (_num_axes(value[0]) if value and not isinstance(value[0], list | tuple) else 1)
    return len(getattr(value, "shape", ()))


def _is_pickle(file: Path) -> bool:
    return file.suffix.lower() in _PICKLES


def open_arrays(opened: ExitStack, file: Path, *, in_place: bool) -> Any:
    """Return what a file holds: an array, or arrays by name; nothing in it is ever run.

    Args:
        opened: Keeps the file open for as long as arrays are read.
        in_place: Whether values stay in the file until they are asked for, as far as its form
            allows.

    Raises:
        Exception: One of many kinds, for a file that is damaged or another.
    """
    with file.open("rb") as stream:
        head = stream.read(2**16)
    if kind := no_arrays(head) if head else "empty":
        raise UnpicklingError(f"it is {kind}")
    if head.startswith(b"\x93NUMPY"):
        if objects := _objects_at(head):
            value = opened.enter_context(open_pickle(file, objects))
            # An array of no axis has one object: a dict that was given to `numpy.save`.
            return value.items[0] if value.shape == () and value.items else value
        return np.load(file, mmap_mode="r" if in_place else None, allow_pickle=False)
    if head.startswith(b"\x89HDF"):
        return opened.enter_context(open_arrays_of_hdf5(file))
    if head.startswith(b"PK\x03\x04") and not _torch_pickle(file):
        return opened.enter_context(np.load(file, allow_pickle=False))
    is_of_torch = head.startswith((b"PK\x03\x04", _TORCH_BEFORE_1_6))
    if not is_of_torch and (_is_pickle(file) or head.startswith(b"\x80")):
        return opened.enter_context(open_pickle(file))
    if not is_of_torch and file.suffix.lower() in (".npy", ".npz", ".h5", ".hdf5"):
        raise UnpicklingError(f"it is damaged, or no {file.suffix.lower()}")
    return _tensors(opened, file, in_place=in_place)


def _objects_at(head: bytes) -> int:
    """Return where the pickle of a `.npy` file of objects begins; 0 for one of numbers."""
    width = 2 if head[6:7] == b"\x01" else 4
    end = 8 + width + int.from_bytes(head[8 : 8 + width], "little")
    return end if b"'|O'" in head[:end] else 0


def _torch_pickle(file: Path) -> tuple[int, int] | None:
    """Return place and size of the pickle in an archive that torch wrote; None in others."""
    try:
        with ZipFile(file) as archive:
            found = [m for m in archive.infolist() if m.filename.endswith("/data.pkl")]
    except BadZipFile:
        return (0, 0) if file.suffix.lower() != ".npz" else None
    if len(found) != 1:
        return None
    with file.open("rb") as stream:
        stream.seek(found[0].header_offset + 26)
        lengths = stream.read(4)
    before = 30 + int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little")
    return found[0].header_offset + before, found[0].file_size


def _tensors(opened: ExitStack, file: Path, *, in_place: bool) -> Any:
    import torch

    pickled = _torch_pickle(file) if is_zipfile(file) else None
    try:
        # Tensors of the older form cannot be left in the file.
        mapped = in_place and pickled is not None and is_named_in_utf8(file)
        return torch.load(file, map_location="cpu", weights_only=True, mmap=mapped)
    except (UnpicklingError, EOFError, LookupError, OSError, RuntimeError, ValueError) as error:
        if isinstance(error, OSError) and error.errno != EINVAL:  # which it has for cut archives
            raise
        # Its own text is long, and of how to have the file run what it likes.
        why = "it is damaged, or no file that torch.save wrote"
        if re.search("unsupported (global|class)|torchscript", str(error), re.IGNORECASE):
            why = (
                "it holds other objects than tensors, and reading those would run code from the "
                "file; none of it was run"
            )
            if pickled is not None:
                with suppress(DataConflictError):  # arrays of numpy alone
                    return opened.enter_context(open_pickle(file, *pickled))
        raise UnpicklingError(why) from error


def as_array(value: Any) -> Any:
    """Return an array of what a file holds for one: an array, a tensor, or a list of rows.

    Raises:
        ClipError: It is none.
    """
    if isinstance(value, PickledArray) and value.items is not None:
        items = _of_list(value.items)
        return items.reshape(value.shape) if items.ndim == 1 else items
    if isinstance(value, PickledArray | StoredArray):
        return value.read()
    if isinstance(value, list | tuple):
        return _of_list(value)
    return value if isinstance(value, np.ndarray) else _from_tensor(value)


def _of_list(value: Sequence[Any]) -> Any:
    """Return a list of numbers, or of rows of them, as an array."""
    if _are_numbers(value):
        return np.array(value, np.float64)
    if not value or not all(_num_axes(one) for one in value):
        raise ClipError(f"it is a {type(value).__name__}, not an array")
    # A file may hold one row, and name it any number of times.
    sizes = (len(v) if isinstance(v, list | tuple) else math.prod(v.shape) for v in value)
    if sum(sizes) > _MOST_VALUES:
        raise ClipError(f"it is a list of more than {_MOST_VALUES} values")
    return np.stack([_row(one) for one in value])


def _row(value: Any) -> Any:
    is_listed = isinstance(value, list | tuple)
    is_of_objects = isinstance(value, PickledArray) and value.items is not None
    if is_of_objects or (is_listed and not _are_numbers(value)):
        raise ClipError("it is a list of other things than rows of numbers")
    return np.array(value) if is_listed else np.atleast_1d(as_array(value).squeeze())


def _are_numbers(value: Sequence[Any]) -> bool:
    return bool(value) and all(type(one) in (int, float) for one in value)


def _from_tensor(loaded: Any) -> Any:
    """Return a tensor as an array, in a form that numpy has."""
    import torch

    if not isinstance(loaded, torch.Tensor):
        raise ClipError(f"it is a {type(loaded).__name__}, not an array")
    # Of forms that numpy has not: sparse, quantised, lazily negated, small floats.
    tensor = loaded.detach().to_dense() if loaded.layout != torch.strided else loaded.detach()
    if tensor.is_quantized:
        tensor = tensor.dequantize()
    tensor = tensor.resolve_conj().resolve_neg()
    has_form = tensor.dtype in (torch.float16, torch.float32, torch.float64)
    tensor = tensor.float() if tensor.is_floating_point() and not has_form else tensor
    return tensor.numpy()
