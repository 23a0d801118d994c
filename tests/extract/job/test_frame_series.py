"""If this breaks, own datasets of frame folders and archives give other features than videos."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from ta3n.common.records import Manifest, read_record
from ta3n.common.video import write_video
from ta3n.datasets.cli import main as datasets
from ta3n.extract import extract_features, release_networks
from ta3n.extract.cli import main

from ...support.extraction import rows_of
from ...support.frame_files import tar_of, write_frames
from ...support.tiny import without_network
from ...support.videos import moving_square

LINE = (
    "--backbone", "resnet18", "--weights", "random:0", "--frames", "segments:3",
    "--device", "cpu", "--batch-size", "4", "--no-supervise",
)  # fmt: skip


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a dataset in which each clip is there as a folder, an archive and a video."""
    without_network(monkeypatch)
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "data"
    for seed, name in enumerate(("wave", "turn")):
        frames = write_frames(root / name / f"{name}_s1", moving_square(9, 96, 64, seed))
        tar_of(frames, root / name / f"{name}_s2.tar")
        write_video(
            root / name / f"{name}_s3.mkv",
            moving_square(9, 96, 64, seed),
            frame_rate=25,
            codec="ffv1",
            pixel_format="bgr0",
        )
    settings(tmp_path, "val_pattern = '_s3'")
    return root


def settings(folder: Path, table: str) -> None:
    (folder / "pipeline.toml").write_text(f"[datasets.mine]\nroot = 'data'\n{table}\n")


def extract(*args: object) -> Result:
    return CliRunner().invoke(main, ["--dataset", "mine", *LINE, *map(str, args)])


def test_every_form_of_a_clip_gives_the_same_rows(root: Path, tmp_path: Path) -> None:
    result = extract("--out", tmp_path / "features")
    assert result.exit_code == 0, result.stderr
    folder = tmp_path / "features" / "mine"
    manifest = read_record(Manifest, folder / "manifest.json")
    assert [c.status for c in manifest.clips] == ["ok"] * 6
    assert {c.path: c.codec for c in manifest.clips}["turn/turn_s1"] == "png"
    rows = rows_of(folder, manifest)
    for name in ("wave", "turn"):
        forms = [rows[f"{name}/{name}_s{n}"] for n in ("1", "2.tar", "3.mkv")]
        assert forms[0].shape == (3, 512)
        assert all(np.array_equal(form, forms[0]) for form in forms)
    # Nothing was told, so that the records are as before there were such clips.
    assert "reading" not in json.loads((folder / "plan.json").read_text())["config"]
    again = extract("--out", tmp_path / "features")
    assert "1 of 1 shards of this job are done" in again.stderr


def test_a_pattern_is_recorded_and_another_one_refused(root: Path, tmp_path: Path) -> None:
    for folder in ("wave/wave_s1", "turn/turn_s1"):
        (root / folder / "notes.txt").touch()
    settings(tmp_path, "val_pattern = '_s3'\nframes = 'frame_%010d.png'\nframe_rate = 25")
    assert extract("--out", tmp_path / "features").exit_code == 0
    manifest = read_record(Manifest, tmp_path / "features" / "mine" / "manifest.json")
    assert len(manifest.clips) == 6
    assert manifest.config.reading.frames == "frame_%010d.png"
    settings(tmp_path, "val_pattern = '_s3'\nframes = 'frame_%d.png'\nframe_rate = 25")
    other = extract("--out", tmp_path / "features")
    assert other.exit_code == 1
    assert "reading.frames is frame_%010d.png there, frame_%d.png now" in other.stderr
    settings(tmp_path, "val_pattern = '_s3'\nframes = 'frame.png'")
    wrong = extract("--out", tmp_path / "features")
    assert wrong.exit_code == 2
    assert "no pattern of file names" in wrong.stderr


def test_lists_name_folders_and_archives(root: Path, tmp_path: Path) -> None:
    (tmp_path / "clips.csv").write_text(
        "path,class,split\nwave/wave_s1,hello,train\n/elsewhere/turn_s2.tar,turn,train\nwave/wave_s3,hello,val"
    )
    settings(tmp_path, "clips = 'clips.csv'")
    assert extract("--out", tmp_path / "features").exit_code == 0
    manifest = read_record(Manifest, tmp_path / "features" / "mine" / "manifest.json")
    assert [(c.path, c.class_name, c.status) for c in manifest.clips] == [
        ("turn/turn_s2.tar", "turn", "ok"),
        ("wave/wave_s1", "hello", "ok"),
        ("wave/wave_s3.mkv", "hello", "ok"),
    ]


def test_a_replaced_frame_is_noticed(root: Path, tmp_path: Path) -> None:
    assert extract("--out", tmp_path / "features").exit_code == 0
    (root / "wave" / "wave_s1" / "frame_0000000009.png").unlink()
    result = extract("--out", tmp_path / "features")
    assert result.exit_code == 1
    assert "1 clips changed size (wave/wave_s1)" in result.stderr


def test_a_loose_folder_of_frames_is_a_video(root: Path, tmp_path: Path) -> None:
    paths = [root / "wave" / name for name in ("wave_s1", "wave_s2.tar", "wave_s3.mkv")]
    clips = extract_features(paths, backbone="resnet18", weights="random:0", device="cpu")
    # It is none that other tests could use.
    release_networks()
    assert list(clips) == list(map(str, paths))
    found = list(clips.values())
    assert [clip.status for clip in found] == ["ok"] * 3
    assert found[0].features.shape == (9, 512)
    assert all(np.array_equal(clip.features, found[0].features) for clip in found)


def test_check_knows_them(root: Path, tmp_path: Path) -> None:
    write_frames(root / "wave" / "wave_s4", moving_square(9, 96, 64))
    result = CliRunner().invoke(datasets, ["check", "mine"])
    assert "frames: mine: 5 clips are folders or archives of frames" in result.stdout
    assert "duplicates: the same content: mine/wave/wave_s1 = mine/wave/wave_s4" in result.stdout
    assert result.exit_code == 13
