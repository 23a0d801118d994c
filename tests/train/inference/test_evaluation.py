"""If this breaks, a run evaluated again gives another accuracy than the one it reported."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from ta3n.common.errors import DataConflictError, UsageError
from ta3n.datasets.published.registry import PUBLISHED
from ta3n.train import load_run
from ta3n.train.data.features import load_part
from ta3n.train.inference.evaluation import evaluate, load_target
from ta3n.train.model.model import TA3N
from ta3n.train.runs import session
from ta3n.train.runs.selection import KEPT_WEIGHTS, LAST

from ...support.feature_folders import CLASSES, made_clips, make_features
from ...support.small_runs import ta3n_train, train


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, features: Path) -> Path:
    out = tmp_path_factory.mktemp("runs")
    return train("ucf", "hmdb", features, out, benchmark="ucf-hmdb-small", seeds="2")


@pytest.fixture
def seed_0(runs: Path, tmp_path: Path) -> Path:
    """Return a copy of a run, to be damaged."""
    return Path(shutil.copytree(runs / "seed-0", tmp_path / "copied"))


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("rule", KEPT_WEIGHTS)
def test_own_target_gives_the_figures_of_the_run(
    features: Path, runs: Path, tmp_path: Path, rule: str
) -> None:
    result = ta3n_train(
        "--evaluate", runs / "seed-1", "--target", "hmdb", "--features", features,
        "--rule", rule, "--allow-missing", "--device", "cpu", "--out", tmp_path, "--top-k", 2,
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    name = f"evaluation-hmdb51-val-{rule}"
    figures = json.loads((tmp_path / f"{name}.json").read_text())
    recorded = json.loads((runs / "seed-1" / "result.json").read_text())["rules"][rule]
    assert {k: figures[k] for k in ("epoch", "correct", "total")} == {
        k: recorded[k] for k in ("epoch", "correct", "total")
    }
    assert f"{recorded['correct']} of {recorded['total']}" in result.stdout
    assert sum(each["correct"] for each in figures["classes"]) == figures["correct"]
    shares = [100 * c["correct"] / c["total"] for c in figures["classes"] if c["total"]]
    mean_class = pytest.approx(sum(shares) / len(shares))
    assert figures["mean_class_percent"] == recorded["mean_class"] == mean_class
    assert f"│ mean of classes │ 1 │ {figures['mean_class_percent']:.2f}" in " ".join(
        result.stdout.split()
    )
    assert figures["correct"] <= figures["correct_top_k"] <= figures["total"]
    ours = rows_of(tmp_path / f"{name}.csv")
    theirs = rows_of(runs / "seed-1" / "predictions.csv")
    assert [(r["video"], r["label"], r["predicted"]) for r in ours] == [
        (r["video"], r["label"], r[rule]) for r in theirs
    ]
    if rule == LAST:
        likeliest = [max(float(v) for k, v in r.items() if "probability" in k) for r in ours]
        assert likeliest == [float(r["last_probability"]) for r in theirs]


@pytest.mark.parametrize("version", ["this", "0.1"])
def test_weights_are_found_in_a_checkpoint_too(
    features: Path, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    """Of a run in progress; one of version 0.1 has it when finished, without its last as a rule."""

    def stop(run: session.SeedRun, _: float) -> None:
        run.save()
        raise KeyboardInterrupt

    monkeypatch.setattr(session.SeedRun, "finish", stop)
    with pytest.raises(KeyboardInterrupt):
        train("ucf", "hmdb", features, tmp_path, benchmark="ucf-hmdb-small")
    (checkpoint,) = tmp_path.rglob("checkpoint.pt")
    if version == "0.1":
        state = torch.load(checkpoint, weights_only=True)
        del state["weights"]["last"]
        torch.save(state, checkpoint)
    for rule in KEPT_WEIGHTS:
        ours = load_run(checkpoint.parent, rule=rule, device="cpu")
        theirs = load_run(runs / "seed-0", rule=rule, device="cpu")
        assert ours.epoch == theirs.epoch
        other = theirs.model.state_dict()
        assert all(torch.equal(v, other[name]) for name, v in ours.model.state_dict().items())


def test_seeds_are_evaluated_together_on_the_source_too(features: Path, runs: Path) -> None:
    result = ta3n_train(
        "--evaluate", runs, "--target", "ucf", "--split", "train", "--features", features,
        "--allow-missing", "--device", "cpu",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert "on ucf101 train: rule last, epoch 3, 3" in result.stdout
    assert "±" in result.stdout
    for seed in (0, 1):
        figures = json.loads((runs / f"seed-{seed}/evaluation-ucf101-train-last.json").read_text())
        assert (figures["seed"], figures["total"]) == (seed, 30)


def test_arrays_are_classified_each_by_itself(features: Path, runs: Path) -> None:
    run = load_run(runs / "seed-0", device="cpu")
    target = load_target(run, features, "hmdb", allow_missing=True)
    values = load_part(target, "val")
    assert isinstance(values, torch.Tensor)
    together = run.predict_features(values.numpy())
    assert together.shape == (15, 5)
    assert np.allclose(together.sum(axis=1), 1)
    alone = np.concatenate([run.predict_features(values[n : n + 1]) for n in range(15)])
    assert np.abs(alone - together).max() < 1e-5
    assert run.predict_features(values[:0]).shape == (0, 5)
    with pytest.raises(UsageError, match=r"takes \[N, 5, 8\]"):
        run.predict_features(values[:, :4])
    with pytest.raises(UsageError, match="not finite"):
        run.predict_features(values / 0)


def test_domains_keep_their_own_statistics(features: Path, tmp_path: Path) -> None:
    """AdaBN normalises by domain: the source is evaluated as source."""
    runs = train(
        "ucf", "hmdb", features, tmp_path, benchmark="ucf-hmdb-small", method="adabn", epochs=1
    )
    run = load_run(runs, device="cpu")
    found = {
        dataset: evaluate(run, load_target(run, features, dataset, allow_missing=True), "val")
        for dataset in ("ucf", "hmdb")
    }
    assert isinstance(run.model, TA3N)
    assert run.model.frame_norm is not None
    run.model.frame_norm.running[0, 0] -= 1
    for dataset, before in found.items():
        target = load_target(run, features, dataset, allow_missing=True)
        same = torch.equal(evaluate(run, target, "val").logits, before.logits)
        assert same == (dataset == "hmdb")


def test_features_made_otherwise_are_refused_with_the_difference(
    runs: Path, tmp_path: Path
) -> None:
    make_features(tmp_path / "other", "hmdb51", made_clips("hmdb51"), backbone="resnet50")
    make_features(tmp_path / "all", "hmdb51", made_clips("hmdb51"), frames="all")
    make_features(tmp_path / "every", "hmdb51", made_clips("hmdb51"), frames="every:2")
    run = load_run(runs / "seed-0", device="cpu")
    with pytest.raises(DataConflictError, match="backbone is resnet50, in the run resnet18"):
        load_target(run, tmp_path / "other", "hmdb", allow_missing=True)
    with pytest.raises(DataConflictError, match="frames is every:2, in the run segments:5"):
        load_target(run, tmp_path / "every", "hmdb", allow_missing=True)
    assert load_target(run, tmp_path / "all", "hmdb", allow_missing=True).val


def damaged(folder: Path, kind: str) -> None:
    config, weights = folder / "config.json", folder / "weights.pt"
    raw = json.loads(config.read_text())
    if kind == "cut":
        weights.write_bytes(weights.read_bytes()[:1000])
    elif kind == "text":
        weights.write_text("no weights")
    elif kind == "code":
        torch.save({"epochs": Path("x")}, weights)
    elif kind == "gone":
        weights.unlink()
    elif kind == "foreign":
        config.write_text(json.dumps({**raw, "seed": 7}))
    elif kind == "older":
        del raw["settings"]
        config.write_text(json.dumps(raw))
    elif kind == "edited":
        raw["settings"]["classes"] = raw["settings"]["classes"][:2]
        config.write_text(json.dumps(raw))
    else:
        kept = torch.load(weights, weights_only=True)
        del kept["rules"]["im"]
        torch.save(kept, weights)


@pytest.mark.parametrize(
    ("kind", "rule", "message"),
    [
        ("cut", "last", "cannot be used"),
        ("text", "last", "cannot be used"),
        ("code", "last", "cannot be used"),
        ("gone", "last", "no epoch of this run was saved"),
        ("foreign", "last", "is of another run"),
        ("foreign", "oracle", "is of another run"),
        ("older", "last", "damaged or of another version"),
        ("edited", "last", "does not match its own hash"),
        ("no score", "im", "no weights by the rule im"),
    ],
)
def test_damage_is_told_in_one_line(
    features: Path, seed_0: Path, kind: str, rule: str, message: str
) -> None:
    damaged(seed_0, kind)
    result = ta3n_train(
        "--evaluate", seed_0, "--target", "hmdb", "--features", features, "--allow-missing",
        "--rule", rule,
    )  # fmt: skip
    assert result.exit_code == 1
    assert message in result.stderr.strip().splitlines()[-1]
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (("--target", "hmdb", "--features", "none"), 1, "no features of hmdb51"),
        (("--target", "olympic"), 2, "does not hold dataset 'olympic'"),
        ((), 2, "needs either --target"),
        (("--target", "hmdb", "--videos", "x.mp4"), 2, "needs either --target"),
        (("--target", "hmdb", "--epochs", 3, "--source", "ucf"), 2, "leave --epochs, --source out"),
        (("--target", "hmdb", "--weights", "w.pth"), 2, "--weights cannot go with --target"),
        (("--videos", "x.mp4", "--split", "val"), 2, "--split cannot go with --videos"),
        (("--videos", "x.mp4"), 2, "several runs (seed-0, seed-1)"),
        (("--videos", "x.mp4", "--top-k", "0"), 2, "--top-k"),
    ],
)
def test_mistakes_are_told_in_one_line(
    runs: Path, args: tuple[object, ...], code: int, message: str
) -> None:
    result = ta3n_train("--evaluate", runs, *args)
    assert result.exit_code == code
    assert message in result.stderr.strip().splitlines()[-1]


def test_options_of_an_evaluation_need_one(tmp_path: Path) -> None:
    result = ta3n_train("--source", "ucf", "--target", "hmdb", "--rule", "im", "--top-k", 1)
    assert result.exit_code == 2
    assert "--rule, --top-k cannot go without --evaluate RUN" in result.stderr
    result = ta3n_train("--evaluate", tmp_path, "--target", "hmdb")
    assert result.exit_code == 1
    assert "no run in" in result.stderr


def test_published_datasets_have_their_short_names_and_say_what_a_clip_is_worth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One test section of `mix` is a class of its own, as in the third kitchen."""
    (names,) = (benchmark.class_names for benchmark in PUBLISHED if benchmark.name == "epic55")
    for place, dataset in enumerate(("epic55-d1", "epic55-d3")):
        monkeypatch.setitem(CLASSES, dataset, names)
        clips = [
            clip for clip in made_clips(dataset) if clip.number < 1 or clip.class_name != "mix"
        ]
        make_features(tmp_path / "features", dataset, clips, seed=place)
    common = ("--features", tmp_path / "features", "--allow-missing", "--device", "cpu")
    trained = ta3n_train(
        "--source", "epic-d1", "--target", "epic-d3", *common, "--out", tmp_path / "runs",
        "--method", "source-only", "--epochs", 1,
    )  # fmt: skip
    assert trained.exit_code == 0, trained.stderr
    worth = "epic55-d3 (epic55): one of 22 test clips is 4.55 points of accuracy; of mean class"
    assert f"{worth} accuracy it is 12.50 of mix (1 of 1)" in trained.stdout
    (run,) = (tmp_path / "runs").rglob("seed-0")
    (line,) = (run / "metrics.jsonl").read_text().splitlines()
    result = json.loads((run / "result.json").read_text())
    assert json.loads(line)["target_mean_class"] == result["rules"]["last"]["mean_class"]
    for name in ("epic-d3", "EPIC55-D3"):
        told = ta3n_train("--evaluate", run, "--target", name, *common)
        assert told.exit_code == 0, told.stderr
        assert "on epic55-d3 val" in told.stdout
        assert worth in " ".join(told.stdout.split())
    other = ta3n_train("--evaluate", run, "--target", "jester-target", *common)
    assert other.exit_code == 2
    assert "'epic55' does not hold dataset 'jester-target'" in other.stderr
