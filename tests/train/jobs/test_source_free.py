"""A finished model is adapted to the target with no file of the source."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import Result

from ta3n.train.loop.engine import Trainer
from ta3n.train.report.write import write_report
from ta3n.train.runs.records import read_run

from ...support.feature_folders import made_clips, make_features
from ...support.small_runs import ta3n_train

Weights = dict[str, torch.Tensor]


class Adapted:
    """Features of both domains, finished source-only runs, and SHOT from them."""

    def __init__(self, folder: Path) -> None:
        self.features, self.runs = folder / "features", folder / "runs"
        self.target_only = folder / "target-only"
        for seed, dataset in enumerate(("ucf101", "hmdb51")):
            make_features(self.features, dataset, made_clips(dataset), seed=seed)
        shutil.copytree(self.features / "hmdb51", self.target_only / "hmdb51")
        pair = ("--source", "ucf", "--target", "hmdb")
        done = self.train(*pair, "--method", "source-only", "--seeds", 3, features=self.features)
        assert done.exit_code == 0, done.stderr
        self.source_model = self.run("source-only").parent

    def train(self, *more: object, out: Path | None = None, features: Path | None = None) -> Result:
        return ta3n_train(
            "--benchmark", "ucf-hmdb-small", "--features", features or self.target_only,
            "--out", out or self.runs, "--epochs", 3, "--batch-size", 10, "--allow-missing",
            "--device", "cpu", *more,
        )  # fmt: skip

    def run(self, name: str, seed: int = 0, runs: Path | None = None) -> Path:
        (found,) = (runs or self.runs).glob(f"*/*/{name}-relation-*/seed-{seed}")
        return found


@pytest.fixture(scope="module")
def adapted(tmp_path_factory: pytest.TempPathFactory) -> Adapted:
    """Return SHOT of two seeds, each from its own source model."""
    it = Adapted(tmp_path_factory.mktemp("adapted"))
    done = it.train("--init-from", it.source_model, "--source-free", "--seeds", 2)
    assert done.exit_code == 0, done.stderr
    return it


def weights_of(folder: Path) -> Weights:
    kept: Any = torch.load(folder / "weights.pt", weights_only=True)
    weights: Weights = kept["epochs"][kept["rules"]["last"]]
    return weights


def test_only_the_classifier_stays_that_of_the_source_model(adapted: Adapted) -> None:
    for seed in (0, 1):
        before, after = (weights_of(adapted.run(m, seed)) for m in ("source-only", "shot"))
        for name, value in before.items():
            stays = name.startswith("video_classifier") or "discriminator" in name
            assert torch.equal(value, after[name]) == stays, name


def test_the_record_tells_where_it_started_and_that_it_saw_the_target_alone(
    adapted: Adapted,
) -> None:
    run = read_run(adapted.run("shot"))
    assert (run.config.source, run.config.target) == ("ucf101", "hmdb51")
    assert run.config.settings["init_from"]["method"] == "source-only"
    assert run.config.settings["recipe"]["learning_rate"] == pytest.approx(0.003)
    assert list(run.result.coverage) == ["target"]
    assert set(run.epochs[0]["losses"]) == {"centroid_labels", "information_shot", "total"}
    source = read_run(adapted.run("source-only"))
    for key in ("manifests", "videos", "features"):
        assert run.config.data[key] == source.config.data[key]


def test_an_interrupted_run_goes_on_to_the_bit(
    adapted: Adapted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = ("--init-from", adapted.source_model / "seed-0", "--source-free")
    begin = Trainer.begin_epoch

    def interrupted(trainer: Trainer) -> Any:
        if trainer.epoch == 2:
            raise KeyboardInterrupt
        return begin(trainer)

    monkeypatch.setattr(Trainer, "begin_epoch", interrupted)
    assert adapted.train(*line, out=tmp_path).exit_code == 75
    monkeypatch.setattr(Trainer, "begin_epoch", begin)
    done = adapted.train(*line, out=tmp_path)
    assert done.exit_code == 0, done.stderr
    assert "goes on after epoch 2" in done.stderr
    ours, theirs = weights_of(adapted.run("shot", runs=tmp_path)), weights_of(adapted.run("shot"))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize("way", [("--stack", "on"), ("--jobs", 2)])
def test_seeds_are_stacked_and_side_by_side(
    adapted: Adapted, tmp_path: Path, way: tuple[object, ...]
) -> None:
    line = ("--init-from", adapted.source_model, "--source-free", "--seeds", 2, *way)
    done = adapted.train(*line, out=tmp_path)
    assert done.exit_code == 0, done.stderr
    for seed in (0, 1):
        ours = weights_of(adapted.run("shot", seed, tmp_path))
        for name, value in weights_of(adapted.run("shot", seed)).items():
            torch.testing.assert_close(ours[name], value, rtol=1e-4, atol=1e-6)


def test_all_seeds_may_start_from_one_run_and_that_is_another_configuration(
    adapted: Adapted, tmp_path: Path
) -> None:
    line = ("--init-from", adapted.source_model / "seed-2", "--source-free", "--seeds", 2)
    done = adapted.train(*line, out=tmp_path)
    assert done.exit_code == 0, done.stderr
    heads = [
        weights_of(adapted.run("shot", seed, tmp_path))["video_classifier.weight"]
        for seed in (0, 1)
    ]
    assert torch.equal(heads[0], heads[1])
    (theirs,) = {read_run(adapted.run("shot", seed)).config.hash for seed in (0, 1)}
    assert read_run(adapted.run("shot", 0, tmp_path)).config.hash != theirs


def test_any_objective_of_the_target_alone_can_be_source_free(
    adapted: Adapted, tmp_path: Path
) -> None:
    line = ("--init-from", adapted.source_model, "--source-free", "--method", "im")
    done = adapted.train(*line, out=tmp_path)
    assert done.exit_code == 0, done.stderr
    run = read_run(adapted.run("im-source-free", runs=tmp_path))
    assert run.config.label == "IM (source-free)"
    assert set(run.epochs[0]["losses"]) == {"information", "total"}


def test_the_setting_of_atcon_goes_without_a_source_too(adapted: Adapted, tmp_path: Path) -> None:
    line = ("--init-from", adapted.source_model, "--source-free", "--method", "shot-atcon")
    done = adapted.train(*line, "--seeds", 2, "--stack", "on", out=tmp_path)
    assert done.exit_code == 0, done.stderr
    run = read_run(adapted.run("shot-atcon", runs=tmp_path))
    assert run.config.settings["weights"]["im_atcon"] == 0.5
    assert run.epochs[-1]["losses"]["batch_labels"] < run.epochs[0]["losses"]["batch_labels"]


@pytest.mark.parametrize("method", ["aad", "atdoc-na"])
def test_a_memory_of_the_target_stacks_and_needs_no_source(
    adapted: Adapted, tmp_path: Path, method: str
) -> None:
    line = ("--init-from", adapted.source_model, "--source-free", "--method", method, "--seeds", 2)
    for way in ("off", "on"):
        done = adapted.train(*line, "--stack", way, out=tmp_path / way)
        assert done.exit_code == 0, done.stderr
    name = method if method == "aad" else f"{method}-source-free"
    for seed in (0, 1):
        ours, theirs = (
            weights_of(adapted.run(name, seed, tmp_path / way)) for way in ("on", "off")
        )
        for key, value in ours.items():
            torch.testing.assert_close(value, theirs[key], rtol=1e-4, atol=1e-6)


def test_a_run_with_its_source_may_start_from_another_too(adapted: Adapted, tmp_path: Path) -> None:
    line = ("--init-from", adapted.source_model, "--method", "dan", "--learning-rate", 1e-12)
    done = adapted.train(*line, out=tmp_path, features=adapted.features)
    assert done.exit_code == 0, done.stderr
    ours = weights_of(adapted.run("dan", runs=tmp_path))
    for name, value in weights_of(adapted.run("source-only")).items():
        torch.testing.assert_close(ours[name], value, rtol=0, atol=1e-6)


def test_it_stands_in_a_report(adapted: Adapted, tmp_path: Path) -> None:
    report = write_report([adapted.runs], tmp_path, features=None, command="x", pictures=True)
    (direction,) = report.contents.runs.directions
    assert "SHOT, relation" in [row.label for row in direction.rows]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--source-free",), "no pair of datasets"),
        (
            ("--source", "ucf", "--target", "hmdb", "--method", "shot"),
            "shot adapts a model without its source; name the finished run by --init-from RUN",
        ),
        (("--init-from", "RUNS", "--source-free", "--method", "dan"), "DAN needs source videos"),
        (
            ("--init-from", "RUNS", "--source-free", "--method", "source-only"),
            "nothing to minimise without source labels",
        ),
        (
            ("--init-from", "RUNS", "--source-free", "--method", "sa-nn"),
            "sa-nn is a closed form, which starts from no other run; leave out --init-from",
        ),
        (("--init-from", "RUNS", "--source-free", "--seeds", "2-4"), "no run of seed 3"),
        (
            ("--init-from", "RUNS", "--source-free", "--segments", 3),
            "train with --segments 5",
        ),
        (
            ("--init-from", "RUNS", "--source-free", "--temporal", "pooling"),
            "was trained with --temporal relation, this run has pooling",
        ),
        (("--init-from", "RUNS", "--attention", "domain", "--source-free"), "needs source videos"),
        (("--init-from", "RUNS", "--source", "hmdb", "--target", "ucf"), "was trained on ucf101"),
        (("--init-from", "nowhere", "--source-free"), "no run in nowhere"),
    ],
)
def test_mistakes_are_told_in_one_line(
    adapted: Adapted, tmp_path: Path, more: tuple[object, ...], message: str
) -> None:
    given = [adapted.source_model if part == "RUNS" else part for part in more]
    done = adapted.train(*given, out=tmp_path, features=adapted.features)
    assert done.exit_code in (1, 2), done.stderr
    (line,) = done.stderr.strip().splitlines()[-1:]
    assert message in line
    assert not list(tmp_path.iterdir())


def test_a_model_with_attention_is_not_taken_for_one_without(
    adapted: Adapted, tmp_path: Path
) -> None:
    pair = ("--source", "ucf", "--target", "hmdb", "--method", "ta3n")
    assert adapted.train(*pair, out=tmp_path, features=adapted.features).exit_code == 0
    done = adapted.train("--init-from", adapted.run("ta3n", runs=tmp_path), "--source-free")
    assert done.exit_code == 2
    assert "has the attention domain, shot none" in done.stderr


def test_a_run_that_is_not_finished_is_no_start(adapted: Adapted, tmp_path: Path) -> None:
    run = tmp_path / "seed-0"
    shutil.copytree(adapted.run("source-only"), run)
    (run / "result.json").unlink()
    done = adapted.train("--init-from", run, "--source-free")
    assert done.exit_code == 1
    assert "is not finished" in done.stderr


@pytest.mark.parametrize("method", ["mean-teacher", "flexmatch+uda", "shot+pseudo-label"])
def test_whatever_looks_at_the_target_alone_needs_no_source(
    adapted: Adapted, tmp_path: Path, method: str
) -> None:
    start = ("--init-from", adapted.source_model / "seed-0", "--source-free", "--method", method)
    done = adapted.train(*start, out=tmp_path)
    assert done.exit_code == 0, done.stderr
