"""If this breaks, a run trains something else than was asked for, or cannot be gone on with."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ta3n.common.errors import (
    DataConflictError,
    DataMissingError,
    FeatureStoreError,
    UsageError,
)
from ta3n.train.jobs import job as jobs_module
from ta3n.train.jobs.job import TrainingJob, log_data, prepare_jobs
from ta3n.train.runs import session

from ...support.feature_folders import MadeClip, made_clips, make_features
from ...support.small_runs import run_job, small_settings, with_settings


def job(features: Path, out: Path, **changes: Any) -> TrainingJob:
    changes = {"benchmark": "ucf-hmdb-small", "epochs": 4, **changes}
    (job,) = prepare_jobs("ucf", "hmdb", small_settings(features, out, **changes))
    return job


def read_metrics(job: TrainingJob, seed: int = 0) -> list[dict[str, Any]]:
    lines = (job.folder(seed).path / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize(
    ("method", "temporal"),
    [
        ("source-only", "pooling"),
        ("target-only", "relation"),
        ("revgrad", "pooling"),
        ("revgrad", "relation"),
        ("ta2n", "relation"),
        ("ta3n", "relation"),
    ],
)
def test_every_method_trains_to_a_complete_run_folder(
    features: Path, tmp_path: Path, method: str, temporal: str
) -> None:
    it = job(features, tmp_path, method=method, temporal=temporal, seeds="2")
    results = run_job(it)
    assert [result.seed for result in results] == [0, 1]
    for result in results:
        assert result.rules["last"].total == 15
        assert result.rules["oracle"].correct >= result.rules["last"].correct
        assert result.coverage["source"] == (30, 30)
        assert ("target" in result.coverage) == (method in ("revgrad", "ta2n", "ta3n"))
        # Four evaluations of 15 videos, and once for the table of predictions.
        assert result.target_label_reads == 5 * 15
        path = it.folder(result.seed).path
        assert sorted(p.name for p in path.iterdir()) == [
            "config.json",
            "environment.json",
            "metrics.jsonl",
            "predictions.csv",
            "result.json",
            "weights.pt",
        ]
        metrics = read_metrics(it, result.seed)
        assert [line["epoch"] for line in metrics] == [1, 2, 3, 4]
        assert metrics[-1]["target_correct"] == result.rules["last"].correct
        with (path / "predictions.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        hits = sum(row["label"] == row["last"] for row in rows)
        assert (len(rows), hits) == (15, result.rules["last"].correct)


def test_separable_domains_are_learned(features: Path, tmp_path: Path) -> None:
    (result,) = run_job(job(features, tmp_path, method="target-only", epochs=60))
    assert result.rules["last"].correct >= 13


def test_second_call_trains_nothing(
    features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run_job(job(features, tmp_path))
    monkeypatch.setattr(session, "run_seed", lambda *_: pytest.fail("trained again"))
    assert run_job(job(features, tmp_path)) == first


def test_more_seeds_add_to_those_that_are_done(features: Path, tmp_path: Path) -> None:
    (first,) = run_job(job(features, tmp_path))
    again, second = run_job(job(features, tmp_path, seeds="2"))
    assert again == first
    assert second.seed == 1


def test_interrupted_run_goes_on_to_the_same_end(
    features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run_job(job(features, tmp_path / "a"))
    monkeypatch.setattr(session, "_SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    save = session.SeedRun.save
    saved: list[int] = []

    def save_twice_then_die(run: session.SeedRun) -> None:
        save(run)
        saved.append(1)
        if len(saved) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(session.SeedRun, "save", save_twice_then_die)
    with pytest.raises(KeyboardInterrupt):
        run_job(job(features, tmp_path / "b"))
    monkeypatch.undo()
    assert job(features, tmp_path / "b").folder(0).read_result() is None
    assert run_job(job(features, tmp_path / "b")) == whole
    one, two = (job(features, tmp_path / name) for name in "ab")
    for name in ("metrics.jsonl", "predictions.csv", "weights.pt"):
        first, second = (it.folder(0).path / name for it in (one, two))
        assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("content", [b"half a file", b"", b"PK\x03\x04", bytes(99), b"\x80\x02."])
def test_damaged_checkpoint_is_named(features: Path, tmp_path: Path, content: bytes) -> None:
    it = job(features, tmp_path)
    it.folder(0).write_start(it.config, 0)
    it.folder(0).checkpoint.write_bytes(content)
    with pytest.raises(FeatureStoreError, match=r"checkpoint\.pt is damaged") as caught:
        run_job(it)
    assert str(caught.value).endswith("; remove it to train this seed afresh")
    # Torch's own reason is a page of advice.
    assert "PyTorch 2.6" not in str(caught.value)


def test_checkpoint_that_cannot_be_read_now_is_not_said_to_be_damaged(
    features: Path, tmp_path: Path
) -> None:
    it = job(features, tmp_path)
    it.folder(0).write_start(it.config, 0)
    it.folder(0).checkpoint.mkdir()
    with pytest.raises(IsADirectoryError):
        run_job(it)


def test_settings_reach_the_run_and_its_record(features: Path, tmp_path: Path) -> None:
    it = job(
        features, tmp_path, learning_rate=0.01, beta_relation=-1, gamma=0.5, segments=5, epochs=1
    )
    assert it.run.recipe.learning_rate == 0.01
    assert it.run.recipe.source_batch == 10
    assert it.run.weights["beta_relation"] == -1
    assert it.run.weights["beta_video"] == 0.75
    run_job(it)
    record = json.loads((it.folder(0).path / "config.json").read_text())
    assert record["settings"]["recipe"]["learning_rate"] == 0.01
    assert record["settings"]["weights"]["gamma"] == 0.5
    assert record["data"]["videos"]["hmdb51"] == {"train": 30, "val": 15}
    assert record["hash"] == it.config.hash


def test_target_validation_labels_never_reach_the_weights(features: Path, tmp_path: Path) -> None:
    """Other target labels give another score, and the same weights to the bit."""
    it = job(features, tmp_path / "a", epochs=10)
    shuffled = replace(
        with_settings(it, out=tmp_path / "b"),
        target=replace(
            it.target,
            val=tuple(replace(video, label=(video.labels[0] + 1) % 5) for video in it.target.val),
            train=tuple(
                replace(video, label=(video.labels[0] + 2) % 5) for video in it.target.train
            ),
        ),
    )
    first, second = run_job(it), run_job(shuffled)
    kept = [torch.load(j.folder(0).weights, weights_only=True) for j in (it, shuffled)]
    weights = [each["epochs"][each["rules"]["last"]] for each in kept]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    assert first != second


def test_domain_without_videos_is_told(tmp_path: Path) -> None:
    make_features(tmp_path, "ucf101", made_clips("ucf101"))
    only_train = [MadeClip(class_name="golf", number=0, role="train")]
    make_features(tmp_path, "hmdb51", only_train)
    with pytest.raises(DataMissingError, match="no val videos of hmdb51"):
        job(tmp_path, tmp_path)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"temporal": "pooling"}, UsageError, "choose the temporal module relation"),
        ({"benchmark": "ucf-olympic"}, UsageError, "does not hold"),
        ({"segments": 7}, DataConflictError, "holds only frames segments:5"),
        ({"allow_missing": False}, DataMissingError, "--allow-missing"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_written(
    features: Path, tmp_path: Path, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        job(features, tmp_path, **changes)
    assert not list(tmp_path.iterdir())


def test_classes_that_are_not_tested_are_refused_or_in_the_record(tmp_path: Path) -> None:
    for name in ("ucf101", "hmdb51"):
        # The source may lack them: nothing is told of it.
        gone = {"Biking", "ride_bike"}
        clips = [c for c in made_clips(name) if c.role == "train" or c.class_name not in gone]
        make_features(tmp_path, name, clips)
    with pytest.raises(DataMissingError):
        job(tmp_path, tmp_path / "runs", allow_missing=False)
    it = job(tmp_path, tmp_path / "runs")
    run_job(it)
    record = json.loads((it.folder(0).path / "config.json").read_text())
    assert record["settings"]["untested_classes"] == ["ride_bike"]


def test_label_free_rules_look_at_training_videos_or_at_those_tested(
    features: Path, tmp_path: Path
) -> None:
    """The weights are the same to the bit; two folders, as the epochs that are chosen are not."""
    on_train, on_val = (job(features, tmp_path, rules_on=part) for part in ("train", "val"))
    (ours,), (theirs,) = run_job(on_train), run_job(on_val)
    assert on_train.config.settings["rules_on"] == "train"
    assert on_train.config.hash != on_val.config.hash
    # Runs of earlier versions did not tell, and looked at those tested.
    assert "rules_on" not in on_val.config.identity
    assert job(features, tmp_path).config.hash == on_train.config.hash
    assert (ours.rules["last"], ours.rules["oracle"]) == (
        theirs.rules["last"],
        theirs.rules["oracle"],
    )
    for one, other in zip(read_metrics(on_train), read_metrics(on_val), strict=True):
        assert one["losses"] == other["losses"]
        assert one["validators"]["source_val"] == other["validators"]["source_val"]
        assert one["validators"]["im"] != other["validators"]["im"]


@pytest.mark.parametrize("method", ["source-only", "target-only"])
def test_rows_that_do_not_adapt_look_at_the_target_as_well(
    features: Path, tmp_path: Path, method: str
) -> None:
    on_train, on_val = (
        job(features, tmp_path, method=method, temporal="pooling", epochs=2, rules_on=part)
        for part in ("train", "val")
    )
    for each in (on_train, on_val):
        run_job(each)
    pairs = zip(read_metrics(on_train), read_metrics(on_val), strict=True)
    assert all(one["validators"]["im"] != other["validators"]["im"] for one, other in pairs)


def test_a_rule_that_looks_at_some_of_the_target_says_so(
    features: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    log_data([job(features, tmp_path)])
    assert "snd" not in caplog.text
    monkeypatch.setattr(jobs_module, "MOST_COMPARED", 20)
    log_data([job(features, tmp_path, rules_on="val")])
    assert "snd" not in caplog.text
    log_data([job(features, tmp_path)])
    assert "hmdb51: of 30 target videos the rule snd compares 20, drawn with" in caplog.text
