"""If this breaks, frames are drawn, read or averaged otherwise than a run was asked to."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from ta3n.train import load_run
from ta3n.train.data.features import load_part
from ta3n.train.inference.evaluation import evaluate, load_target
from ta3n.train.jobs import execution
from ta3n.train.jobs.job import TrainingJob, prepare_jobs
from ta3n.train.report.write import write_report

from ...support.feature_folders import made_clips, make_features
from ...support.small_runs import run_job, small_settings, ta3n_train


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return features of all frames."""
    folder = tmp_path_factory.mktemp("features")
    for seed, dataset in enumerate(("ucf101", "hmdb51")):
        make_features(folder, dataset, made_clips(dataset), frames="all", seed=seed)
    return folder


def job(features: Path, out: Path, **changes: Any) -> TrainingJob:
    (made,) = prepare_jobs(
        "ucf", "hmdb", small_settings(features, out, benchmark="ucf-hmdb-small", **changes)
    )
    return made


def metrics(made: TrainingJob) -> str:
    return (made.folder(0).path / "metrics.jsonl").read_text()


def test_features_in_files_train_to_the_bit_as_those_in_memory(
    features: Path, tmp_path: Path
) -> None:
    for sampling in ("centre", "random"):
        told = []
        for load in ("memory", "mapped"):
            made = job(features, tmp_path / load, load=load, sampling=sampling)
            run_job(made)
            told.append((made.config.hash, metrics(made)))
        assert told[0] == told[1]


def test_random_frames_and_views_are_another_run_and_centres_the_same(
    features: Path, tmp_path: Path
) -> None:
    changes: list[dict[str, Any]] = [{}, {"sampling": "random"}, {"views": 3}]
    jobs = [job(features, tmp_path, **each) for each in changes]
    assert len({each.config.hash for each in jobs}) == 3
    assert "sampling" not in jobs[0].config.identity["recipe"]
    assert "sampling" not in jobs[0].config.settings["recipe"]
    assert jobs[1].config.identity["recipe"]["sampling"] == "random"
    # What trains is the same with several views, and the data are.
    assert jobs[2].config.data == jobs[0].config.data
    for each in jobs:
        run_job(each)
    losses = [[json.loads(line)["losses"] for line in metrics(each).splitlines()] for each in jobs]
    assert losses[2] == losses[0]
    assert losses[1] != losses[0]


def test_views_are_averaged_logits_wherever_a_run_is_looked_at(
    features: Path, tmp_path: Path
) -> None:
    made = job(features, tmp_path / "runs", views=3)
    run_job(made)
    run = load_run(made.folder(0).path)
    side = load_target(run, features, "hmdb", allow_missing=True)
    logits = evaluate(run, side, "val").logits
    videos = load_part(side, "val")
    views: torch.Tensor = videos.take_views(torch.arange(15))  # type: ignore[union-attr]
    one_by_one = torch.stack([run.logits(view) for view in views.unbind(dim=1)])
    torch.testing.assert_close(logits, one_by_one.mean(dim=0))
    assert not torch.equal(logits, run.logits(views[:, 1]))
    torch.testing.assert_close(
        run.predict_features(views), logits.softmax(dim=1).numpy(), rtol=1e-5, atol=1e-7
    )
    report = write_report([tmp_path / "runs"], tmp_path / "out", features=features, command="x")
    assert any("attention" in figure.name for figure in report.figures)


def test_what_does_not_fit_stays_in_its_files_and_says_so(
    features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = [
        "--source", "ucf", "--target", "hmdb", "--benchmark", "ucf-hmdb-small", "--features",
        features, "--epochs", 1, "--device", "cpu", "--allow-missing",
    ]  # fmt: skip
    plain = ta3n_train(*line, "--out", tmp_path / "a")
    assert "mapped files" not in plain.stderr
    monkeypatch.setattr("ta3n.common.device.available_memory", lambda _device: 10_000)
    told = ta3n_train(*line, "--out", tmp_path / "b")
    assert (plain.exit_code, told.exit_code) == (0, 0), told.stderr
    assert "reads its frames from the mapped files" in told.stderr
    assert plain.stdout == told.stdout
    held = ta3n_train(*line, "--out", tmp_path / "c", "--load", "memory")
    assert "mapped files" not in held.stderr


def test_frames_of_segments_cannot_be_drawn(tmp_path: Path) -> None:
    for dataset in ("ucf101", "hmdb51"):
        make_features(tmp_path, dataset, made_clips(dataset))
    done = ta3n_train(
        "--source", "ucf", "--target", "hmdb", "--benchmark", "ucf-hmdb-small", "--features",
        tmp_path, "--out", tmp_path / "runs", "--allow-missing", "--sampling", "random",
    )  # fmt: skip
    assert done.exit_code == 1
    assert "extract with --frames all or every:N" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "runs").exists()


def test_one_process_reads_rows_once(features: Path, tmp_path: Path) -> None:
    cache, made = execution.FeatureCache(), job(features, tmp_path)
    for mapped in (False, True):
        first, again = (
            cache.load(made.target, "train", drawn=True, mapped=mapped) for _ in range(2)
        )
        assert first is again
