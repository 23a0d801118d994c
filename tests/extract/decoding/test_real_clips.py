"""If this breaks, the two commands fail on the clips that people actually have."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from ta3n.common.records import ClipRecord, Manifest, read_record
from ta3n.common.sampling import segment_indices
from ta3n.common.store import Features, ShardReader, shard_path
from ta3n.extract import ClipFeatures, extract_features
from ta3n.extract.cli import main

from ...support.clip_networks import write_network

pytestmark = pytest.mark.shared

UCF_CLASSES = "Archery,Punch,RockClimbingIndoor,WalkingWithDog"


def extract(*args: object) -> None:
    fixed = ["--backbone", "resnet18", "--weights", "random:0", "--batch-size", "16"]
    fixed += ["--no-supervise"]
    result = CliRunner().invoke(main, [*map(str, args), *fixed])
    assert result.exit_code == 0, result.stderr


def hmdb(shared: Path, out: Path, root: Path, *more: object) -> Manifest:
    splits = shared / "splits" / "hmdb51" / "testTrainMulti_7030_splits"
    extract("--dataset", "hmdb51", "--root", root, "--splits", splits, "--out", out, *more)
    return read_record(Manifest, out / "hmdb51" / "manifest.json")


def rows(out: Path, clip: ClipRecord) -> Features:
    with ShardReader(shard_path(out / "hmdb51", clip.shard)) as shard:
        return shard.rows(clip.start, range(clip.length))


@pytest.fixture(scope="module")
def sampled(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest]:
    out = tmp_path_factory.mktemp("sampled")
    root = shared / "clips" / "hmdb51_org"
    return out, hmdb(shared, out, root, "--frames", "segments:5")


def test_genuine_clips_of_any_name_and_tag_succeed(
    shared: Path, sampled: tuple[Path, Manifest]
) -> None:
    manifest = sampled[1]
    with (shared / "clips" / "clips.csv").open(newline="") as file:
        counts = {row["file"]: int(row["decoded_frames"]) for row in csv.DictReader(file)}
    assert manifest.status_counts() == {"ok": 8}
    for clip in manifest.clips:
        assert clip.num_frames == counts[f"hmdb51_org/{clip.path}"]
    names = "".join(clip.path for clip in manifest.clips)
    assert all(character in names for character in "(!+)")


def test_features_are_the_same_alone_mixed_and_sampled(
    shared: Path, sampled: tuple[Path, Manifest], tmp_path: Path
) -> None:
    out, manifest = sampled
    clip = next(c for c in manifest.clips if c.path.startswith("wave/RATRACE"))
    root = tmp_path / "hmdb51_org"
    (root / "wave").mkdir(parents=True)
    shutil.copy(shared / "clips" / "hmdb51_org" / clip.path, root / clip.path)
    (alone,) = hmdb(shared, tmp_path / "alone", root).clips
    assert alone.length == clip.num_frames == 72
    every = rows(tmp_path / "alone", alone)
    # The centres of five equal parts of 72 frames.
    np.testing.assert_allclose(rows(out, clip), every[[7, 21, 36, 50, 64]], rtol=1e-4, atol=1e-5)


def test_python_gives_the_rows_of_the_command(shared: Path, sampled: tuple[Path, Manifest]) -> None:
    out, manifest = sampled
    root = shared / "clips" / "hmdb51_org"
    found = extract_features(
        root, backbone="resnet18", weights="random:0", frames="segments:5", batch_size=16
    )
    assert len(found) == len(manifest.clips)
    for clip in manifest.clips:
        ours = found[str(root.resolve() / clip.path)]
        assert np.array_equal(ours.features, rows(out, clip))


def test_rows_of_windows_are_the_same_alone_mixed_and_sampled(shared: Path, tmp_path: Path) -> None:
    """Of 16 frames around each: of a small network to the bit for all clips, then of R3D."""
    root = shared / "clips" / "hmdb51_org"
    name = write_network(tmp_path / "net.py", width=16)
    options: dict[str, Any] = {"weights": "random:0", "window": 16, "device": "cpu"}

    def check(paths: list[Path], backbone: str) -> dict[str, ClipFeatures]:
        every = extract_features(paths, backbone=backbone, frames="all", **options)
        some = extract_features(paths, backbone=backbone, frames="segments:5", **options)
        for path, clip in some.items():
            rows = every[path].features
            assert (clip.status, len(rows)) == ("ok", clip.num_frames)
            assert clip.frame_numbers.tolist() == segment_indices(clip.num_frames, 5)
            assert np.array_equal(clip.features, rows[clip.frame_numbers])
        return every

    clips = sorted(root.rglob("*.avi"))
    mixed = check(clips, name)
    for path, clip in check(clips[:1], name).items():
        assert np.array_equal(clip.features, mixed[path].features)
    check([next((shared / "clips" / "jhmdb").rglob("KELVIN_shoot_ball*.avi"))], "video:r3d_18")


def test_both_commands_end_in_a_table(
    shared: Path, sampled: tuple[Path, Manifest], tmp_path: Path
) -> None:
    from ta3n.train.cli import main as train

    features = tmp_path / "features"
    shutil.copytree(sampled[0], features)
    extract(
        "--dataset", "ucf101", "--root", shared / "clips" / "UCF-101",
        "--splits", shared / "splits" / "ucf101", "--classes", UCF_CLASSES,
        "--frames", "segments:5", "--out", features,
    )  # fmt: skip
    arguments = ["--source", "ucf", "--target", "hmdb", "--features", str(features)]
    arguments += ["--out", str(tmp_path / "runs"), "--epochs", "2"]
    refused = CliRunner().invoke(train, arguments)
    assert refused.exit_code == 1
    assert "not on disk" in refused.stderr
    result = CliRunner().invoke(train, [*arguments, "--allow-missing"])
    assert result.exit_code == 0, result.stderr
    assert "oracle" in result.stdout
    (folder,) = (tmp_path / "runs" / "ucf-hmdb-full" / "ucf101-hmdb51").glob("ta3n-*/seed-0")
    record = json.loads((folder / "config.json").read_text())
    assert record["data"]["videos"]["hmdb51"] == {"train": 3, "val": 1}
