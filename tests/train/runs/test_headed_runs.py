"""Runs with several heads: figures of each and of all together, and a target without labels."""

import csv
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ta3n.common.errors import DataMissingError, UsageError
from ta3n.train.inference.evaluation import evaluate, load_target
from ta3n.train.inference.trained import load_run
from ta3n.train.jobs.execution import FeatureCache, load_data
from ta3n.train.jobs.job import prepare_jobs
from ta3n.train.methods.heads import ClassHead
from ta3n.train.runs.floors import floors_of
from ta3n.train.runs.records import Run, read_run
from ta3n.train.runs.session import SeedRun

from ...support.headed_features import make_epic_features
from ...support.small_runs import run_job, small_settings, ta3n_train, train

NUM = 24
SOURCE, TARGET = "epic-source", "epic-target"


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_epic_features(tmp_path_factory.mktemp("epic"), NUM)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


def run_of(features: Path, out: Path, benchmark: str, **changes: Any) -> Run:
    settings = {"recipe": "epic100", "learning_rate": 0.03, "batch_size": 8, **changes}
    (seed,) = train(SOURCE, TARGET, features, out, benchmark=benchmark, **settings).iterdir()
    return read_run(seed)


@pytest.fixture(scope="module")
def tune(features: Path, out: Path) -> Run:
    return run_of(features, out, "epic100-tune", epochs=12)


@pytest.fixture(scope="module")
def final(features: Path, out: Path) -> Run:
    return run_of(features, out, "epic100-final")


def rows_of(run: Run) -> list[Mapping[str, str]]:
    with (run.path / "predictions.csv").open() as file:
        return list(csv.DictReader(file))


def test_the_target_is_tested_on_the_videos_it_was_adapted_to(tune: Run) -> None:
    assert tune.config.data["videos"]["epic100-target"] == {"train": NUM, "val": NUM}
    assert {row["video"] for row in rows_of(tune)} == {f"P02_101_{n}" for n in range(NUM)}


def test_figures_of_each_head_and_of_all_are_those_of_the_predictions(tune: Run) -> None:
    rows = rows_of(tune)
    for rule, chosen in tune.result.rules.items():
        right = {
            head: [row[f"label_{head}"] == row[f"{rule}_{head}"] for row in rows]
            for head in ("verb", "noun")
        }
        assert chosen.by_head == {head: sum(hits) for head, hits in right.items()}
        both = [all(hits) for hits in zip(*right.values(), strict=True)]
        assert (chosen.correct, chosen.total) == (sum(both), NUM)
        assert chosen.percents()["action"] == pytest.approx(100 * sum(both) / NUM)
    best = max(epoch["target_correct"] for epoch in tune.epochs)
    assert tune.result.rules["oracle"].correct == best
    assert best > tune.config.settings["floors"]["tested"]["action"]
    assert tune.result.target_label_reads == 13 * NUM


def test_the_table_tells_heads_action_and_floors(features: Path, tune: Run, out: Path) -> None:
    again = ta3n_train(
        "--source", SOURCE, "--target", TARGET, "--benchmark", "epic100-tune", "--recipe",
        "epic100", "--features", features, "--out", out, "--learning-rate", "0.03",
        "--batch-size", "8", "--epochs", "12", "--device", "cpu", "--seeds", "1,",
    )  # fmt: skip
    assert again.exit_code == 0, again.stderr
    last = tune.result.rules["last"].percents()
    line = next(line for line in again.stdout.splitlines() if "│ last" in line)
    cells = [cell.strip() for cell in line.strip("│").split("│")]
    assert cells[2:5] == [f"{last[name]:.2f}" for name in ("verb", "noun", "action")]
    assert "of the source's training videos: verb 33.33, noun 25.00, action 8.33" in again.stdout
    assert "the very ones that are tested" in again.stdout


def test_floors_say_the_most_frequent_class_of_either_domain() -> None:
    heads = (ClassHead("verb", 3), ClassHead("noun", 3))
    source = [(0, 0), (0, 1), (1, 1), (0, 1)]
    tested = [(1, 1), (1, 1), (0, 2), (0, 1), (1, 2)]
    assert floors_of(source, tested, heads) == {
        "source": {"verb": 2, "noun": 3, "action": 1},
        "tested": {"verb": 3, "noun": 3, "action": 2},
    }
    only_noun = (ClassHead("verb", 3, 0.0), ClassHead("noun", 3))
    assert floors_of((), tested, only_noun) == {"tested": {"noun": 3}}
    assert floors_of(source, (), heads) == {}


def test_an_unlabelled_target_has_no_accuracy_and_no_oracle(final: Run) -> None:
    assert not final.is_labelled
    assert final.accuracies == []
    rules = final.result.rules
    assert "oracle" not in rules
    assert {"last", "im", "entropy", "source_val"} <= rules.keys()
    assert all((rule.correct, rule.total) == (0, 0) for rule in rules.values())
    assert final.result.target_label_reads == 0
    rows = rows_of(final)
    assert {row["video"] for row in rows} == {f"P03_101_{n}" for n in range(NUM)}
    assert {row["label_verb"] for row in rows} == {""}
    assert all(0 <= int(row["last_verb"]) < 97 for row in rows)


