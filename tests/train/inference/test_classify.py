"""If this breaks, a clip is classified otherwise than the run itself did, or a bad one ends it all.

From video files to predictions: both stages are real, the network is small.
"""

import csv
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from ta3n.common.errors import DataConflictError, UsageError, WeightsError
from ta3n.extract import api
from ta3n.extract.cli import main as extract
from ta3n.train import Prediction, TrainedRun, load_run, predict
from ta3n.train.inference.trained import weights_option

from ...support.small_runs import ta3n_train, train
from ...support.two_domains import CLASSES, write_domain
from ...support.videos import WriteClip


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory, write_clip: WriteClip) -> Path:
    """Return a folder of two domains."""
    folder = tmp_path_factory.mktemp("videos")
    for domain in "ab":
        write_domain(folder / domain, domain, write_clip)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, videos: Path) -> TrainedRun:
    """Return a run that was trained on those videos."""
    folder = tmp_path_factory.mktemp("run")
    for domain in "ab":
        done = CliRunner().invoke(
            extract,
            [
                "--dataset", f"synthetic-{domain}", "--root", str(videos / domain),
                "--classes", ",".join(CLASSES), "--out", str(folder / "features"),
                "--backbone", "resnet18", "--weights", "random:0", "--frames", "segments:2",
                "--device", "cpu", "--no-supervise",
            ],
        )  # fmt: skip
        assert done.exit_code == 0, done.output
    seeds = train("syn-a", "syn-b", folder / "features", folder / "runs", segments=2, epochs=2)
    return load_run(seeds, device="cpu")


