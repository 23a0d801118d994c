"""If this breaks, what is trained on features of clips is not classified as it was trained."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from ta3n.common.errors import DataConflictError
from ta3n.extract.cli import main as extract
from ta3n.extract.features_cli import main as features_main
from ta3n.train import TrainedRun, load_run, predict

from ...support.small_runs import train
from ...support.two_domains import CLASSES, write_domain
from ...support.videos import WriteClip

WINDOW = ("--window", "2", "--window-step", "3", "--window-pad", "zero")


def features_of(root: Path, domain: str, out: Path, *more: str) -> None:
    line = ["--dataset", f"synthetic-{domain}", "--root", str(root), "--classes", ",".join(CLASSES)]
    line += ["--backbone", "video:r3d_18", "--weights", "random:0", "--frames", "segments:2"]
    line += ["--out", str(out), "--device", "cpu", "--no-supervise", *more]
    done = CliRunner().invoke(extract, line)
    assert done.exit_code == 0, done.output


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, write_clip: WriteClip) -> TrainedRun:
    """Return a run on features of clips; its videos and features are two folders above."""
    folder = tmp_path_factory.mktemp("clips")
    for domain in "ab":
        root = write_domain(folder / domain, domain, write_clip)
        features_of(root, domain, folder / "features", *WINDOW)
    seeds = train("syn-a", "syn-b", folder / "features", folder / "runs", segments=2, epochs=2)
    return load_run(seeds, device="cpu")


def folder_of(run: TrainedRun) -> Path:
    return next(p for p in run.path.parents if (p / "features").is_dir())


def test_new_clips_get_what_the_run_recorded(run: TrainedRun) -> None:
    with (run.path / "predictions.csv").open(newline="") as file:
        recorded = {Path(row["video"]).name: row for row in csv.DictReader(file)}
    videos = sorted((folder_of(run) / "b").glob("*/*_g02_*.mp4"))
    assert len(videos) == len(recorded) == 2
    for found in predict(run, videos):
        row, best = recorded[found.video.name], found.top[0]
        assert run.classes.index(best.name) == int(row["last"])
        assert best.probability == pytest.approx(float(row["last_probability"]), abs=1e-6)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("verify",), "sound"),
        (("info",), "windows of 2 frames, every 3 frames, zero beyond the ends"),
        (("show",), "norm of the rows"),
    ],
)
def test_folder_is_looked_at_as_any_other(
    run: TrainedRun, arguments: tuple[str], told: str
) -> None:
    folder = str(folder_of(run) / "features" / "synthetic-a")
    more = ["v_Rise_g01_c01"] if arguments == ("show",) else []
    result = CliRunner().invoke(features_main, [*arguments, folder, *more])
    assert result.exit_code == 0, result.output
    assert told in result.output


def test_domains_of_other_windows_are_not_trained_together(run: TrainedRun, tmp_path: Path) -> None:
    folder = folder_of(run)
    features_of(folder / "b", "b", tmp_path, "--window", "2", "--window-step", "2")
    (tmp_path / "synthetic-a").symlink_to(folder / "features" / "synthetic-a")
    with pytest.raises(
        DataConflictError, match=r"window_step is 3 in synthetic-a, 2 in .*; window_pad is zero in"
    ):
        train("syn-a", "syn-b", tmp_path, tmp_path / "runs", segments=2, epochs=1)


def test_code_that_a_record_names_is_not_run(run: TrainedRun, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("raise SystemExit\n")
    features = {**run.config.data["features"], "backbone": f"python:{tmp_path}/net.py:build"}
    config = replace(run.config, data={**run.config.data, "features": features})
    with pytest.raises(
        DataConflictError, match=r"of a network of your own, python:.*net\.py:build"
    ):
        predict(replace(run, config=config), tmp_path / "x.mp4")
