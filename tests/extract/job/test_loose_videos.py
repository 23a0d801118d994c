"""If this breaks, features of clips of one's own cannot be made without a dataset around them."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ta3n.extract.cli import main

from ...support.tiny import without_network
from ...support.videos import WriteClip


def run(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


def test_files_and_folders_give_features_without_classes(
    tmp_path: Path, write_clip: WriteClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_network(monkeypatch)
    write_clip(tmp_path / "clips" / "deep" / "one.mp4")
    (tmp_path / "notes.txt").write_text("no video")
    line = (
        "--videos", tmp_path / "clips", "--videos", tmp_path / "notes.txt", "--out", tmp_path,
        "--backbone", "resnet18", "--weights", "random:0", "--frames", "segments:2",
        "--device", "cpu", "--no-supervise",
    )  # fmt: skip
    planned = run(*line, "--dry-run")
    assert planned.stdout.startswith("videos: 2 clips")
    result = run(*line)
    assert result.exit_code == 0, result.stderr
    manifest = json.loads((tmp_path / "videos" / "manifest.json").read_text())
    assert manifest["config"]["dataset"] == "videos"
    found = {c["path"]: (c["status"], c["length"], c["class_name"]) for c in manifest["clips"]}
    assert found == {"clips/deep/one.mp4": ("ok", 2, ""), "notes.txt": ("failed", 0, "")}


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (("--dataset", "ucf", "--benchmark", "x"), 2, "leave out --dataset, --benchmark"),
        ((), 1, "no file or folder 'gone.mp4'"),
    ],
)
def test_mistakes_are_told_in_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    args: tuple[str, ...],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("--videos", "gone.mp4", *args)
    assert result.exit_code == code
    assert message in result.stderr.strip().splitlines()[-1]
