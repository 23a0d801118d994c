"""If this breaks, wrong features reach training unnoticed."""

import os
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest

from ta3n.common import files, store
from ta3n.common.errors import FeatureStoreError
from ta3n.common.store import (
    ShardReader,
    check_rows,
    crc32_of,
    joined_crc32,
    restore_sidecar,
    shard_path,
    sidecar_path,
    write_shard,
)

from ..support.records import content


def test_rows_come_back_as_written(tmp_path: Path) -> None:
    record, rows, frames = content()
    assert write_shard(tmp_path, record, rows, frames) == record
    with ShardReader(shard_path(tmp_path, record.shard)) as shard:
        assert shard.record == record
        assert shard.feature_dim == 4
        assert np.array_equal(shard.frames, frames)
        # Close rows are read in one sweep, far ones singly, in the order asked for.
        for start, offsets in ((0, [0, 1, 2]), (3, [0, 49]), (3, [7, 7, 2]), (0, [])):
            assert np.array_equal(shard.rows(start, offsets), rows[[start + o for o in offsets]])
        shard.verify()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["shard-00000.h5", "shard-00000.json"]


def test_second_job_keeps_the_first_ones_shard(tmp_path: Path) -> None:
    first, second = content(0), content(1)
    write_shard(tmp_path, *first)
    before = shard_path(tmp_path, first[0].shard).read_bytes()
    assert write_shard(tmp_path, *second) == first[0]
    assert shard_path(tmp_path, first[0].shard).read_bytes() == before


def test_sidecar_is_restored_from_the_shard(tmp_path: Path) -> None:
    record, rows, frames = content()
    write_shard(tmp_path, record, rows, frames)
    sidecar = sidecar_path(tmp_path, record.shard)
    before = sidecar.read_bytes()
    sidecar.unlink()
    assert restore_sidecar(tmp_path, record.shard) == record
    assert sidecar.read_bytes() == before


def test_a_flipped_bit_is_found_by_whoever_reads_that_row(tmp_path: Path) -> None:
    record, rows, frames = content()
    write_shard(tmp_path, record, rows, frames)
    path = shard_path(tmp_path, record.shard)
    data = bytearray(path.read_bytes())
    position = data.index(rows[10].tobytes())
    data[position] ^= 1
    path.write_bytes(data)
    with ShardReader(path) as shard:
        shard.rows(0, [0, 1, 2])
        with pytest.raises(FeatureStoreError, match="row 10 does not match its checksum"):
            shard.rows(3, [7])
        with pytest.raises(FeatureStoreError, match="row 10"):
            shard.verify()


def test_rows_outside_are_refused(tmp_path: Path) -> None:
    write_shard(tmp_path, *content())
    with (
        ShardReader(shard_path(tmp_path, "shard-00000")) as shard,
        pytest.raises(FeatureStoreError, match="has no rows"),
    ):
        shard.rows(50, [3])


@pytest.mark.parametrize("keep", [0, 100, 3000])
def test_cut_or_foreign_file_is_refused(tmp_path: Path, keep: int) -> None:
    write_shard(tmp_path, *content())
    path = shard_path(tmp_path, "shard-00000")
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(FeatureStoreError, match=r"shard-00000\.h5"):
        ShardReader(path)


def test_features_that_are_not_finite_are_never_published(tmp_path: Path) -> None:
    record, rows, frames = content()
    rows[1, 2] = np.nan
    first = record.clips[0].model_copy(update={"crc32": crc32_of(rows[:3])})
    record = record.model_copy(update={"clips": (first, *record.clips[1:])})
    with pytest.raises(FeatureStoreError, match="not finite"):
        write_shard(tmp_path, record, rows, frames)
    assert list(tmp_path.iterdir()) == []


def test_unwritable_folder_is_an_os_error(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with pytest.raises(OSError, match="file"):
        write_shard(blocked, *content())


@pytest.mark.parametrize("width", [1, 3, 2048])
@pytest.mark.parametrize("num_rows", [0, 1, 2, 77])
def test_checksum_of_a_clip_follows_from_those_of_its_rows(width: int, num_rows: int) -> None:
    rows = np.random.default_rng(width).standard_normal((num_rows, width)).astype(np.float32)
    assert joined_crc32(check_rows(rows).crc32, width) == zlib.crc32(rows.tobytes())


def test_every_row_is_summed_up_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record, rows, frames = content()
    summed: list[bytes] = []
    real = zlib.crc32

    def counting(data: object, before: int = 0) -> int:
        summed.append(bytes(memoryview(data)))  # type: ignore[arg-type]
        return real(summed[-1], before)

    joined_crc32(np.zeros(1, np.uint32), rows.shape[1])  # its tables are made once
    monkeypatch.setattr(zlib, "crc32", counting)
    write_shard(tmp_path, record, rows, frames)
    assert summed == [row.tobytes() for row in rows]


@pytest.mark.parametrize("part", ["features", "frame", "row_crc32", "index", "record"])
def test_what_the_disk_holds_is_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    """A disk that lost a bit when it was flushed is found out before the shard has its name."""
    record, rows, frames = content()

    def flush_and_lose_a_bit(path: Path) -> None:
        files.fsync_and_forget(path)
        with h5py.File(path, "r", locking=False) as file:
            position = file[part].id.get_offset()
        data = bytearray(path.read_bytes())
        data[position] ^= 1
        path.write_bytes(data)

    monkeypatch.setattr(store, "fsync_and_forget", flush_and_lose_a_bit)
    with pytest.raises(FeatureStoreError, match=r"shard-00000\.h5"):
        write_shard(tmp_path, record, rows, frames)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="this system keeps files in memory")
def test_a_file_is_flushed_before_it_is_dropped_from_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    for name in ("fsync", "posix_fadvise"):
        real = getattr(os, name)

        def noted(*args: int, name: str = name, real: object = real) -> object:
            calls.append(name)
            return real(*args)  # type: ignore[operator]

        monkeypatch.setattr(os, name, noted)
    (tmp_path / "file").write_bytes(b"data")
    files.fsync_and_forget(tmp_path / "file")
    assert calls == ["fsync", "posix_fadvise"]
    assert (tmp_path / "file").read_bytes() == b"data"


def test_rows_that_are_not_those_of_the_record_are_refused(tmp_path: Path) -> None:
    record, rows, frames = content()
    with pytest.raises(FeatureStoreError, match="fails its checksum"):
        write_shard(tmp_path, record, rows[::-1], frames)
    assert list(tmp_path.iterdir()) == []
