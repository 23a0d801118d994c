"""Memory that processes share: what one of them read into it, the others see.

It is a file without a name, which is gone with the last process that has it open: however they end,
nothing stays behind.

Legend: R rows, D feature width.
"""

import io
import mmap
import os
import pickle
from math import prod
from multiprocessing.reduction import DupFd
from tempfile import TemporaryFile
from typing import IO, Any, Generic, Self, TypeVar

import numpy as np
import torch
from joblib.externals.loky.backend.reduction import get_loky_pickler
from torch import Tensor

from ta3n.common.device import open_memory
from ta3n.common.store import Features

T = TypeVar("T")

_Place = tuple[int, tuple[int, ...]]
"""Where a tensor begins in the file, in bytes, and its shape."""


class SharedMemory:
    """Memory for processes that are started later, which grows as it is asked for."""

    def __init__(self) -> None:
        self._file = _nameless_file()
        self._end = 0
        self._starts: dict[int, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def allocate(self, shape: tuple[int, int]) -> Features:
        """Return an array of zeros in it, [R, D]."""
        num_bytes = 4 * prod(shape)
        start = self._grow(num_bytes)
        array = np.frombuffer(mmap.mmap(self._file.fileno(), num_bytes, offset=start), np.float32)
        self._starts[array.ctypes.data] = start
        return array.reshape(shape)

    def keep(self, value: T) -> "SharedValue[T]":
        """Write a value down for the processes. Tensors that are arrays of this memory stay there.

        Returns:
            What is handed to a process when it is started.
        """
        written = io.BytesIO()
        _Writer(written, self._starts).dump(value)
        start = self._grow(written.tell())
        os.pwrite(self._file.fileno(), written.getbuffer(), start)
        return SharedValue(self._file, start, written.tell())

    def _grow(self, num_bytes: int) -> int:
        """Add so many bytes; return where they begin, which is where a page does."""
        start = self._end
        self._end += -(-num_bytes // mmap.ALLOCATIONGRANULARITY) * mmap.ALLOCATIONGRANULARITY
        os.ftruncate(self._file.fileno(), self._end)
        return start


class SharedValue(Generic[T]):
    """A value in shared memory, as it travels to a process that is started."""

    def __init__(self, file: IO[bytes], start: int, num_bytes: int) -> None:
        self._file, self._start, self._num_bytes = file, start, num_bytes

    def __reduce__(self) -> Any:
        return _in_process, (DupFd(self._file.fileno()), self._start, self._num_bytes)

    def get(self) -> T:
        """Return the value: its own in every process, but for the tensors that are shared.

        What is written to such a tensor, only this process sees.
        """
        data = os.pread(self._file.fileno(), self._num_bytes, self._start)
        value: T = _Reader(io.BytesIO(data), self._file).load()
        return value


def _in_process(handed: Any, start: int, num_bytes: int) -> SharedValue[Any]:
    return SharedValue(os.fdopen(handed.detach(), "rb", buffering=0), start, num_bytes)


class _Writer(get_loky_pickler()):  # type: ignore[misc]
    """Writes the place of a tensor that lies in the shared memory instead of its values."""

    def __init__(self, file: IO[bytes], starts: dict[int, int]) -> None:
        super().__init__(file)
        self._starts = starts

    def persistent_id(self, value: Any) -> _Place | None:
        if type(value) is not Tensor or not value.numel() or not value.is_contiguous():
            return None
        start = self._starts.get(value.data_ptr())
        return None if start is None else (start, tuple(value.shape))


class _Reader(pickle.Unpickler):
    def __init__(self, data: IO[bytes], file: IO[bytes]) -> None:
        super().__init__(data)
        self._shared = file.fileno()

    def persistent_load(self, place: _Place) -> Tensor:
        start, shape = place
        lying = mmap.mmap(self._shared, 4 * prod(shape), access=mmap.ACCESS_COPY, offset=start)
        return torch.from_numpy(np.frombuffer(lying, np.float32).reshape(shape))


def _nameless_file() -> IO[bytes]:
    try:
        return os.fdopen(open_memory("ta3n"), "w+b", buffering=0)
    except OSError:
        return TemporaryFile("w+b", buffering=0)
