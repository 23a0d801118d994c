"""If this breaks, a video in training and test goes unnoticed, and accuracies are too high."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from click.testing import CliRunner, Result

from ta3n.common.errors import FeatureStoreError
from ta3n.common.records import (
    PLAN_NAME,
    ClipRecord,
    ClipStatus,
    Plan,
    PlannedClip,
    ShardRecord,
    build_manifest,
    collect_manifest,
    dump_record,
)
from ta3n.common.store import Features, crc32_of, write_shard
from ta3n.extract.features_cli import main
from ta3n.extract.inspect.near_duplicates import NEAR, AlikeClips

from ...support.records import CONFIG

Splits = Mapping[str, Literal["train", "test"]]

DIM = 64
TRAIN: Splits = {"1": "train", "2": "train"}
TEST: Splits = {"1": "test", "2": "train"}


def write_clips(folder: Path, clips: Sequence[tuple[str, Splits, Features]]) -> None:
    """Write a feature folder of clips with these splits and rows; one without rows has failed."""
    config = CONFIG.model_copy(update={"feature_dim": DIM})
    records, start = [], 0
    for number, (name, splits, rows) in enumerate(clips):
        status: ClipStatus = "ok" if len(rows) else "failed"
        record = ClipRecord(
            id=number,
            path=f"A/{name}.avi",
            class_name="A",
            splits=dict(splits),
            size_bytes=1,
            mtime_ns=1,
            shard="shard-00000",
            status=status,
            error="" if len(rows) else "made up",
            num_frames=len(rows),
            start=start,
            length=len(rows),
            crc32=crc32_of(rows),
        )
        records.append(record)
        start += len(rows)
    keys = PlannedClip.model_fields
    planned = tuple(PlannedClip(**{k: getattr(r, k) for k in keys}) for r in records)
    plan = Plan(
        config=config, selection="all classes", splits_origin="made up", clips=planned, absent=()
    )
    (folder / PLAN_NAME).write_bytes(dump_record(plan))
    shard = ShardRecord(
        config_hash=config.hash,
        shard="shard-00000",
        num_rows=start,
        provenance={"torch": "0"},
        clips=tuple(records),
    )
    every = np.concatenate([rows for _, _, rows in clips])
    write_shard(folder, shard, every, np.arange(start, dtype=np.int32))
    build_manifest(folder)


def scene(seed: int, num_frames: int = 20) -> Features:
    """Return features of one scene, on top of what all have in common."""
    rng = np.random.default_rng(seed)
    look = 5 + rng.normal(size=DIM)
    return (look + 0.2 * rng.normal(size=(num_frames, DIM))).astype(np.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return features of clips of which `again` repeats `first`, and `twin` too but in training."""
    copy = scene(0)[3:] * np.float32(1.02)
    others = [(f"other{n}", (TRAIN, TEST)[n % 2], scene(10 + n)) for n in range(8)]
    bad = np.empty((0, DIM), np.float32)
    write_clips(
        tmp_path,
        [
            ("first", TRAIN, scene(0)),
            ("again", TEST, copy),
            ("twin", TRAIN, scene(0)),
            ("bad", TEST, bad),
            ("loose", {}, scene(0)),
            *others,
        ],
    )
    return tmp_path


def run(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


def test_only_pairs_across_a_split_are_listed(folder: Path) -> None:
    """Neither two training clips, nor a clip of no split, nor one without features."""
    pairs = list(AlikeClips(folder, collect_manifest(folder).clips).near_duplicates())
    names = [{pair.clip.path, pair.other.path} for pair in pairs]
    assert {"A/first.avi", "A/again.avi"} in names
    assert {"A/twin.avi", "A/again.avi"} in names
    assert len(names) == 2
    assert all(pair.splits == ("1",) and NEAR <= pair.similarity < 1.0001 for pair in pairs)


def test_command_lists_pairs_and_show_warns(folder: Path) -> None:
    listed = run("duplicates", folder)
    assert listed.exit_code == 0
    assert len(listed.stdout.splitlines()) == 2
    assert "2 pairs of similarity 0.85 or more among 13 clips" in listed.stderr
    similarity, *paths, splits = listed.stdout.splitlines()[0].split("\t")
    assert float(similarity) > 0.95
    assert "A/again.avi" in paths
    assert splits == "split 1"
    told = json.loads(run("duplicates", folder, "--json").stdout)[0]
    assert f"{told['similarity']:.3f}" == similarity
    assert [told["clip"], told["other"], told["splits"]] == [*paths, ["1"]]
    shown = run("show", folder, "first")
    assert "NEAR-DUPLICATE on the other side of split 1: A/again.avi" in shown.stdout
    harmless = run("show", folder, "other3").stdout
    assert "most alike on the other side of a split: A/" in harmless
    assert "NEAR-DUPLICATE" not in harmless
    assert "there is no other side" in run("show", folder, "loose").stdout


def test_what_all_clips_have_in_common_is_not_likeness(tmp_path: Path) -> None:
    """Features of one backbone all point the same way: plain cosine would flag everything."""
    clips = [(f"c{n}", (TRAIN, TEST)[n % 2], scene(n) + np.float32(50)) for n in range(10)]
    write_clips(tmp_path, clips)
    assert run("duplicates", tmp_path).stdout == ""


def test_two_equal_clips_are_flagged_without_others(tmp_path: Path) -> None:
    write_clips(tmp_path, [("a", TRAIN, scene(0)), ("b", TEST, scene(0))])
    assert "1 pairs of similarity 0.85 or more among 2 clips" in run("duplicates", tmp_path).stderr


def test_a_clip_is_shown_whatever_became_of_another_shard(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(*_: object) -> None:
        raise FeatureStoreError("shard-00001.h5 is damaged")

    monkeypatch.setattr("ta3n.extract.inspect.near_duplicates.AlikeClips", damaged)
    shown = run("show", folder, "first")
    assert shown.exit_code == 0
    assert "not known, shard-00001.h5 is damaged" in shown.stdout
