"""If this breaks, runs side by side hold the features several times, or see what others write."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ta3n.train.data.shared import SharedMemory
from ta3n.train.jobs.workers import run_in_processes
from ta3n.train.model.videos import HeldRows

Kept = tuple[HeldRows, Tensor, list[str]]


def by_value(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function as it is sent to workers, which cannot import tests."""
    function.__module__ = "__main__"
    return function


def test_processes_see_one_copy_and_each_what_it_writes_alone() -> None:
    def look(kept: Kept, number: int) -> tuple[list[float], list[float], list[str], str]:
        rows, other, names = kept
        seen = rows.rows[:, 0].tolist()
        rows.rows[0, 0] = other[0] = -1.0 - number
        address = rows.rows.data_ptr()
        for line in Path("/proc/self/maps").read_text().splitlines():
            place, *_, inode = line.split()[:5]
            low, high = (int(end, 16) for end in place.split("-"))
            if low <= address < high:
                return seen, other[1:].tolist(), names, inode
        raise AssertionError("it lies nowhere")

    with SharedMemory() as memory:
        array = memory.allocate((3, 2))
        array[:] = [[1, 0], [2, 0], [3, 0]]
        # A view of a part of it, and what lies elsewhere, travel as ever.
        kept = HeldRows(torch.from_numpy(array)), torch.tensor([5.0, 6.0]), ["a"]
        shared = memory.keep(kept)
        found: list[Any] = []
        for number in range(2):
            run_in_processes(by_value(look), [(number,)], 1, found.append, shared)
        inode = str(os.fstat(memory._file.fileno()).st_ino)
        assert found == [([1, 2, 3], [6.0], ["a"], inode)] * 2
        assert array[:, 0].tolist() == [1, 2, 3]


def test_what_is_kept_is_small_beside_the_tensors_that_stay_where_they_are() -> None:
    with SharedMemory() as memory:
        whole = torch.from_numpy(memory.allocate((1000, 100)))
        views = whole.reshape(100, 10, 100), whole[:500]
        shared = memory.keep((whole, views))
        assert shared._num_bytes < 1000
        whole[0, 0] = 7
        again, (reshaped, half) = shared.get()
        assert again.shape == (1000, 100)
        assert reshaped.shape == (100, 10, 100)
        assert half.shape == (500, 100)
        assert again[0, 0] == reshaped[0, 0, 0] == half[0, 0] == 7
        assert memory.keep(whole[1:])._num_bytes > 4 * 999 * 100


def refuse(*_: object) -> int:
    raise OSError(1, "Operation not permitted")


def test_a_file_without_a_name_serves_where_the_system_has_no_such_memory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "memfd_create", refuse, raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with SharedMemory() as memory:
        memory.allocate((2, 2))[:] = 1
        memory.keep([1])
        assert not list(tmp_path.iterdir())


def test_nothing_in_any_folder_stands_for_it(tmp_path: Path) -> None:
    """A process that is killed could not remove it."""
    with SharedMemory() as memory:
        memory.allocate((2, 2))
        assert os.fstat(memory._file.fileno()).st_nlink == 0
