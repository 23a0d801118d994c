"""Several datasets as the source of one run: found, refused, trained, gone on with, evaluated."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import Result

from ta3n.common.errors import UsageError
from ta3n.datasets.benchmarks.registry import BUILT_IN_CATALOGUE
from ta3n.train.jobs.execution import FeatureCache
from ta3n.train.jobs.job import TrainingJob, prepare_jobs
from ta3n.train.loop.engine import Trainer
from ta3n.train.runs.folder import RunConfig
from ta3n.train.runs.records import Run, read_run
from ta3n.train.runs.session import run_seed

from ...support.feature_folders import CLASSES, MadeClip, made_clips, make_features
from ...support.small_runs import run_job, small_settings, ta3n_train

Weights = dict[str, torch.Tensor]
BOTH = "synthetic-a,synthetic-b"
PAIR = ("--source", BOTH, "--target", "synthetic-c")


class Three:
    """Features of three domains, and runs on them."""

    def __init__(self, folder: Path) -> None:
        self.features, self.runs = folder / "features", folder / "runs"
        for seed, domain in enumerate("abc"):
            name = f"synthetic-{domain}"
            make_features(self.features, name, made_clips(name, 3, 1), seed=seed)

    def train(self, *more: object, out: Path | None = None, features: Path | None = None) -> Result:
        return ta3n_train(
            "--features", features or self.features, "--out", out or self.runs, "--epochs", 3,
            "--batch-size", 16, "--device", "cpu", *more,
        )  # fmt: skip

    def done(self, *more: object, out: Path | None = None) -> Result:
        result = self.train(*more, out=out)
        assert result.exit_code == 0, result.stderr
        return result

    def run(self, name: str, seed: int = 0, runs: Path | None = None) -> Path:
        (found,) = (runs or self.runs).glob(f"*/*/{name}-????????/seed-{seed}")
        return found

    def job(self, out: Path, source: str = BOTH, **changes: Any) -> TrainingJob:
        settings = small_settings(self.features, out, batch_size=16, **changes)
        (job,) = prepare_jobs(source, "synthetic-c", settings)
        return job


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Three:
    """Return runs of TA3N from two sources, as one domain and each its own, and source only."""
    it = Three(tmp_path_factory.mktemp("three"))
    it.done(*PAIR, "--method", "ta3n", "--seeds", 2)
    it.done(*PAIR, "--method", "ta3n", "--domains", "each", "--seeds", 2)
    it.done(*PAIR, "--method", "source-only")
    return it


def config_of(three: Three, tmp_path: Path, **changes: Any) -> RunConfig:
    return three.job(tmp_path, **changes).config


def weights_of(folder: Path) -> Weights:
    kept: Any = torch.load(folder / "weights.pt", weights_only=True)
    weights: Weights = kept["epochs"][kept["rules"]["last"]]
    return weights


def equal(ours: Weights, theirs: Weights) -> bool:
    return ours.keys() == theirs.keys() and all(torch.equal(ours[n], theirs[n]) for n in ours)


def test_the_folders_and_records_name_both_sources(three: Three) -> None:
    one, each = (read_run(three.run(f"ta3n-relation-official{more}")) for more in ("", "-each"))
    assert one.path.parents[1].name == "synthetic-a+synthetic-b-synthetic-c"
    for run, domains in ((one, "one"), (each, "each")):
        assert run.config.source == "synthetic-a+synthetic-b"
        assert run.config.sources == ("synthetic-a", "synthetic-b")
        assert run.config.settings["domains"] == domains
        assert set(run.config.data["manifests"]) == {f"synthetic-{x}" for x in "abc"}
        assert {domain: of for domain, (_, of) in run.result.coverage.items()} == {
            "source": 72,
            "target": 36,
        }
    assert "domains" not in one.config.identity
    assert each.config.identity["domains"] == "each"


def test_the_order_of_the_sources_is_no_other_run(three: Three) -> None:
    turned = three.done(
        "--source", "synthetic-b,synthetic-a", "--target", "synthetic-c", "--seeds", 2
    )
    assert "ta3n: 2 of 2 seeds are done" in turned.stderr
    assert "an epoch took" not in turned.stderr


def test_a_run_from_one_source_is_hashed_as_ever(three: Three, tmp_path: Path) -> None:
    config = config_of(three, tmp_path, source="synthetic-a")
    assert not {"sources", "domains"} & {*config.settings, *config.identity}
    assert config.sources == ("synthetic-a",)
    assert config.folder(tmp_path, 0).parents[1].name == "synthetic-a-synthetic-c"


@pytest.mark.parametrize("method", ["source-only", "mcc", "adabn", "supcon", "target-only"])
def test_where_nothing_tells_sources_apart_each_is_the_run_of_one(
    three: Three, tmp_path: Path, method: str
) -> None:
    ours, theirs = (
        config_of(three, tmp_path, method=method, domains=each) for each in ("one", "each")
    )
    assert ours == theirs
    assert "domains" not in ours.settings


def test_that_is_said_in_a_line(three: Three, tmp_path: Path) -> None:
    told = three.done(*PAIR, "--method", "mcc", "--domains", "each", "--epochs", 1, out=tmp_path)
    assert "mcc: the sources are one domain to it" in told.stderr
    told = three.done(
        *PAIR, "--method", "coral+mcc", "--domains", "each", "--epochs", 1, out=tmp_path
    )
    assert "coral+mcc: the sources are told apart by CORAL\n" in told.stderr
    assert "every batch has equal parts of synthetic-a and synthetic-b" in told.stderr


def test_the_loss_weights_are_those_of_one_source(three: Three, tmp_path: Path) -> None:
    ours, theirs = (config_of(three, tmp_path, source=s) for s in (BOTH, "synthetic-a"))
    assert ours.settings["weights"] == theirs.settings["weights"]


def test_a_model_has_a_domain_for_each_and_is_loaded_with_them(three: Three) -> None:
    weights = weights_of(three.run("ta3n-relation-official-each"))
    assert weights["frame_discriminator.output.weight"].shape[0] == 3
    assert weights["encoder.2.discriminator.output.weight"].shape[0] == 3
    one = weights_of(three.run("ta3n-relation-official"))
    assert one["frame_discriminator.output.weight"].shape[0] == 2


@pytest.mark.parametrize("domains", ["one", "each"])
def test_an_interrupted_run_goes_on_to_the_bit(
    three: Three, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, domains: str
) -> None:
    line = (*PAIR, "--domains", domains)
    begin = Trainer.begin_epoch

    def interrupted(trainer: Trainer) -> Any:
        if trainer.epoch == 2:
            raise KeyboardInterrupt
        return begin(trainer)

    monkeypatch.setattr(Trainer, "begin_epoch", interrupted)
    assert three.train(*line, out=tmp_path).exit_code == 75
    monkeypatch.setattr(Trainer, "begin_epoch", begin)
    assert "goes on after epoch 2" in three.done(*line, out=tmp_path).stderr
    name = "ta3n-relation-official" + ("-each" if domains == "each" else "")
    assert equal(weights_of(three.run(name, runs=tmp_path)), weights_of(three.run(name)))


@pytest.mark.parametrize("way", [("--stack", "on"), ("--jobs", 2)])
def test_seeds_are_stacked_and_side_by_side(
    three: Three, tmp_path: Path, way: tuple[object, ...]
) -> None:
    three.done(*PAIR, "--domains", "each", "--seeds", 2, *way, out=tmp_path)
    for seed in (0, 1):
        ours = weights_of(three.run("ta3n-relation-official-each", seed, tmp_path))
        theirs = weights_of(three.run("ta3n-relation-official-each", seed))
        for name, value in theirs.items():
            torch.testing.assert_close(ours[name], value, rtol=1e-4, atol=1e-6)


def test_features_in_memory_and_mapped_are_the_same(three: Three, tmp_path: Path) -> None:
    runs = []
    for load in ("memory", "mapped"):
        three.done(*PAIR, "--load", load, out=tmp_path / load)
        runs.append(weights_of(three.run("ta3n-relation-official", runs=tmp_path / load)))
    assert equal(*runs)
    assert equal(runs[0], weights_of(three.run("ta3n-relation-official")))


def test_frames_are_drawn_of_every_source(tmp_path: Path) -> None:
    features = tmp_path / "features"
    for seed, domain in enumerate("abc"):
        name = f"synthetic-{domain}"
        make_features(features, name, made_clips(name, 2, 1), seed=seed, frames="all")
    runs = []
    for load in ("memory", "mapped"):
        result = ta3n_train(
            *PAIR, "--features", features, "--out", tmp_path / load, "--epochs", 2, "--batch-size",
            8, "--sampling", "random", "--load", load, "--device", "cpu",
        )  # fmt: skip
        assert result.exit_code == 0, result.stderr
        (run,) = (tmp_path / load).glob("*/*/*/seed-0")
        runs.append(weights_of(run))
    assert equal(*runs)


@pytest.mark.parametrize("name", ["synthetic-a", "synthetic-b", "synthetic-c"])
def test_a_run_is_evaluated_on_any_of_its_datasets(three: Three, tmp_path: Path, name: str) -> None:
    run = three.run("ta3n-relation-official-each")
    done = ta3n_train(
        "--evaluate", run, "--target", name, "--features", three.features, "--out", tmp_path
    )
    assert done.exit_code == 0, done.stderr
    (told,) = tmp_path.rglob("*.json")
    figures = json.loads(told.read_text())
    if name == "synthetic-c":
        last = read_run(run).result.rules["last"]
        assert (figures["correct"], figures["total"]) == (last.correct, last.total)
    assert figures["total"] == 12


def test_either_source_is_normalised_as_source(three: Three, tmp_path: Path) -> None:
    from ta3n.train.inference.evaluation import evaluate, load_target
    from ta3n.train.inference.trained import load_run

    three.done(*PAIR, "--method", "adabn", out=tmp_path)
    run = load_run(three.run("adabn-relation-official", runs=tmp_path))
    for name, is_source in (("synthetic-b", True), ("synthetic-c", False)):
        side = load_target(run, three.features, name, allow_missing=False)
        found = evaluate(run, side, "val").logits
        features = FeatureCache().load(side, "val", mapped=False)
        assert torch.equal(found, run.logits(features, are_source=is_source))
        assert not torch.equal(found, run.logits(features, are_source=not is_source))


def test_a_model_of_both_is_adapted_without_any_source_file(three: Three, tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    shutil.copytree(three.features / "synthetic-c", alone / "synthetic-c")
    for name in ("source-only", "ta3n"):
        start = three.run(f"{name}-relation-official{'-each' if name == 'ta3n' else ''}")
        more = ("--attention", "none") if name == "ta3n" else ()
        line = ("--init-from", start, "--source-free", *more)
        result = three.train(*line, out=tmp_path / name, features=alone)
        if name == "ta3n":  # as with one source
            assert "has the attention domain, shot none" in result.stderr
            continue
        assert result.exit_code == 0, result.stderr
        run = read_run(three.run("shot-relation-official", runs=tmp_path / name))
        assert run.config.sources == ("synthetic-a", "synthetic-b")
        assert list(run.result.coverage) == ["target"]
        theirs = read_run(start).config.data
        assert run.config.data["manifests"] == theirs["manifests"]


def test_a_run_may_start_from_one_of_both_and_tell_them_apart(three: Three, tmp_path: Path) -> None:
    start = three.run("source-only-relation-official")
    line = (*PAIR, "--init-from", start, "--method", "ta2n", "--domains", "each")
    three.done(*line, "--learning-rate", 1e-12, out=tmp_path)
    ours = weights_of(three.run("ta2n-relation-official-each", runs=tmp_path))
    theirs = weights_of(start)
    torch.testing.assert_close(ours["frame_fc.weight"], theirs["frame_fc.weight"])
    refused = three.train(
        "--source", "synthetic-a", "--target", "synthetic-c", "--init-from", start, out=tmp_path
    )
    assert "was trained on synthetic-a+synthetic-b" in refused.stderr


def test_the_rules_look_at_what_every_source_holds_out(
    three: Three, tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    job = three.job(tmp_path)
    seen: list[int] = []

    def keep(settings: Any, data: Any, *_: Any, **__: Any) -> Any:
        seen.append(0 if data.held_out is None else len(data.held_out.labels))
        return run_seed(settings, data, job.folder(settings.seed), torch.device("cpu"))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ta3n.train.runs.session.run_seed", keep)
        (result,) = run_job(job)
    assert seen == [24]
    assert "source_val" in result.rules


def test_without_videos_held_out_in_one_source_no_rule_looks_at_the_other(
    three: Three, tmp_path: Path
) -> None:
    features = tmp_path / "features"
    shutil.copytree(three.features, features)
    shutil.rmtree(features / "synthetic-b")
    make_features(features, "synthetic-b", made_clips("synthetic-b", 3, 0))
    result = three.train(*PAIR, "--epochs", 1, out=tmp_path / "runs", features=features)
    assert result.exit_code == 0, result.stderr
    assert "synthetic-b: without held-out videos the rules source_val and dev" in result.stderr
    run = read_run(three.run("ta3n-relation-official", runs=tmp_path / "runs"))
    assert not {"source_val", "dev"} & {*run.result.rules, *run.result.withheld}


@pytest.mark.parametrize("method", ["sa-nn", "gfk-svm", "coral-whitening-svm", "target-only"])
def test_closed_forms_take_the_sources_as_one_set(
    three: Three, tmp_path: Path, method: str
) -> None:
    three.done(*PAIR, "--method", method, out=tmp_path)
    (path,) = tmp_path.glob("*/*/*/seed-0")
    run = read_run(path)
    total = 36 if method == "target-only" else 72
    assert run.result.coverage["source"] == (total, total)


def test_a_grid_may_vary_the_domains(three: Three, tmp_path: Path) -> None:
    grid = tmp_path / "grid.toml"
    grid.write_text('domains = ["one", "each"]\n')
    done = three.done(*PAIR, "--grid", grid, "--epochs", 1, out=tmp_path / "runs")
    assert "--domains" in done.stdout
    assert len(list((tmp_path / "runs").rglob("result.json"))) == 2


def test_all_rows_of_a_call_have_them(three: Three, tmp_path: Path) -> None:
    done = three.done(*PAIR, "--rows", "table3", "--epochs", 1, "--domains", "each", out=tmp_path)
    assert "synthetic-a+synthetic-b → synthetic-c" in done.stdout
    runs = [read_run(path.parent) for path in tmp_path.rglob("result.json")]
    assert {run.config.sources for run in runs} == {("synthetic-a", "synthetic-b")}
    told = {run.config.method: run.config.settings.get("domains") for run in runs}
    assert told["source-only"] is None
    assert told["jan"] == told["revgrad"] == told["ta3n"] == "each"


@pytest.mark.parametrize(
    "more", [("--target-classes", "MoveLeft,Rise"), ("--unknown", "MoveLeft,Rise")]
)
def test_the_target_may_have_other_classes(
    three: Three, tmp_path: Path, more: tuple[str, ...]
) -> None:
    three.done(*PAIR, *more, "--domains", "each", "--epochs", 1, out=tmp_path)
    (path,) = tmp_path.glob("*/*/*/seed-0")
    run = read_run(path)
    is_open = more[0] == "--unknown"
    # Of the open set the sources have lost two of twelve classes; three videos of each are left.
    assert run.result.coverage["source"][1] == (60 if is_open else 72)
    assert run.result.coverage["target"][1] == (36 if is_open else 6)
    assert run.config.sources == ("synthetic-a", "synthetic-b")


def test_what_diverges_is_named_with_its_dataset(three: Three, tmp_path: Path) -> None:
    done = three.train(*PAIR, "--learning-rate", 1e30, out=tmp_path)
    assert done.exit_code == 3, done.stderr
    (record,) = tmp_path.rglob("diverged.json")
    if named := json.loads(record.read_text())["source_videos"]:
        assert {video.partition("/")[0] for video in named} == {"synthetic-a", "synthetic-b"}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            ("--source", "synthetic-a,synthetic-c", "--target", "synthetic-c"),
            "the target is a source: synthetic-c",
        ),
        (
            ("--source", "synthetic-a,synthetic-b,synthetic-a", "--target", "synthetic-c"),
            "synthetic-a is given twice as a source; name each source once",
        ),
        (
            ("--source", "synthetic-a,ucf", "--target", "synthetic-c"),
            "no benchmark holds all of synthetic-a, ucf101 and synthetic-c, whose classes have to "
            "be the same; ucf-hmdb-full holds ucf101, hmdb51; ",
        ),
        (
            ("--source", "synthetic-a", "--target", "synthetic-c", "--domains", "each"),
            "--domains each is for several sources, and there is synthetic-a alone",
        ),
        ((*PAIR, "--batch-size", 1), "give --batch-size 2 at least"),
        (("--source", ",", "--target", "synthetic-c"), "no source"),
    ],
)
def test_mistakes_are_told_in_one_line(
    three: Three, tmp_path: Path, more: tuple[object, ...], message: str
) -> None:
    done = three.train(*more, out=tmp_path)
    assert done.exit_code == 2, done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert message in line
    assert not list(tmp_path.iterdir())


def remade(three: Three, folder: Path, clips: list[MadeClip], **more: Any) -> Path:
    """Return features whose synthetic-b is made of other clips."""
    shutil.copytree(three.features, folder)
    shutil.rmtree(folder / "synthetic-b")
    make_features(folder, "synthetic-b", clips, **more)
    return folder


def test_sources_with_other_features_are_refused(three: Three, tmp_path: Path) -> None:
    clips = made_clips("synthetic-b", 3, 1)
    features = remade(three, tmp_path / "f", clips, backbone="resnet50")
    done = three.train(*PAIR, out=tmp_path / "runs", features=features)
    assert done.exit_code == 1
    assert "backbone is resnet50 in synthetic-b, resnet18 in synthetic-c" in done.stderr


def test_a_class_that_one_source_lacks_is_named_and_learned_from_the_other(
    three: Three, tmp_path: Path
) -> None:
    last = CLASSES["synthetic-b"][-1]
    clips = [c for c in made_clips("synthetic-b", 3, 1) if c.class_name != last]
    features = remade(three, tmp_path / "f", clips)
    done = three.train(*PAIR, out=tmp_path / "runs", features=features)
    assert done.exit_code == 1
    assert "synthetic-b: videos of synthetic are missing" in done.stderr
    done = three.train(*PAIR, "--allow-missing", out=tmp_path / "runs", features=features)
    assert done.exit_code == 0, done.stderr
    assert "synthetic-b has no training videos of " in done.stderr
    assert "which is learned from synthetic-a alone" in done.stderr


def test_videos_in_both_sources_and_uneven_sizes_are_told(three: Three, tmp_path: Path) -> None:
    # The same classes from the same seed: equal to the bit but for the shift of a domain.
    features = remade(three, tmp_path / "f", made_clips("synthetic-b", 12, 1))
    done = three.train(*PAIR, "--epochs", 1, out=tmp_path / "runs", features=features)
    assert (
        "synthetic-b has 144 training videos, synthetic-a 36: both have equal parts of every "
        "batch, so that one of the smaller is seen 4.0 times as often as one of the larger"
    ) in done.stderr
    assert "are in both" not in done.stderr


def test_no_benchmark_is_taken_that_lacks_one_of_the_sources() -> None:
    found = BUILT_IN_CATALOGUE.find_benchmark(["synthetic-c", "synthetic-a"], "synthetic-b")
    assert found.name == "synthetic"
    with pytest.raises(UsageError, match=r"'ucf-olympic' does not hold all of ucf101, hmdb51 and"):
        BUILT_IN_CATALOGUE.find_benchmark(["ucf", "hmdb"], "olympic", "ucf-olympic")


def predictions(run: Run) -> list[dict[str, str]]:
    with (run.path / "predictions.csv").open() as file:
        return list(csv.DictReader(file))


def test_only_target_videos_are_predicted(three: Three) -> None:
    run = read_run(three.run("ta3n-relation-official-each"))
    assert len(predictions(run)) == 12
