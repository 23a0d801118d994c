"""If this breaks, a very long clip fills the memory, or its rows get mixed up."""

import resource
from pathlib import Path

import numpy as np
import pytest

from ta3n.common.store import row_blocks
from ta3n.extract.inference import batches
from ta3n.extract.inference.batches import RowSpool
from ta3n.extract.worker.publishing import PickedRows

ROWS = np.random.default_rng(0).normal(size=(10_000, 8)).astype(np.float32)


@pytest.mark.parametrize("bytes_in_memory", [2**30, 1000])
def test_rows_come_back_whether_in_memory_or_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bytes_in_memory: int
) -> None:
    monkeypatch.setattr(batches, "_BYTES_IN_MEMORY", bytes_in_memory)
    with RowSpool(8, tmp_path) as spool:
        for first in range(0, len(ROWS), 333):
            spool.append(ROWS[first : first + 333])
            assert np.array_equal(spool[first : first + 5], ROWS[first : first + 5])
        assert spool.shape == ROWS.shape
        assert np.array_equal(spool[17:9000], ROWS[17:9000])
        assert spool[5:5].shape == (0, 8)
        blocks = list(row_blocks(spool))
        # A kill leaves nothing behind: the file has no name.
        assert list(tmp_path.iterdir()) == []
    assert [len(block) for block in blocks] == [4096, 4096, 1808]
    assert np.array_equal(np.concatenate(blocks), ROWS)


def test_a_disk_that_is_full_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file has no name, so that the error would say nothing of where."""
    monkeypatch.setattr(batches, "_BYTES_IN_MEMORY", 1000)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    spool = RowSpool(8, tmp_path)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4000, before[1]))
        with pytest.raises(OSError, match="too large") as raised:
            spool.append(ROWS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert raised.value.filename == str(tmp_path)


def test_rows_are_picked_in_any_order() -> None:
    numbers = np.concatenate([range(5, 9), range(90, 100), range(0, 2)]).astype(np.int64)
    expected = np.concatenate([ROWS[5:9], ROWS[90:100], ROWS[0:2]])
    picked = PickedRows(ROWS, numbers)
    assert picked.shape == (16, 8)
    for first in range(17):
        for end in range(first, 17):
            assert np.array_equal(picked[first:end], expected[first:end])
    nothing = PickedRows(ROWS, numbers[:0])
    assert nothing[0:0].shape == nothing.shape == (0, 8)