def test_tables_of_an_unlabelled_target_say_so(features: Path, final: Run, tmp_path: Path) -> None:
    common = (
        "--source", SOURCE, "--target", TARGET, "--benchmark", "epic100-final", "--features",
        features, "--out", tmp_path, "--batch-size", "8", "--epochs", "2", "--device", "cpu",
    )  # fmt: skip
    one = ta3n_train(*common)
    assert one.exit_code == 0, one.stderr
    assert "the tested videos have no labels: there is no accuracy" in one.stdout
    assert "nan" not in one.stdout + one.stderr
    rows = ta3n_train(*common, "--rows", "table3/ta3n,table3/source-only/relation")
    assert rows.exit_code == 0, rows.stderr
    assert "no labels" in rows.stdout
    grid = tmp_path / "grid.toml"
    grid.write_text("gamma = [0.003, 0.3]\n")
    varied = ta3n_train(*common, "--grid", grid, "--select", "entropy")
    assert varied.exit_code == 0, varied.stderr
    assert "no labels: no oracle" in varied.stdout
    assert "nan" not in varied.stdout


def test_only_the_chosen_heads_are_trained_and_told(features: Path, out: Path, tune: Run) -> None:
    verb = run_of(features, out, "epic100-tune", heads="verb")
    assert verb.config.hash != tune.config.hash
    assert verb.result.rules["last"].by_head.keys() == {"verb"}
    assert {"last_noun", "label_noun"} & rows_of(verb)[0].keys() == {"label_noun"}
    assert all(p.label == p.all_labels[:1] for p in verb.predictions)
    with pytest.raises(UsageError, match="the benchmark has verb, noun"):
        run_of(features, out, "epic100-tune", heads="verb,nuon")


def test_what_is_of_one_heads_classes_is_refused_before_training(
    features: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="MCD is for the classes of one head"):
        run_of(features, tmp_path, "epic100-tune", method="mcd")
    assert not list(tmp_path.iterdir())


def test_nothing_is_learned_from_videos_without_labels(tmp_path: Path) -> None:
    unlabelled = make_epic_features(tmp_path / "features", 6, target_labels=False)
    with pytest.raises(DataMissingError, match="6 train videos of epic100-target have no labels"):
        run_of(unlabelled, tmp_path, "epic100-final", method="target-only")


@pytest.mark.parametrize("stack", ["on", "off"])
def test_runs_that_were_stopped_or_stacked_are_the_same(
    features: Path, tmp_path: Path, stack: str
) -> None:
    settings = {"benchmark": "epic100-tune", "seeds": "2", "batch_size": 8}
    whole = train(SOURCE, TARGET, features, tmp_path / "whole", **settings)
    (job,) = prepare_jobs(
        SOURCE, TARGET, small_settings(features, tmp_path / "cut", stack=stack, **settings)
    )
    if stack == "off":
        device = torch.device("cpu")
        data = load_data(job, FeatureCache(), mapped=False)
        job.folder(0).write_start(job.config, 0)
        first = SeedRun(replace(job.run, seed=0), data.to(device), job.folder(0), device)
        first.note(next(iter(first.trainer.epochs())))
        first.save()
    run_job(job)
    for seed in (0, 1):
        ours, theirs = read_run(job.folder(seed).path), read_run(whole / f"seed-{seed}")
        assert ours.predictions == theirs.predictions
        assert ours.result.rules == theirs.result.rules


def test_a_trained_run_is_evaluated_by_head(features: Path, tune: Run, out: Path) -> None:
    run = load_run(tune.path, device="cpu")
    assert [(head.name, head.num_classes) for head in run.heads] == [("verb", 97), ("noun", 300)]
    target = load_target(run, features, TARGET, allow_missing=False)
    found = evaluate(run, target, "val")
    last = tune.result.rules["last"]
    assert {head: found.correct(head=head) for head in found.heads} == last.by_head
    assert found.correct() == last.correct
    assert sum(correct for _, correct, _ in found.by_class()) == sum(last.by_head.values())
    probabilities = run.predict_features(np.zeros((2, 5, 8), np.float32))
    assert probabilities.shape == (2, 397)
    np.testing.assert_allclose(probabilities[:, :97].sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(probabilities[:, 97:].sum(axis=1), 1, rtol=1e-5)
    told = ta3n_train(
        "--evaluate", tune.path, "--target", TARGET, "--features", features, "--out", out / "e",
        "--device", "cpu",
    )  # fmt: skip
    assert told.exit_code == 0, told.stderr
    assert "action top-1" in told.stdout
    (figures,) = (out / "e").glob("*.json")
    assert json.loads(figures.read_text())["heads"]["verb"]["correct"] == last.by_head["verb"]


def test_an_unlabelled_target_is_evaluated_without_figures(
    features: Path, final: Run, tmp_path: Path
) -> None:
    told = ta3n_train(
        "--evaluate", final.path, "--target", TARGET, "--features", features, "--out", tmp_path,
        "--device", "cpu",
    )  # fmt: skip
    assert told.exit_code == 0, told.stderr
    assert "there is no accuracy" in told.stdout
    (figures,) = tmp_path.glob("*.json")
    assert json.loads(figures.read_text())["total"] == 0
