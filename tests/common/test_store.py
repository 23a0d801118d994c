"""If this breaks, wrong features reach training unnoticed."""

from pathlib import Path

import numpy as np
import pytest

from ta3n.common.errors import FeatureStoreError
from ta3n.common.store import (
    ShardReader,
    crc32_of,
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
