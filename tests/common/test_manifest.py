"""If this breaks, training reads a manifest that does not tell what was extracted."""

from pathlib import Path

import pytest

from ta3n.common.errors import DataMissingError, FeatureStoreError
from ta3n.common.files import replace_file
from ta3n.common.records import (
    Manifest,
    Plan,
    PlannedClip,
    ShardRecord,
    build_manifest,
    dump_record,
    parse_record,
    read_record,
)

from ..support.records import CONFIG, planned, shard_of


def write_plan(folder: Path, *clips: PlannedClip) -> None:
    plan = Plan(config=CONFIG, selection="all classes", splits_origin="x", clips=clips)
    (folder / "plan.json").write_bytes(dump_record(plan))


def write_shard(folder: Path, record: ShardRecord) -> None:
    (folder / f"{record.shard}.json").write_bytes(dump_record(record))


@pytest.mark.parametrize("path", ["A/ü (1)#&.avi", "A/\udce9.avi", 'A/"quoted"\n.avi'])
def test_any_file_name_survives(path: str) -> None:
    record = shard_of(planned(0, path=path))
    assert parse_record(ShardRecord, dump_record(record), Path("x")) == record
    assert dump_record(record).isascii()


def test_manifest_grows_with_the_shards(tmp_path: Path) -> None:
    first, second = planned(0), planned(1, shard="shard-00001")
    write_plan(tmp_path, first, second)
    assert build_manifest(tmp_path).pending == (first, second)
    write_shard(tmp_path, shard_of(second))
    half = build_manifest(tmp_path)
    assert not half.complete
    assert [clip.path for clip in half.clips] == ["A/1.avi"]
    write_shard(tmp_path, shard_of(first))
    whole = build_manifest(tmp_path)
    assert whole.complete
    assert [clip.path for clip in whole.clips] == ["A/0.avi", "A/1.avi"]
    assert whole.provenance == ({"torch": "2"},)
    assert read_record(Manifest, tmp_path / "manifest.json") == whole


def test_shard_finished_meanwhile_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two jobs end at once: the slower one must not replace the newer manifest by an older."""
    first, second = planned(0), planned(1, shard="shard-00001")
    write_plan(tmp_path, first, second)
    write_shard(tmp_path, shard_of(first))

    def replace_while_other_job_ends(path: Path, data: bytes) -> None:
        write_shard(tmp_path, shard_of(second))
        replace_file(path, data)

    monkeypatch.setattr("ta3n.common.records.replace_file", replace_while_other_job_ends)
    assert build_manifest(tmp_path).complete
    assert read_record(Manifest, tmp_path / "manifest.json").complete


def test_shard_of_other_settings_is_refused(tmp_path: Path) -> None:
    write_plan(tmp_path, planned(0))
    write_shard(tmp_path, shard_of(planned(0), config=CONFIG.model_copy(update={"frames": "x"})))
    with pytest.raises(FeatureStoreError, match="other settings"):
        build_manifest(tmp_path)


def test_missing_plan_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataMissingError, match=r"no plan\.json in"):
        build_manifest(tmp_path)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"{}", b'{"schema_version": 1, "x": 2}'])
def test_damaged_record_is_named_in_one_line(data: bytes) -> None:
    with pytest.raises(FeatureStoreError, match=r"m\.json is damaged") as caught:
        parse_record(Manifest, data, Path("m.json"))
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith("; ta3n-features merge writes it anew")


def test_record_of_another_version_says_so() -> None:
    data = dump_record(shard_of(planned(0))).replace(
        b'"schema_version": 1', b'"schema_version": 99'
    )
    with pytest.raises(FeatureStoreError, match="schema version 99, this program reads 1"):
        parse_record(ShardRecord, data, Path("x"))


def test_content_hash_follows_features_alone(tmp_path: Path) -> None:
    write_plan(tmp_path, planned(0))
    write_shard(tmp_path, shard_of(planned(0)))
    manifest = build_manifest(tmp_path)
    moved = manifest.model_copy(update={"splits_origin": "elsewhere"})
    assert moved.content_hash == manifest.content_hash
    other = manifest.clips[0].model_copy(update={"crc32": 5})
    changed = manifest.model_copy(update={"clips": (other,)})
    assert changed.content_hash != manifest.content_hash


def test_features_of_single_frames_are_recorded_and_hashed_as_before_there_were_windows() -> None:
    """Folders of version 0.1 stay complete, and their files the same to the byte."""
    assert CONFIG.hash == "54d188d1d5cb3eadd0453fe2e0fc2c4a4130adf3514a4ddee82fd3295c512347"
    plan = Plan(config=CONFIG, selection="all", splits_origin="x", clips=())
    (line,) = (row for row in dump_record(plan).splitlines() if b'"config"' in row)
    assert line.endswith(b'"feature_dim": 512, "timing": "frames", "transform": ""},')
    with_window = CONFIG.model_copy(update={"window": 16})
    others: list[dict[str, object]] = [
        {"window_step": 2},
        {"window_pad": "zero"},
        {"source": "0" * 64},
    ]
    configs = [CONFIG, with_window, *(with_window.model_copy(update=o) for o in others)]
    assert len({config.hash for config in configs}) == 5
    for config in configs:
        read = parse_record(Plan, dump_record(plan.model_copy(update={"config": config})), Path())
        assert read.config == config
