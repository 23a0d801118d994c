"""If this breaks, scripts on clusters that rely on options and exit codes break with it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ta3n.extract.cli import main
from ta3n.extract.features_cli import main as features_main

from ..support.videos import WriteClip


def run(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


def extract(root: Path, out: Path, *more: object) -> Result:
    return run(
        "--dataset", "ucf101", "--root", root, "--out", out, "--backbone", "resnet18",
        "--weights", "random:0", "--frames", "segments:2", "--batch-size", 4,
        "--no-supervise", *more,
    )  # fmt: skip


def test_help_needs_no_heavy_import_and_shows_examples() -> None:
    code = "import sys, ta3n.extract.cli; print(*sys.modules)"
    modules = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/"
    ).stdout.split()
    assert "click" in modules
    assert not {"torch", "torchvision", "h5py", "av", "numpy", "pydantic", "rich"} & set(modules)
    result = run("--help")
    assert result.exit_code == 0
    assert "ta3n-extract --dataset hmdb51" in result.output


def test_features_and_manifest_are_written(ucf_tree: Path, tmp_path: Path) -> None:
    result = extract(ucf_tree, tmp_path)
    assert result.exit_code == 0, result.output
    assert "8 ok" in result.stderr
    manifest = json.loads((tmp_path / "ucf101" / "manifest.json").read_text())
    assert len(manifest["clips"]) == 8
    assert extract(ucf_tree, tmp_path, "--frames", "all").exit_code == 1
    for option, value in (("--profile", "torchvision"), ("--timing", "cfr")):
        refused = extract(ucf_tree, tmp_path, option, value)
        assert refused.exit_code == 1
        assert f"{option[2:]} is" in refused.stderr
        assert f"{value} now" in refused.stderr


def test_finished_folder_is_recognised_without_torch(ucf_tree: Path, tmp_path: Path) -> None:
    arguments = ["--dataset", "ucf101", "--root", str(ucf_tree), "--out", str(tmp_path)]
    arguments += ["--backbone", "resnet18", "--weights", "random:0", "--classes", "Biking"]
    arguments += ["--frames", "segments:1"]
    assert run(*arguments, "--no-supervise").exit_code == 0
    code = (
        "import sys\nfrom ta3n.extract.cli import main\n"
        "main(sys.argv[1:], standalone_mode=False)\nprint(*sys.modules)"
    )
    again = subprocess.run(
        [sys.executable, "-P", "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    assert "1 of 1 shards of this job are done" in again.stderr
    assert not {"torch", "av", "PIL"} & set(again.stdout.split())


def test_classes_and_limit_choose_clips(ucf_tree: Path, tmp_path: Path) -> None:
    result = extract(ucf_tree, tmp_path, "--classes", "Biking", "--limit", 2)
    assert result.exit_code == 0, result.output
    manifest = json.loads((tmp_path / "ucf101" / "manifest.json").read_text())
    assert [clip["class_name"] for clip in manifest["clips"]] == ["Biking"] * 2


def test_benchmark_with_missing_classes_needs_consent(ucf_tree: Path, tmp_path: Path) -> None:
    refused = extract(ucf_tree, tmp_path, "--benchmark", "ucf-hmdb-full", "--dry-run")
    assert refused.exit_code == 1
    assert "is not on disk" in refused.stderr
    result = extract(
        ucf_tree, tmp_path, "--benchmark", "ucf-hmdb-full", "--allow-missing", "--dry-run"
    )
    assert result.exit_code == 0, result.stderr
    assert "8 clips" in result.stdout
    assert "classes are not on disk" in result.stderr


def test_choice_of_classes_on_the_command_line_wins_over_the_file(
    ucf_tree: Path, tmp_path: Path
) -> None:
    file = tmp_path / "p.toml"
    common = (ucf_tree, tmp_path / "out", "--config", file, "--dry-run")
    file.write_text('[extract]\nbenchmark = "ucf-olympic"\nallow_missing = true\n')
    by_class = extract(*common, "--classes", "Archery")
    assert (by_class.exit_code, "4 Archery" in by_class.stdout) == (0, True), by_class.stderr
    assert "8 clips" in extract(*common, "--benchmark", "all").stdout
    file.write_text('[extract]\nclasses = ["Archery"]\nallow_missing = true\n')
    by_benchmark = extract(*common, "--benchmark", "ucf-hmdb-full")
    assert "selection: benchmark ucf-hmdb-full" in by_benchmark.stdout
    both = extract(*common, "--benchmark", "ucf-hmdb-full", "--classes", "Archery")
    assert (both.exit_code, "both choose classes" in both.stderr) == (2, True)
    file.write_text('[extract]\nbenchmark = "synthetic"\n')
    other = extract(*common)
    assert (other.exit_code, "--benchmark all takes every class" in other.stderr) == (2, True)


def test_clips_of_no_split_are_told(tmp_path: Path, write_clip: WriteClip, ucf_tree: Path) -> None:
    splits = tmp_path / "splits"
    splits.mkdir()
    clips = sorted(ucf_tree.rglob("*.avi"))
    names = [f"{clip.parent.name}/{clip.name}" for clip in clips]
    (splits / "trainlist01.txt").write_text("".join(f"{name} 1\n" for name in names[1:5]))
    (splits / "testlist01.txt").write_text("".join(f"{name}\n" for name in names[5:]))
    result = extract(ucf_tree, tmp_path / "out", "--splits", splits)
    assert result.exit_code == 0, result.stderr
    assert f"1 clips are in no part of a split, so that training does not use them: {names[0]}" in (
        result.stderr
    )


def test_new_splits_leave_the_features_alone(ucf_tree: Path, tmp_path: Path) -> None:
    names = [f"{clip.parent.name}/{clip.name}" for clip in sorted(ucf_tree.rglob("*.avi"))]
    for folder, first in (("one", 4), ("two", 6)):
        splits = tmp_path / folder
        splits.mkdir()
        (splits / "trainlist01.txt").write_text("".join(f"{n} 1\n" for n in names[:first]))
        (splits / "testlist01.txt").write_text("".join(f"{n}\n" for n in names[first:]))
    out, features = tmp_path / "out", tmp_path / "out" / "ucf101"
    assert extract(ucf_tree, out, "--splits", tmp_path / "one").exit_code == 0
    before = {path.name: path.read_bytes() for path in features.glob("shard-*")}
    refused = extract(ucf_tree, out, "--splits", tmp_path / "two")
    assert refused.exit_code == 1
    assert "2 clips are in another split" in refused.stderr
    assert "--new-splits takes these" in refused.stderr
    taken = extract(ucf_tree, out, "--splits", tmp_path / "two", "--new-splits")
    assert taken.exit_code == 0, taken.stderr
    assert {path.name: path.read_bytes() for path in features.glob("shard-*")} == before
    manifest = json.loads((features / "manifest.json").read_text())
    roles = [clip["splits"]["1"] for clip in manifest["clips"]]
    assert roles == ["train"] * 6 + ["test"] * 2
    assert extract(ucf_tree, out, "--splits", tmp_path / "two").exit_code == 0
    verified = CliRunner().invoke(features_main, ["verify", str(features)])
    assert (verified.exit_code, "sound" in verified.stdout) == (0, True), verified.output


def test_dry_run_writes_nothing(ucf_tree: Path, tmp_path: Path) -> None:
    result = extract(ucf_tree, tmp_path, "--dry-run")
    assert result.exit_code == 0
    assert "8 clips" in result.stdout
    assert "4 Archery" in result.stdout
    assert list(tmp_path.iterdir()) == []


def test_show_config_tells_where_values_come_from(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text('[extract]\nframes = "segments:5"\n')
    result = run("--config", tmp_path / "p.toml", "--batch-size", 3, "--show-config")
    assert result.exit_code == 0
    lines = {line.split(" =")[0]: line for line in result.stdout.splitlines()}
    assert lines["batch_size"].endswith("# command line")
    assert lines["frames"].endswith("p.toml")
    assert lines["backbone"].endswith("# default")


def test_too_many_failures_end_with_3(tmp_path: Path, write_clip: WriteClip) -> None:
    root = tmp_path / "UCF-101"
    write_clip(root / "Archery" / "v_Archery_g01_c01.avi")
    (root / "Archery" / "v_Archery_g02_c01.avi").write_bytes(b"no video")
    assert extract(root, tmp_path / "out").exit_code == 0
    result = extract(root, tmp_path / "out", "--max-failures", "0")
    assert result.exit_code == 3
    assert "1 of 2 clips failed" in result.stderr
    assert "failed Archery/v_Archery_g02_c01.avi: cannot be opened" in result.stderr


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        ((), 2, "no dataset; give --dataset"),
        (("--dataset", "ucf102"), 2, "did you mean 'ucf101'?"),
        (("--dataset", "ucf101"), 2, "no folder for ucf101; give --root DIR"),
        (("--dataset", "ucf101", "--root", "none"), 1, "no clips of ucf101"),
        (("--dataset", "ucf101", "--root", "x", "--frames", "5"), 2, "segments:K"),
        (("--dataset", "ucf101", "--root", "x", "--backbone", "resnet1"), 2, "did you mean"),
        (("--dataset", "ucf101", "--root", "x", "--shard", "3/3"), 2, "i counts from 0"),
        (("--dataset", "ucf101", "--root", "x", "--batch-size", "0"), 2, "batch_size = 0"),
        (("--config", "none.toml", "--show-config"), 2, "no settings file none.toml"),
        (("--datset", "ucf101"), 2, "--dataset"),
        (("--json", "-"), 2, "give --bench with it"),
        (("--dataset", "ucf101", "--root", "x", "--profile", "tan"), 2, "profile = 'tan'"),
        (("--dataset", "ucf101", "--root", "x", "--timing", "vfr"), 2, "timing = 'vfr'"),
        (("--videos", "x", "--window", "16"), 2, "resnet101 makes features of single frames"),
        (("--videos", "x", "--window", "0"), 2, "window = 0"),
        (("--videos", "x", "--window-pad", "mirror"), 2, "window_pad = 'mirror'"),
        (("--videos", "x", "--backbone", "video:c3d"), 2, "no classifier of clips 'c3d'"),
        (("--videos", "x", "--backbone", "python:net"), 2, "python:MODULE:FACTORY"),
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
    result = run(*args)
    assert result.exit_code == code
    last = result.stderr.strip().splitlines()[-1]
    assert message in last
    assert "Traceback" not in result.stderr


def test_unusable_device_and_folder_are_told(ucf_tree: Path, tmp_path: Path) -> None:
    result = extract(ucf_tree, tmp_path, "--device", "cuda:99")
    assert result.exit_code == 1
    assert "device cuda:99 is not here" in result.stderr
    (tmp_path / "file").write_text("")
    result = extract(ucf_tree, tmp_path / "file")
    assert result.exit_code == 1
    assert str(tmp_path / "file") in result.stderr
