"""If this breaks, a run that fails loses epochs, or it chooses by labels that it must not see."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from ta3n.common.errors import TrainingError
from ta3n.common.log import ProgressLine
from ta3n.train.data.features import HeldOut, RunData
from ta3n.train.loop.batches import TrainingData
from ta3n.train.loop.engine import Trainer
from ta3n.train.methods.run_settings import RunSettings
from ta3n.train.runs import session
from ta3n.train.runs.folder import RunConfig, RunFolder
from ta3n.train.runs.session import SeedRun, run_seed, run_stacked

MakeData = Callable[..., TrainingData]
MakeTrainer = Callable[..., Trainer]
CPU = torch.device("cpu")
KEPT_FILES = {
    "config.json",
    "environment.json",
    "metrics.jsonl",
    "predictions.csv",
    "result.json",
    "weights.pt",
}
CONFIG = RunConfig(
    benchmark="b",
    source="s",
    target="t",
    method="m",
    temporal="relation",
    label="M",
    identity={},
    settings={},
    data={},
)


@pytest.fixture
def run_data(make_data: MakeData) -> RunData:
    training, other = make_data(), make_data(18, 15, seed=1)
    assert other.target_features is not None
    return RunData(
        training=training,
        source_videos=[f"source/{n}.avi" for n in range(training.num_source)],
        target_videos=[f"target/{n}.avi" for n in range(training.num_target)],
        held_out=HeldOut(features=other.source_features, labels=other.source_labels),
        rule_features=training.target_features,
        val_features=other.target_features,
        val_labels=torch.arange(15) % 3,
        val_videos=[f"val/{n}.avi" for n in range(15)],
    )


def folder(path: Path, seed: int = 1) -> RunFolder:
    made = RunFolder(path)
    made.write_start(CONFIG, seed)
    return made


def metrics(run: RunFolder) -> list[dict[str, Any]]:
    lines = (run.path / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def train_stacked(settings: RunSettings, data: RunData, run: RunFolder, device: Any) -> None:
    if not run_stacked([settings], data, [run], device):
        divergence = run.read_divergence()
        assert divergence is not None
        raise TrainingError(divergence.message)


def load(path: Path) -> Any:
    return torch.load(path, weights_only=True)


@pytest.mark.parametrize("stacked", [False, True])
def test_a_loss_that_is_not_finite_is_told_with_its_videos_and_the_epoch_before_is_kept(
    make_trainer: MakeTrainer,
    run_data: RunData,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stacked: bool,
) -> None:
    """A video of step 2 of epoch 3 turns bad after epoch 2."""
    settings, kept = make_trainer().settings, folder(tmp_path / "broken")
    note, bad = SeedRun.note, 0

    def note_then_poison(run: SeedRun, record: Any) -> str:
        nonlocal bad
        text = note(run, record)
        if record.epoch == 2:
            ahead = make_trainer()
            ahead.load_state_dict(run.trainer.state_dict())
            bad = int(ahead.begin_epoch().source_batches[1][0])
            run.trainer.data.source_features[bad] = torch.inf
        return text

    monkeypatch.setattr(SeedRun, "note", note_then_poison)
    own = replace(
        run_data,
        training=replace(
            run_data.training, source_features=run_data.training.source_features.clone()
        ),
    )
    train = train_stacked if stacked else run_seed
    with pytest.raises(TrainingError, match="epoch 3: classification was nan at step 2") as caught:
        train(settings, own, kept, CPU)
    assert f"its batch held 8 source videos (source/{bad}.avi, source/" in str(caught.value)
    assert "and 5 more) and 4 target videos (target/" in str(caught.value)
    assert len(metrics(kept)) == 2
    assert len(load(kept.checkpoint)["scores"]) == 2
    divergence = kept.read_divergence()
    assert divergence is not None
    assert (divergence.epoch, divergence.loss) == (3, "classification")
    assert f"source/{bad}.avi" in divergence.source_videos
    assert (len(divergence.source_videos), len(divergence.target_videos)) == (8, 4)
    monkeypatch.undo()
    # With the video mended the run goes on to what it would have been.
    whole = folder(tmp_path / "whole")
    assert run_seed(settings, run_data, kept, CPU) == run_seed(settings, run_data, whole, CPU)
    assert kept.read_divergence() is None
    if not stacked:
        assert metrics(kept) == metrics(whole)
    assert all(bool(t.isfinite().all()) for t in load(kept.weights)["epochs"][4].values())


def test_the_weights_that_are_kept_are_those_of_the_chosen_epochs_once_each(
    make_trainer: MakeTrainer, run_data: RunData, tmp_path: Path
) -> None:
    run = folder(tmp_path)
    trainer = make_trainer(epochs=8)
    result = run_seed(trainer.settings, run_data, run, CPU)
    weights = {}
    for record in trainer.epochs():
        weights[record.epoch] = trainer.state_dict()["model"]
    kept = load(run.weights)
    assert kept["rules"] == {rule: result.rules[rule].epoch for rule in ("last", "oracle", "im")}
    assert (kept["config_hash"], kept["seed"]) == (CONFIG.hash, 1)
    assert set(kept["epochs"]) == set(kept["rules"].values())
    for epoch, model in kept["epochs"].items():
        assert model.keys() == weights[1].keys()
        assert all(torch.equal(value, weights[epoch][name]) for name, value in model.items())
    size = sum(value.nbytes for value in weights[1].values())
    assert run.weights.stat().st_size < len(kept["epochs"]) * size + 30_000
    assert not run.checkpoint.exists()


@pytest.mark.parametrize("place", ["write_metrics", "write_weights", "write_result", "unlink"])
def test_a_run_that_is_killed_while_its_end_is_written_ends_the_same(
    make_trainer: MakeTrainer,
    run_data: RunData,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
) -> None:
    """The last checkpoint is of epoch 5 of 6, and has best weights that the rest does not reach."""
    settings = make_trainer(epochs=6).settings
    whole, broken = folder(tmp_path / "a"), folder(tmp_path / "b")
    run_seed(settings, run_data, whole, CPU)
    monkeypatch.setattr(session, "_SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    save = SeedRun.save
    monkeypatch.setattr(SeedRun, "save", lambda run: save(run) if run.trainer.epoch < 6 else None)

    holder: Any = {"write_weights": session, "unlink": Path}.get(place, RunFolder)
    original = getattr(holder, place)

    def die(*args: Any, **options: Any) -> Any:
        early = place == "write_metrics" and len(args[1]) < 6
        if early or (place == "unlink" and args[0] != broken.checkpoint):
            return original(*args, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(holder, place, die)
    with pytest.raises(KeyboardInterrupt):
        run_seed(settings, run_data, broken, CPU)
    monkeypatch.undo()
    assert len(load(broken.checkpoint)["scores"]) == 5
    assert broken.is_finished() == (place == "unlink")
    if place != "unlink":
        run_seed(settings, run_data, broken, CPU)
    assert {path.name for path in broken.path.iterdir()} == KEPT_FILES
    for name in KEPT_FILES - {"environment.json"}:
        assert (whole.path / name).read_bytes() == (broken.path / name).read_bytes(), name


def test_a_run_whose_epochs_were_all_done_ends_as_if_it_was_never_stopped(
    make_trainer: MakeTrainer,
    run_data: RunData,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What is wrong with the last epoch is known from its look at the target alone."""
    settings = make_trainer().settings
    alike = replace(run_data, val_features=torch.ones(run_data.val_features.shape))
    whole, broken = folder(tmp_path / "a"), folder(tmp_path / "b")
    result = run_seed(settings, alike, whole, CPU)
    assert "dead" in result.troubles
    finish = SeedRun.finish
    with monkeypatch.context() as patched:
        patched.setattr(session, "_SECONDS_BETWEEN_CHECKPOINTS", 0.0)
        patched.setattr(SeedRun, "finish", stop)
        with pytest.raises(KeyboardInterrupt):
            run_seed(settings, alike, broken, CPU)
    assert SeedRun.finish is finish
    caplog.clear()
    with caplog.at_level("INFO", logger="ta3n"):
        assert run_seed(settings, alike, broken, CPU) == result
    for name in KEPT_FILES - {"environment.json"}:
        assert (whole.path / name).read_bytes() == (broken.path / name).read_bytes(), name
    # An epoch that was not trained here took no time that could be told.
    assert "an epoch took" not in caplog.text
    paces = [json.loads((run.path / "environment.json").read_text()) for run in (whole, broken)]
    assert ["seconds_per_epoch" in each for each in paces] == [True, False]


