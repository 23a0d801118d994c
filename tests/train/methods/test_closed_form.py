"""Rows in closed form run as every other: records, tables, resuming, use on other videos."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ta3n.train.inference.trained import load_run
from ta3n.train.loop.batches import TrainingData
from ta3n.train.loop.closed_form import ClosedFormTrainer
from ta3n.train.methods.closed_form import ABSENT, fit, standardiser
from ta3n.train.methods.registry import METHODS, method_for, method_of
from ta3n.train.methods.run_settings import RunSettings
from ta3n.train.model.aligned import AlignedModel
from ta3n.train.model.prediction import observe
from ta3n.train.recipe.recipes import OFFICIAL
from ta3n.train.report.write import write_report
from ta3n.train.runs import session
from ta3n.train.runs.records import read_run

from ...support.small_runs import ta3n_train

MakeData = Callable[..., TrainingData]
METHODS_OF_IT = [name for name, method in METHODS.all().items() if method.closed_form]


def line(features: Path, out: Path, *more: object) -> tuple[object, ...]:
    return (
        "--source", "ucf", "--target", "hmdb", "--benchmark", "ucf-hmdb-small", "--features",
        features, "--out", out, "--allow-missing", "--device", "cpu", *more,
    )  # fmt: skip


def only(runs: Path, name: str) -> Path:
    (found,) = runs.glob(f"*/*/{name}-pooling-*/seed-*")
    return found


def trainer(data: TrainingData, method: str, num_classes: int = 3) -> ClosedFormTrainer:
    settings = RunSettings(
        method=method_for(method, "pooling"),
        recipe=OFFICIAL,
        weights={},
        num_classes=num_classes,
        seed=0,
    ).as_usual()
    return ClosedFormTrainer(settings, data)


def test_all_of_them_are_known() -> None:
    kinds = ("coral-whitening", "gfk", "sa", "unadapted")
    assert sorted(METHODS_OF_IT) == [f"{kind}-{how}" for kind in kinds for how in ("nn", "svm")]


@pytest.mark.parametrize("method", METHODS_OF_IT)
def test_a_run_has_the_ordinary_folder_and_can_be_used(
    features: Path, tmp_path: Path, method: str
) -> None:
    result = ta3n_train(*line(features, tmp_path, "--method", method, "--seeds", "5"))
    assert result.exit_code == 0, result.stderr
    assert "the same whatever the seed, so one is run" in result.stderr
    run = read_run(only(tmp_path, method))
    assert len(run.epochs) == 1
    assert run.config.label == METHODS.find(method).label
    assert run.epochs[0]["validators"]
    files = {path.name for path in run.path.iterdir()}
    assert files == {
        "config.json", "environment.json", "metrics.jsonl", "predictions.csv", "result.json",
        "weights.pt",
    }  # fmt: skip
    trained = load_run(run.path, device="cpu")
    assert trained.classes
    evaluated = ta3n_train(
        "--evaluate", run.path, "--target", "hmdb", "--features", features, "--allow-missing",
        "--device", "cpu",
    )  # fmt: skip
    assert evaluated.exit_code == 0, evaluated.stderr
    assert f"{run.result.rules['last'].percent:.2f}" in evaluated.stdout
    again = ta3n_train(*line(features, tmp_path, "--method", method))
    assert again.exit_code == 0
    assert "1 of 1 seeds are done" in again.stderr


def test_rows_of_table_two_run_and_stand_in_a_report(features: Path, tmp_path: Path) -> None:
    rows = ("--rows", "table2/sa-svm,table2/gfk-svm,table2/source-only", "--epochs", "2")
    result = ta3n_train(*line(features, tmp_path / "runs", *rows, "--seeds", "2", "--jobs", "2"))
    assert result.exit_code == 0, result.stderr
    report = write_report(
        [tmp_path / "runs"], tmp_path / "report", features=features, command="x", pictures=True
    )
    (table,) = [path for path in report.tables if path.name == "table2.csv"]
    with table.open(newline="") as file:
        ran = {row["row"]: row for row in csv.DictReader(file) if row["recipe"]}
    assert list(ran) == ["AMLS (GFK)", "AMLS (SA)", "TemPooling"]
    assert ran["AMLS (SA)"]["paper_percent"] == "90.25"
    assert ran["AMLS (SA)"]["recipe"] == "official"
    text = report.page.read_text()
    assert "not the authors" in text


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--method", "sa-nn", "--temporal", "relation"), "no temporal module but pooling"),
        (("--method", "sa-nn", "--add", "dan"), "it takes no terms"),
        (("--method", "dan", "--add", "sa-nn"), "it adds no terms to dan"),
        (("--method", "sa-nn", "--entropy", "target"), "it takes no terms"),
        (("--method", "sa-nn", "--weight", "alpha=1"), "no term of sa-nn has the weight alpha"),
    ],
)
def test_what_it_cannot_do_is_told_in_one_line(
    features: Path, tmp_path: Path, more: tuple[str, ...], message: str
) -> None:
    result = ta3n_train(*line(features, tmp_path, *more))
    assert result.exit_code == 2
    (last,) = result.stderr.strip().splitlines()[-1:]
    assert message in last


def test_a_run_that_was_saved_is_finished_and_not_fitted_again(
    features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(session.SeedRun, "finish", interrupted)
        result = ta3n_train(*line(features, tmp_path, "--method", "sa-svm"))
        assert result.exit_code == 75, result.stderr
    whole = ta3n_train(*line(features, tmp_path / "whole", "--method", "sa-svm"))
    assert whole.exit_code == 0
    folder = only(tmp_path, "sa-svm")
    has_checkpoint = (folder / "checkpoint.pt").exists()
    with monkeypatch.context() as patch:
        if has_checkpoint:
            patch.setattr(ClosedFormTrainer, "_fit", interrupted)
        result = ta3n_train(*line(features, tmp_path, "--method", "sa-svm"))
    assert result.exit_code == 0, result.stderr
    theirs = only(tmp_path / "whole", "sa-svm")
    for name in ("metrics.jsonl", "predictions.csv"):
        assert (folder / name).read_bytes() == (theirs / name).read_bytes()
    ours, other = (
        torch.load(path / "weights.pt", weights_only=True)["epochs"][1] for path in (folder, theirs)
    )
    assert ours.keys() == other.keys()
    assert all(torch.equal(ours[name], other[name]) for name in ours)


def test_its_name_is_part_of_what_a_run_is() -> None:
    settings = [trainer_settings(name).identity() for name in METHODS_OF_IT]
    assert len({json.dumps(identity) for identity in settings}) == len(METHODS_OF_IT)
    method = METHODS.find("gfk-nn")
    assert method_of(method.record()) == method
    assert "closed_form" not in METHODS.find("dan").record()


def trainer_settings(method: str, **recipe: Any) -> RunSettings:
    from dataclasses import replace

    return RunSettings(
        method=METHODS.find(method),
        recipe=replace(OFFICIAL, **recipe),
        weights={},
        num_classes=3,
        seed=0,
    )


def test_a_recipe_changes_nothing_but_the_frames() -> None:
    ours = trainer_settings("sa-nn", learning_rate=0.5, epochs=7).as_usual()
    assert ours == trainer_settings("sa-nn").as_usual()
    assert ours.recipe.epochs == 1
    assert trainer_settings("sa-nn", num_segments=3).identity() != ours.identity()


@pytest.mark.parametrize("method", METHODS_OF_IT)
def test_separable_classes_are_told(make_data: MakeData, method: str) -> None:
    data = make_data(num_source=30, num_target=22)
    run = trainer(data, method)
    (record,) = run.epochs()
    assert record.losses["total"] == 0
    assert data.target_features is not None
    told = observe(run.model, data.target_features).logits.argmax(dim=1)
    assert told.tolist() == [place % 3 for place in range(22)]
    assert list(run.epochs()) == []


@pytest.mark.parametrize("method", METHODS_OF_IT)
@pytest.mark.parametrize(("n", "m"), [(1, 1), (2, 5), (6, 2)])
def test_few_or_equal_videos_are_finite(make_data: MakeData, method: str, n: int, m: int) -> None:
    data = make_data(num_source=n, num_target=m)
    equal = TrainingData(
        source_features=torch.ones_like(data.source_features),
        source_labels=data.source_labels,
        target_features=torch.ones(m, *data.source_features.shape[1:]),
    )
    for each in (data, equal):
        run = trainer(each, method, num_classes=4)
        list(run.epochs())
        assert each.target_features is not None
        logits = observe(run.model, each.target_features).logits
        assert logits.isfinite().all()
        # No source video is of the last class, so no target video is told to be.
        assert (logits[:, 3] <= ABSENT).all()
        assert (logits.argmax(dim=1) < 3).all()


def test_the_nearest_is_that_of_a_brute_force_search() -> None:
    rng = np.random.default_rng(3)
    source, target = rng.normal(size=(20, 6)), rng.normal(size=(9, 6))
    labels = np.arange(20) % 4
    form = METHODS.find("unadapted-nn").closed_form
    assert form is not None
    model = AlignedModel.of(fit(form, source, labels, target, 4), 4)
    told = observe(model, torch.as_tensor(target)[:, None].repeat(1, 5, 1)).logits
    scaled = [(each - source.mean(axis=0)) / source.std(axis=0) for each in (source, target)]
    for row, video in zip(told, scaled[1], strict=True):
        squared = ((scaled[0] - video) ** 2).sum(axis=1)
        expected = [-squared[labels == number].min() for number in range(4)]
        torch.testing.assert_close(row, torch.tensor(expected).float(), rtol=1e-4, atol=1e-4)


def test_a_plugin_of_ones_own_is_a_row_too(features: Path, tmp_path: Path) -> None:
    from ...support.plugins import forgotten_afterwards

    (tmp_path / "own.py").write_text(
        "from ta3n.train.methods.base import Method\n"
        "from ta3n.train.methods.closed_form import ClosedForm\n"
        "from ta3n.train.methods.registry import register_method\n"
        "form = ClosedForm(name='own', align=lambda domains: (None, None), classifier='nearest')\n"
        "register_method(Method(name='own', temporal='pooling', closed_form=form))\n"
    )
    with forgotten_afterwards():
        more = ("--plugin", tmp_path / "own.py", "--method", "own")
        result = ta3n_train(*line(features, tmp_path / "runs", *more))
        assert result.exit_code == 0, result.stderr
        run = read_run(only(tmp_path / "runs", "own"))
        assert list(run.config.settings["plugins"]) == [str(tmp_path / "own.py")]


def test_a_feature_that_is_constant_but_for_rounding_is_not_blown_up() -> None:
    constant = np.full((97, 1), np.float32(0.1)).astype(np.float64) * 11.3
    assert constant.std() > 0
    standardise = standardiser(constant)
    assert standardise(constant + 1.0) == pytest.approx(1.0)
