"""Features of one video as other programs keep them, read and written.

A folder with a file for each frame, as the authors of TA3N published theirs (`img_00001.t7`, saved
by torch, whatever the suffix says), or one array for each video. Legend: F frames, D feature width.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ta3n.common.errors import ClipError, DataConflictError, DataMissingError, first_line
from ta3n.common.store import Features
from ta3n.datasets.reading.folders import quoted
from ta3n.extract.exchange.pickles import PickledArray, open_pickle

_OF_TORCH = (".t7", ".pt", ".pth")
_PICKLES = (".pkl", ".pickle")
_ARRAYS = (".npy", ".npz", ".pt", ".pth", *_PICKLES)
_FRAME = re.compile(r"img_(\d{5,})\.(?:t7|pt|pth)", re.IGNORECASE)
_SHOWN = 160


@dataclass(frozen=True, slots=True)
class FeatureFiles:
    """Where the features of one video lie.

    Attributes:
        path: A folder of frames, or a file with an array.
        frames: Names of the frames' files in order; none for an array.
    """

    path: Path
    frames: tuple[str, ...]
    size_bytes: int
    mtime_ns: int

    @property
    def name(self) -> str:
        """Name of the video."""
        return self.path.name if self.frames else self.path.stem


def find_features(folder: Path) -> Iterator[FeatureFiles]:
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
        frames = sorted((int(m[1]), n) for n in names if (m := _FRAME.fullmatch(n)))
        if frames:
            yield _sized(path, tuple(name for _, name in frames))
        for name in sorted(n for n in names if n.lower().endswith(_ARRAYS) and not _FRAME.match(n)):
            yield _sized(path / name, ())


def _sized(path: Path, frames: tuple[str, ...]) -> FeatureFiles:
    states = [(path / name).stat() for name in frames] or [path.stat()]
    return FeatureFiles(
        path=path,
        frames=frames,
        size_bytes=sum(state.st_size for state in states),
        mtime_ns=max(state.st_mtime_ns for state in states),
    )


def read_features(files: FeatureFiles) -> Features:
    """Return the features of a video [F, D], float32.

    Nothing in a file is ever run: only tensors and arrays are read.

    Raises:
        ClipError: A file is damaged or holds something else, a frame is missing, or values are not
            finite.
    """
    return checked(load_values(files), files.path.name)


def load_values(files: FeatureFiles) -> Any:
    """Return the array of a video as it lies there; see `checked`.

    Raises:
        ClipError: A file is damaged or holds something else, or a frame is missing.
    """
    return _stacked(files) if files.frames else _values(files.path)


def checked(rows: Any, name: str, *, pooled: bool = False) -> Features:
    """Return an array as features [F, D], float32.

    Args:
        name: Of the file, for messages.
        pooled: Whether an array of one axis is a single row.

    Raises:
        ClipError: It has another shape, or values that are not finite.
    """
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


def _stacked(files: FeatureFiles) -> Any:
    rows: list[Any] = []
    for number, name in enumerate(files.frames, start=1):
        if int(name[4:].split(".")[0]) != number:
            raise ClipError(f"frame {number} is missing, {name} comes in its place")
    for name in files.frames:
        values = _values(files.path / name)
        if values.size != max(values.shape, default=0):
            raise ClipError(f"{name} has shape {list(values.shape)}, not one row of features")
        if rows and values.size != rows[0].size:
            raise ClipError(f"{name} has {values.size} values, the first frame {rows[0].size}")
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
    suffix = file.suffix.lower()
    if suffix in _OF_TORCH:
        return _load_tensor(file)
    return _load_pickle(file) if suffix in _PICKLES else _load_array(file)


def _load_pickle(file: Path) -> Any:
    with open_pickle(file) as loaded:
        if isinstance(loaded, dict):
            loaded = loaded[_only(list(loaded), file)]
        if not isinstance(loaded, PickledArray) or loaded.items is not None:
            raise ClipError(f"{file.name} holds a {type(loaded).__name__}, not an array of numbers")
        return loaded.read()


def _load_array(file: Path) -> Any:
    loaded = np.load(file, allow_pickle=False)
    if isinstance(loaded, np.ndarray):
        return loaded
    with loaded:
        return loaded[_only(list(loaded.files), file)]


def _load_tensor(file: Path) -> Any:
    import torch

    loaded = torch.load(file, map_location="cpu", weights_only=True)
    if isinstance(loaded, dict):
        loaded = loaded[_only(list(loaded), file)]
    if not isinstance(loaded, torch.Tensor):
        raise ClipError(f"{file.name} holds a {type(loaded).__name__}, not a tensor")
    return from_tensor(loaded)


def from_tensor(loaded: Any) -> Any:
    """Return a tensor as an array, in a form that numpy has.

    Raises:
        ClipError: It is no tensor.
    """
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
