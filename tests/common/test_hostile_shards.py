"""If this breaks, a shard from a stranger makes us read other files, crash, or believe it."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ta3n.common.errors import FeatureStoreError
from ta3n.common.records import ShardRecord, parse_record
from ta3n.common.store import ShardReader, shard_path, write_shard

from ..support.records import content


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards")
    record = content()[0]
    write_shard(folder, *content())
    return shard_path(folder, record.shard)


def external_link(file: h5py.File, secret: Path) -> None:
    del file["features"]
    file["features"] = h5py.ExternalLink(str(secret), "features")


def soft_link(file: h5py.File, _secret: Path) -> None:
    file.move("features", "elsewhere")
    file["features"] = h5py.SoftLink("/elsewhere")


def external_storage(file: h5py.File, secret: Path) -> None:
    shape = file["features"].shape
    del file["features"]
    where = [(str(secret), 0, h5py.h5f.UNLIMITED)]
    file.create_dataset("features", shape, "<f4", external=where)


def virtual(file: h5py.File, secret: Path) -> None:
    shape = file["features"].shape
    del file["features"]
    layout = h5py.VirtualLayout(shape, "<f4")
    layout[:] = h5py.VirtualSource(str(secret), "features", shape)
    file.create_virtual_dataset("features", layout)


def a_group(file: h5py.File, _secret: Path) -> None:
    del file["features"]
    file.create_group("features")


def a_bomb(file: h5py.File, _secret: Path) -> None:
    del file["row_crc32"]
    file.create_dataset("row_crc32", (2**40,), "<u4")


def a_packed_bomb(file: h5py.File, _secret: Path) -> None:
    del file["record"]
    file.create_dataset("record", (2**34,), "u1", chunks=(2**20,), compression="gzip")


@pytest.mark.parametrize(
    "change",
    [external_link, soft_link, external_storage, virtual, a_group, a_bomb, a_packed_bomb],
)
def test_data_from_elsewhere_or_without_end_is_refused(
    shard: Path, tmp_path: Path, change: Callable[[h5py.File, Path], None]
) -> None:
    path, secret = tmp_path / "shard-00000.h5", tmp_path / "secret.h5"
    for copy in (path, secret):
        copy.write_bytes(shard.read_bytes())
    with h5py.File(path, "r+") as file:
        change(file, secret)
    with pytest.raises(FeatureStoreError, match=r"shard-00000\.h5 is damaged: "):
        ShardReader(path)


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    edits=st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=8)), max_size=4),
    keep=st.floats(0.3, 1),
)
def test_mutated_shard_is_read_right_or_refused(
    shard: Path, tmp_path: Path, edits: list[tuple[float, bytes]], keep: float
) -> None:
    """Whatever the bytes: the very rows and records that were written, or an error of ours."""
    data = bytearray(shard.read_bytes())
    for where, value in edits:
        start = int(where * (len(data) - len(value)))
        data[start : start + len(value)] = value
    if not edits:
        del data[int(keep * len(data)) :]
    path = tmp_path / "shard-00000.h5"
    path.write_bytes(data)
    record, rows, _ = content()
    try:
        with ShardReader(path) as reader:
            reader.verify()
            assert np.array_equal(reader.rows(0, range(len(rows))), rows)
            found = {(c.path, c.start, c.length, c.crc32) for c in reader.record.clips}
    except FeatureStoreError:
        return
    assert {(c.start, c.length, c.crc32) for c in record.clips} == {f[1:] for f in found}


@settings(max_examples=150, deadline=None, derandomize=True)
@given(data=st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_any_bytes_are_a_record_or_refused(data: bytes) -> None:
    with pytest.raises(FeatureStoreError):
        parse_record(ShardRecord, data, Path("x.json"))


def test_nesting_without_end_is_refused() -> None:
    with pytest.raises(FeatureStoreError, match=r"x\.json is damaged"):
        parse_record(ShardRecord, b"[" * 100_000, Path("x.json"))