def stop(*_: Any) -> None:
    raise KeyboardInterrupt


def test_a_stack_that_is_stopped_while_one_of_its_runs_is_finished_keeps_the_epochs_of_all(
    make_trainer: MakeTrainer,
    run_data: RunData,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = [make_trainer(seed=seed).settings for seed in (1, 2, 3)]
    runs = [folder(tmp_path / str(each.seed), each.seed) for each in settings]
    write_result = RunFolder.write_result

    def write_the_first(run: RunFolder, result: Any) -> None:
        if result.seed > 1:
            raise KeyboardInterrupt
        write_result(run, result)

    with monkeypatch.context() as patched:
        patched.setattr(RunFolder, "write_result", write_the_first)
        with pytest.raises(KeyboardInterrupt):
            run_stacked(settings, run_data, runs, CPU)
    assert [run.is_finished() for run in runs] == [True, False, False]
    assert not runs[0].checkpoint.exists()
    assert [len(load(run.checkpoint)["scores"]) for run in runs[1:]] == [4, 4]


def test_a_checkpoint_that_cannot_be_read_is_not_called_damaged(
    make_trainer: MakeTrainer, run_data: RunData, tmp_path: Path
) -> None:
    """Whoever is told so removes it."""
    run = folder(tmp_path)
    run.checkpoint.mkdir()
    with pytest.raises(IsADirectoryError):
        run_seed(make_trainer().settings, run_data, run, CPU)


@pytest.mark.parametrize("method", ["ta3n", "adabn", "source-only"])
def test_scrambled_target_labels_change_the_oracle_and_counts_and_nothing_else(
    make_trainer: MakeTrainer, run_data: RunData, tmp_path: Path, method: str
) -> None:
    settings = make_trainer(method, epochs=6).settings
    scrambled_labels = torch.tensor([0, 0, 1, 0, 2, 0, 1, 0, 0, 1, 0, 0, 2, 1, 0])
    others = [run_data, replace(run_data, val_labels=scrambled_labels)]
    runs = [folder(tmp_path / str(n)) for n in range(2)]
    first, second = (run_seed(settings, d, r, CPU) for d, r in zip(others, runs, strict=True))
    kept = [load(run.weights) for run in runs]
    for rule in ("last", "im"):
        weights = [each["epochs"][each["rules"][rule]] for each in kept]
        assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    of_labels = {"target_correct": 0, "target_mean_class": 0}
    lines, scrambled = ([{**line, **of_labels} for line in metrics(run)] for run in runs)
    assert lines == scrambled
    # So few videos are no sample for `dev`.
    assert "dev" in lines[0]["withheld"]
    assert {*lines[0]["validators"], *lines[0]["withheld"]} == {
        "source_val",
        "entropy",
        "im",
        "snd",
        "bnm",
        "dev",
        "corr_c",
    }
    scored = {rule for line in lines for rule in line["validators"]}
    never = {rule for rule, reasons in first.withheld.items() if sum(reasons.values()) == 6}
    assert set(first.rules) == {"last", "oracle", *scored} - never
    assert first.withheld["dev"] == {"the effective sample is below 25 videos": 6}
    for rule in set(first.rules) - {"oracle"}:
        assert first.rules[rule].epoch == second.rules[rule].epoch
        assert not first.rules[rule].uses_target_labels
    assert first.rules["oracle"].uses_target_labels
    assert [r.correct for r in first.rules.values()] != [r.correct for r in second.rules.values()]


def test_without_held_out_source_videos_the_rules_that_need_them_are_absent(
    make_trainer: MakeTrainer, run_data: RunData, tmp_path: Path
) -> None:
    labelled = replace(run_data.training, target_features=None)
    data = replace(run_data, training=labelled, target_videos=(), held_out=None)
    result = run_seed(
        make_trainer("target-only", data=labelled).settings, data, folder(tmp_path), CPU
    )
    told = {*result.rules, *result.withheld}
    assert told == {"last", "oracle", "entropy", "im", "snd", "bnm", "corr_c"}
    header = (tmp_path / "predictions.csv").read_text().splitlines()[0]
    assert header == f"video,label,{','.join(result.rules)},last_probability"


def test_progress_says_how_far_a_run_is(
    make_trainer: MakeTrainer,
    run_data: RunData,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(session, "ProgressLine", partial(ProgressLine, plain_every_s=0.0))
    with caplog.at_level("INFO", logger="ta3n"):
        run_seed(make_trainer(epochs=3).settings, run_data, folder(tmp_path), CPU)
    shown = [r.getMessage() for r in caplog.records if " of 3 epochs" in r.getMessage()]
    assert len(shown) == 3
    figures = r"loss \d\.\d+, source \d+\.\d %, target \d+\.\d\d %"
    assert all(re.search(rf"{figures}(, \d+ s left)?$", line) for line in shown)


def test_scalars_for_tensorboard_are_written_if_asked_for(
    make_trainer: MakeTrainer, run_data: RunData, tmp_path: Path
) -> None:
    pytest.importorskip("tensorboard")
    settings = make_trainer(epochs=2).settings
    run_seed(settings, run_data, folder(tmp_path / "a"), CPU)
    run_seed(settings, run_data, folder(tmp_path / "b"), CPU, tensorboard=True)
    written = [{path.name for path in (tmp_path / name).iterdir()} for name in "ab"]
    assert written[1] - written[0] == {"tensorboard"}
    assert metrics(RunFolder(tmp_path / "a")) == metrics(RunFolder(tmp_path / "b"))


def test_stacked_runs_have_the_measures_of_single_ones(
    make_trainer: MakeTrainer, run_data: RunData, tmp_path: Path
) -> None:
    settings = [make_trainer(seed=seed).settings for seed in (1, 2)]
    alone, stacked = (
        [folder(tmp_path / name / str(each.seed), each.seed) for each in settings] for name in "ab"
    )
    for each, run in zip(settings, alone, strict=True):
        run_seed(each, run_data, run, CPU)
    run_stacked(settings, run_data, stacked, CPU)
    for one, other in zip(alone, stacked, strict=True):
        for ours, theirs in zip(metrics(one), metrics(other), strict=True):
            assert ours.keys() == theirs.keys()
            assert ours["reversal"] == theirs["reversal"]
            assert ours["attention"] == pytest.approx(theirs["attention"], rel=1e-4)
            for level, accuracy in ours["domain_accuracy"].items():
                assert theirs["domain_accuracy"][level] == pytest.approx(accuracy, abs=0.02)
            assert ours["validators"] == pytest.approx(theirs["validators"], rel=0.05, abs=0.05)


@pytest.mark.parametrize("stacked", [False, True])
def test_a_checkpoint_of_another_kind_of_device_is_gone_on_with(
    make_trainer: MakeTrainer,
    run_data: RunData,
    tmp_path: Path,
    log: pytest.LogCaptureFixture,
    stacked: bool,
) -> None:
    """A GPU's generator keeps 16 bytes, a CPU's 5056."""
    settings = make_trainer(epochs=3).settings
    results = []
    for name in ("a", "b"):
        run = folder(tmp_path / name)
        started = SeedRun(settings, run_data, run, CPU)
        assert isinstance(started.trainer, Trainer)
        started.note(started.trainer.run_epoch())
        started.save()
        state = load(run.checkpoint)
        state["trainer"]["generators"]["dropout"] = torch.zeros(16, dtype=torch.uint8)
        torch.save(state, run.checkpoint)
        (train_stacked if stacked else run_seed)(settings, run_data, run, CPU)
        results.append(run.read_result())
    assert results[0] is not None
    assert results[0] == results[1]
    message = "seed 1 was saved on a GPU and goes on on cpu: its dropout is drawn afresh from there"
    assert any(message in line for line in log.messages)