@pytest.fixture(scope="module")
def clips(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Return good and bad clips by name."""
    folder = tmp_path_factory.mktemp("bad")
    whole = {path.name: path for path in sorted((videos / "b").glob("*/*_g02_*.mp4"))}
    cut, text = folder / "cut.mp4", folder / "notes.txt"
    cut.write_bytes(next(iter(whole.values())).read_bytes()[:400])
    text.write_text("no video")
    return {**whole, "cut": cut, "text": text, "gone": folder / "gone.mp4"}


@pytest.fixture(scope="module")
def predictions(run: TrainedRun, clips: Mapping[str, Path]) -> Mapping[str, Prediction]:
    """Return what one call makes of all of them."""
    found = predict(run, list(clips.values()), top_k=12)
    assert [each.video for each in found] == list(clips.values())
    return dict(zip(clips, found, strict=True))


def test_a_run_at_a_prompt_is_one_line(run: TrainedRun) -> None:
    assert repr(run).startswith(f"TrainedRun(path={run.path!r}, seed=0, rule='last', epoch=2, ")
    assert len(repr(run)) < 400


def test_clips_of_the_target_get_what_the_run_recorded(
    run: TrainedRun, predictions: Mapping[str, Prediction]
) -> None:
    with (run.path / "predictions.csv").open(newline="") as file:
        recorded = {Path(row["video"]).name: row for row in csv.DictReader(file)}
    assert len(recorded) == 2
    for name, row in recorded.items():
        best = predictions[name].top[0]
        assert predictions[name].status == "ok"
        assert run.classes.index(best.name) == int(row["last"])
        assert best.probability == pytest.approx(float(row["last_probability"]), abs=1e-6)
        assert len(predictions[name].top) == 12
        assert sum(c.probability for c in predictions[name].top) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("name", "reason"),
    [("cut", "cannot be opened"), ("text", "cannot be opened"), ("gone", "no file or folder")],
)
def test_bad_clips_get_a_status_and_a_reason(
    predictions: Mapping[str, Prediction], name: str, reason: str
) -> None:
    found = predictions[name]
    assert (found.status, found.top) == ("failed", ())
    assert reason in found.reason


def test_command_line_agrees_whatever_else_is_in_the_call(
    run: TrainedRun,
    clips: Mapping[str, Path],
    predictions: Mapping[str, Prediction],
    tmp_path: Path,
) -> None:
    name = next(iter(clips))
    folder = tmp_path / "clips"
    folder.mkdir()
    shutil.copy(clips[name], folder / "ü [b].mp4")
    result = ta3n_train(
        "--evaluate", run.path.parent, "--videos", folder, "--videos", clips["gone"],
        "--top-k", 12, "--device", "cpu", "--out", tmp_path,
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert "rule last, epoch 2" in result.stdout
    with (tmp_path / "predictions-last.csv").open(newline="") as file:
        *rows, gone = csv.DictReader(file)
    assert {Path(row["video"]).name for row in rows} == {"ü [b].mp4"}
    assert (Path(gone["video"]).name, gone["status"]) == ("gone.mp4", "failed")
    together = dict(predictions[name].top)
    alone = {row["class"]: float(row["probability"]) for row in rows}
    assert alone == pytest.approx(together, abs=1e-5)


def test_backbone_is_loaded_once_for_all_calls(
    run: TrainedRun, clips: Mapping[str, Path], predictions: Mapping[str, Prediction]
) -> None:
    loaded = api._engine.cache_info().misses
    name = next(iter(clips))
    for _ in range(2):
        (found,) = predict(run, clips[name], top_k=12)
        assert dict(found.top) == pytest.approx(dict(predictions[name].top), abs=1e-5)
    assert api._engine.cache_info().misses == loaded


def test_nothing_classified_is_no_success(
    run: TrainedRun, clips: Mapping[str, Path], tmp_path: Path
) -> None:
    result = ta3n_train(
        "--evaluate", run.path, "--videos", clips["gone"], "--device", "cpu", "--out", tmp_path
    )
    assert result.exit_code == 1
    assert "no clip could be classified" in result.stderr
    assert (tmp_path / "predictions-last.csv").is_file()


def test_clips_for_imported_features_are_refused(
    run: TrainedRun, clips: Mapping[str, Path]
) -> None:
    features = {**run.config.data["features"], "profile": "imported"}
    imported = replace(
        run, config=replace(run.config, data={**run.config.data, "features": features})
    )
    with pytest.raises(DataConflictError, match="was trained on imported features"):
        predict(imported, next(iter(clips.values())))


def test_weights_of_a_file_are_asked_for_and_checked(run: TrainedRun, tmp_path: Path) -> None:
    file = tmp_path / "w.pth"
    file.write_bytes(b"weights")
    made = dict(run.config.data["features"])

    def of(weights: str) -> TrainedRun:
        data = {**run.config.data, "features": {**made, "weights": weights}}
        return replace(run, config=replace(run.config, data=data))

    ours = of(f"sha256:{hashlib.sha256(b'weights').hexdigest()}")
    assert weights_option(ours, file) == str(file)
    assert weights_option(of("imagenet1k_v1:resnet18-f37072fd.pth"), None) == "imagenet1k_v1"
    assert weights_option(run, None) == "random:0"
    for wrong, given, message in (
        (ours, None, "name it with --weights FILE"),
        (ours, tmp_path / "gone.pth", "no file of weights"),
        (of("sha256:0"), file, "is not the file of weights"),
        (run, file, "not with a file"),
    ):
        with pytest.raises(WeightsError, match=message):
            weights_option(wrong, given)


def test_nothing_to_classify_and_senseless_numbers(run: TrainedRun) -> None:
    assert predict(run, []) == []
    with pytest.raises(UsageError, match="top_k is 0"):
        predict(run, ["x.mp4"], top_k=0)


def test_importing_the_package_loads_no_torch() -> None:
    code = (
        "import sys, ta3n.train; print({'torch', 'numpy', 'pydantic'} & set(sys.modules)); "
        "from ta3n.train import load_run, predict; print(predict.__name__)"
    )
    command = [sys.executable, "-P", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["set()", "predict"]


def test_clips_of_an_open_target_are_told_unknown_as_the_run_recorded(
    run: TrainedRun, clips: Mapping[str, Path], tmp_path: Path
) -> None:
    features = run.path.parents[4] / "features"
    settings = {"segments": 2, "epochs": 2, "unknown": CLASSES[-1]}
    for threshold, told in ((0.5, True), (1, False)):
        opened = train(
            "syn-a", "syn-b", features, tmp_path, **settings, unknown_threshold=threshold
        )
        trained = load_run(opened, device="cpu")
        label = len(trained.classes)
        with (trained.path / "predictions.csv").open(newline="") as file:
            recorded = {Path(row["video"]).name: int(row["last"]) for row in csv.DictReader(file)}
        found = predict(trained, [clips[name] for name in recorded], top_k=2)
        # What has learned next to nothing is sure of nothing.
        assert [each.is_unknown for each in found] == [told] * len(recorded)
        assert [last == label for last in recorded.values()] == [told] * len(recorded)
        assert all(len(each.top) == 2 for each in found)
    result = ta3n_train(
        "--evaluate", tmp_path / opened.relative_to(tmp_path), "--videos", clips["cut"],
        "--videos", clips[next(iter(recorded))], "--out", tmp_path / "out", "--device", "cpu",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    with (tmp_path / "out" / "predictions-last.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["unknown"] for row in rows if row["status"] == "ok"} == {"no"}
    assert {row["unknown"] for row in rows if row["status"] == "failed"} == {""}
