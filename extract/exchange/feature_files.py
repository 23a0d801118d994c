"""Features of one video as other programs keep them, read and written.

A folder with a file for each frame, as the authors of TA3N published theirs (`img_00001.t7`, saved
by torch, whatever the suffix says), or one array for each video. Legend: F frames, D feature width.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from errno import EINVAL
from functools import partial
from pathlib import Path, PurePosixPath
from pickle import UnpicklingError
from typing import Any
from zipfile import is_zipfile

import numpy as np

from ta3n.common.errors import ClipError, DataConflictError, DataMissingError, first_line, reason_of
from ta3n.common.files import is_named_in_utf8
from ta3n.common.store import Features
from ta3n.datasets.reading.folders import quoted
from ta3n.extract.exchange.pickles import PickledArray, open_pickle

_OF_TORCH = (".pt", ".pth")
_PICKLES = (".pkl", ".pickle")
SUFFIXES = (".npy", ".npz", *_OF_TORCH, *_PICKLES)
"""How files end that hold arrays."""

_FRAME = re.compile(r"img_(\d{5,})\.(?:t7|pt|pth)", re.IGNORECASE)
_SHOWN = 160


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
        """Return the features [F, D], float32. Nothing in a file is ever run.

        Args:
            pooled: Whether an array of one axis is a single row, the features of a whole video.

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
        return _checked(values, name, pooled=pooled)


def find_features(folder: Path) -> Iterator[FoundFeatures]:
    """Yield the videos whose features lie in a folder and below, sorted by path.

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
        for name in sorted(
            n for n in names if n.lower().endswith(SUFFIXES) and not _FRAME.match(n)
        ):
            file = path / name
            yield _found(file, file.stem, partial(_values, file), file)


def _found(place: Path, name: str, load: Callable[[], Any], *files: Path) -> FoundFeatures:
    states = [file.stat() for file in files]
    return FoundFeatures(
        name=name,
        place=str(place),
        size_bytes=sum(state.st_size for state in states),
        mtime_ns=max(state.st_mtime_ns for state in states),
        load=load,
    )


def _checked(rows: Any, name: str, *, pooled: bool) -> Features:
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
    for number, (found, file) in enumerate(frames, start=1):
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


def _values(file: Path) -> Any:
    """Return the array of a file, whatever of the forms it has."""
    try:
        array = np.asarray(_load(file))
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


def _load(file: Path) -> Any:
    with ExitStack() as opened:
        value = open_arrays(opened, file, in_place=False)
        if isinstance(value, Mapping):
            value = value[_only(list(value), file)]
        are_objects = isinstance(value, PickledArray) and value.items is not None
        if are_objects or not hasattr(value, "dtype"):
            kind = "an array of numbers" if file.suffix.lower() in _PICKLES else "a tensor"
            raise ClipError(f"{file.name} holds a {type(value).__name__}, not {kind}")
        return as_array(value)


def open_arrays(opened: ExitStack, file: Path, *, in_place: bool) -> Any:
    """Return what a file holds: an array, or arrays by name; nothing in it is ever run.

    Args:
        opened: Keeps the file open for as long as arrays are read.
        in_place: Whether values stay in the file until they are asked for, as far as its form
            allows.

    Raises:
        Exception: One of many kinds, for a file that is damaged or another.
    """
    suffix = file.suffix.lower()
    if suffix in _PICKLES:
        return opened.enter_context(open_pickle(file))
    if suffix not in (".npy", ".npz"):
        return _tensors(file, in_place=in_place)
    loaded = np.load(file, mmap_mode="r" if in_place else None, allow_pickle=False)
    return loaded if isinstance(loaded, np.ndarray) else opened.enter_context(loaded)


def _tensors(file: Path, *, in_place: bool) -> Any:
    import torch

    # Tensors of the older form cannot be left in the file.
    mapped = in_place and is_zipfile(file) and is_named_in_utf8(file)
    try:
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
        raise UnpicklingError(why) from error


def as_array(value: Any) -> Any:
    """Return an array of what a file holds for one.

    Raises:
        ClipError: It is none.
    """
    if isinstance(value, PickledArray):
        return np.array(value.items, object) if value.items is not None else value.read()
    return value if isinstance(value, np.ndarray) else _from_tensor(value)


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


def _only(names: list[str], file: Path) -> str:
    if "features" in names:
        return "features"
    if len(names) != 1:
        raise ClipError(f"{file.name} holds {len(names)} entries and none called features")
    return names[0]
