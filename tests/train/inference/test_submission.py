"""If this breaks, what is handed in is not what the runs predict, or faults are told too late."""

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ta3n.train import load_run
from ta3n.train.inference.evaluation import evaluate, load_target
from ta3n.train.runs import session

from ...support.epic import write_table
from ...support.headed_features import make_epic_features
from ...support.small_runs import ta3n_train, train

NUM = 8
IDS = [f"P03_101_{n}" for n in range(NUM)]
LEVELS = ("--sls-pt", 2, "--sls-tl", 3, "--sls-td", 3)
CLASSES = {"verb": slice(0, 97), "noun": slice(97, 397)}


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_epic_features(tmp_path_factory.mktemp("epic"), NUM)


@pytest.fixture(scope="module")
def runs(features: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return folders of runs: two seeds of both heads, one seed of each, one of the other split."""
    out = tmp_path_factory.mktemp("runs")
    made: dict[str, dict[str, Any]] = {
        "both": {"seeds": "2"},
        "verb": {"heads": "verb"},
        "noun": {"heads": "noun"},
        "tune": {"benchmark": "epic100-tune"},
    }
    common = {"benchmark": "epic100-final", "recipe": "epic100", "batch_size": 8, "epochs": 2}
    return {
        name: train("epic-source", "epic-target", features, out / name, **common | changes)
        for name, changes in made.items()
    }


@pytest.fixture
def annotations(tmp_path: Path) -> Path:
    write_table(tmp_path / "annotations", "target_test", [(name, None, None) for name in IDS])
    return tmp_path / "annotations"


def submit(features: Path, out: Path, *options: object) -> Any:
    where = "--features", features, "--device", "cpu", "--out", out
    return ta3n_train(*where, *options)


def scores_in(path: Path, head: str) -> Any:
    with zipfile.ZipFile(path) as archive:
        record = json.loads(archive.read("test.json"))
    entries = record["results_target"]
    assert sorted(entries) == IDS
    return np.array([list(entries[name][head].values()) for name in IDS])


def predicted_by(features: Path, run: Path, head: str) -> Any:
    """Return the log-probabilities of a run itself, in order of `IDS`."""
    loaded = load_run(run, device="cpu")
    target = load_target(loaded, features, "epic-target", allow_missing=False)
    found = evaluate(loaded, target, "val")
    places = [[video.clip.path for video in found.videos].index(name) for name in IDS]
    return found.logits[places][:, CLASSES[head]].double().log_softmax(dim=1).numpy()


def test_a_run_hands_in_its_log_probabilities(
    features: Path, runs: dict[str, Path], annotations: Path, tmp_path: Path
) -> None:
    out, run = tmp_path / "test.zip", runs["both"] / "seed-1"
    result = submit(features, out, "--submit", run, *LEVELS, "--annotations", annotations)
    assert result.exit_code == 0, result.stderr
    for head in CLASSES:
        told = f"{head}: log-probabilities of {run}, epoch 2"
        assert told in result.stdout
        assert np.abs(scores_in(out, head) - predicted_by(features, run, head)).max() < 1e-6
    assert result.stdout.splitlines()[-1].startswith(
        f"{out}: in order for domain_adaptation 0.2: 8 segments of target_test"
    )
    assert "sls_pt 2, sls_tl 3, sls_td 3" in result.stdout
    again = submit(features, out, "--submit", run, *LEVELS)
    assert again.exit_code == 2
    assert "give --overwrite" in again.stderr
    again = submit(features, out, "--submit", run, *LEVELS, "--overwrite")
    assert again.exit_code == 0, again.stderr
    assert "8 of 5909 published; give --annotations DIR" in again.stderr


def test_seeds_are_averaged_however_they_are_named(
    features: Path, runs: dict[str, Path], tmp_path: Path
) -> None:
    seeds = [runs["both"] / f"seed-{n}" for n in (0, 1)]
    cases: list[list[object]] = [
        [option for seed in seeds for option in ("--submit", seed)],
        ["--submit", runs["both"]],
        ["--submit", runs["both"], "--submit", Path(os.path.relpath(seeds[1]))],
    ]
    for number, named in enumerate(cases):
        result = submit(features, tmp_path / f"{number}.zip", *named, *LEVELS)
        assert result.exit_code == 0, result.stderr
        assert f"noun: mean of the probabilities of {seeds[0]}, epoch 2, " in result.stdout
        assert f"{os.path.relpath(seeds[1]) if number == 2 else seeds[1]}, epoch 2\n" in (
            result.stdout
        )
    written = {(tmp_path / f"{number}.zip").read_bytes() for number in range(len(cases))}
    assert len(written) == 1
    for head in CLASSES:
        mean = sum(np.exp(predicted_by(features, seed, head)) for seed in seeds) / 2
        assert np.abs(scores_in(tmp_path / "0.zip", head) - np.log(mean)).max() < 1e-6


def test_verbs_and_nouns_come_from_the_runs_that_train_them(
    features: Path, runs: dict[str, Path], tmp_path: Path
) -> None:
    verb, noun, both = (runs[name] / "seed-0" for name in ("verb", "noun", "both"))
    cases = {
        "heads": (["--submit", noun, "--submit", verb], (verb, noun)),
        "named": (["--submit", both, "--submit-noun", noun], (both, noun)),
    }
    for name, (options, (of_verbs, of_nouns)) in cases.items():
        out = tmp_path / f"{name}.zip"
        result = submit(features, out, *options, *LEVELS)
        assert result.exit_code == 0, result.stderr
        for head, run in (("verb", of_verbs), ("noun", of_nouns)):
            assert np.abs(scores_in(out, head) - predicted_by(features, run, head)).max() < 1e-6
    result = submit(features, tmp_path / "none.zip", "--submit", verb, *LEVELS)
    assert result.exit_code == 2
    assert "no run trains the noun head" in result.stderr
    assert not (tmp_path / "none.zip").exists()


def test_a_submission_that_would_be_refused_is_not_left_behind(
    features: Path, runs: dict[str, Path], tmp_path: Path
) -> None:
    segments = [(name, None, None) for name in (*IDS, "P03_101_99")]
    write_table(tmp_path / "annotations", "target_test", segments)
    result = submit(
        features, tmp_path / "test.zip", "--submit", runs["both"], *LEVELS,
        "--annotations", tmp_path / "annotations",
    )  # fmt: skip
    assert result.exit_code == 4
    assert 'lacks 1 of the 9 segments of target_test ("P03_101_99")' in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["annotations"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (LEVELS[2:], "--submit needs --sls-pt: the levels of supervision, 0 to 5"),
        ((), "--submit needs --sls-pt, --sls-tl, --sls-td"),
        ((*LEVELS[:4], "--sls-td", 6), "6 is not in the range 0<=x<=5"),
        ((*LEVELS, "--target", "epic-target"), "leave --target out"),
        ((*LEVELS, "--epochs", 3), "leave --epochs out"),
        ((*LEVELS, "--evaluate", "runs"), "leave --evaluate out"),
    ],
)
def test_options_that_do_not_go_together_are_named(
    features: Path, tmp_path: Path, options: tuple[object, ...], message: str
) -> None:
    result = submit(features, tmp_path / "test.zip", "--submit", "runs", *options)
    assert result.exit_code == 2
    assert message in result.stderr


def test_what_cannot_be_submitted_is_told_before_anything_is_done(
    features: Path, runs: dict[str, Path], tmp_path: Path
) -> None:
    result = submit(features, tmp_path / "test.zip", "--submit", runs["tune"], *LEVELS)
    assert result.exit_code == 2
    assert "a submission is of runs on epic100-final to epic100-target" in result.stderr
    result = ta3n_train("--submit", runs["both"], *LEVELS)
    assert (result.exit_code, "--submit needs --out FILE.zip" in result.stderr) == (2, True)
    result = ta3n_train(*LEVELS, "--source", "epic-source", "--target", "epic-target")
    assert result.exit_code == 2
    assert "--sls-pt, --sls-tl, --sls-td cannot go without --submit RUN" in result.stderr


def test_a_run_that_was_interrupted_is_not_handed_in(
    features: Path, runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(run: session.SeedRun, _: float) -> None:
        run.save()
        raise KeyboardInterrupt

    monkeypatch.setattr(session.SeedRun, "finish", stop)
    with pytest.raises(KeyboardInterrupt):
        train(
            "epic-source", "epic-target", features, tmp_path / "runs", benchmark="epic100-final",
            recipe="epic100", batch_size=8, epochs=1,
        )  # fmt: skip
    (checkpoint,) = tmp_path.rglob("checkpoint.pt")
    result = submit(
        features, tmp_path / "test.zip", "--submit", runs["both"], "--submit", checkpoint.parent,
        *LEVELS,
    )  # fmt: skip
    assert result.exit_code == 1
    assert f"{checkpoint.parent} is not finished: its last epoch so far is 1 of 1" in result.stderr
    assert not (tmp_path / "test.zip").exists()
