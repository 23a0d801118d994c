"""If this breaks, an accuracy of the challenge is told that the run's predictions do not have."""

import csv
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ta3n.datasets.epic.challenge import TAIL_NOUNS, TAIL_VERBS

from ...support.epic import write_table
from ...support.headed_features import NOUNS, VERBS, make_epic_features
from ...support.small_runs import ta3n_train, train

NUM = 24


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_epic_features(tmp_path_factory.mktemp("epic"), NUM)


def trained(features: Path, out: Path, **changes: Any) -> Path:
    settings = {"benchmark": "epic100-tune", "recipe": "epic100", "learning_rate": 0.03}
    return train("epic-source", "epic-target", features, out, batch_size=8, **settings | changes)


@pytest.fixture(scope="module")
def runs(features: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return two seeds, trained too little to be right everywhere."""
    return trained(features, tmp_path_factory.mktemp("runs"), seeds="2")


@pytest.fixture
def annotations(tmp_path: Path) -> Path:
    folder = tmp_path / "annotations"
    write_table(folder, "target_val", [("P02_101_0", 0, 0)])
    (folder / f"{TAIL_VERBS}.csv").write_text("verb\n1\n")
    (folder / f"{TAIL_NOUNS}.csv").write_text("noun\n2\n")
    return folder


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def evaluate(features: Path, run: Path, out: Path, *more: object) -> tuple[str, Mapping[str, Any]]:
    """Return what is printed, and the figures of a seed."""
    result = ta3n_train(
        "--evaluate", run, "--target", "epic-target", "--features", features, "--out", out,
        "--device", "cpu", *more,
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    (file, *_) = sorted(out.rglob("evaluation-*.json"))
    return result.stdout, json.loads(file.read_text())


def log_probabilities(path: Path) -> tuple[Any, Any]:
    """Return those of verb and noun that were written, and what is true of the segments."""
    rows = rows_of(path)
    kinds = ("verb", "noun")
    given = [
        np.log(
            [[float(v) for k, v in r.items() if k.startswith(f"probability_{kind} ")] for r in rows]
        )
        for kind in kinds
    ]
    truth = [np.array([int(row[f"label_{kind}"]) for row in rows]) for kind in kinds]
    return given, truth


def within(pairs: Any, truth: Any, k: int) -> Any:
    """Return whether the true pair is among the best `k`, told by sorting."""
    best = np.argsort(-pairs.reshape(len(pairs), -1), axis=1)[:, :k]
    return (best == (truth[0] * 300 + truth[1])[:, None]).any(axis=1)


def test_figures_are_those_of_the_probabilities_by_every_definition(
    features: Path, runs: Path, annotations: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    told, record = evaluate(features, runs / "seed-0", out, "--annotations", annotations)
    (verb, noun), truth = log_probabilities(next(out.glob("*.csv")))
    pairs = verb[:, :, None] + noun[:, None, :]
    first = {
        "verb": verb.argmax(axis=1) == truth[0],
        "noun": noun.argmax(axis=1) == truth[1],
    }
    five = [
        (np.argsort(-scores, axis=1)[:, :5] == labels[:, None]).any(axis=1)
        for scores, labels in zip((verb, noun), truth, strict=True)
    ]
    hits = {
        "verb top-1": first["verb"],
        "verb top-5": five[0],
        "noun top-1": first["noun"],
        "noun top-5": five[1],
        "action top-1": first["verb"] & first["noun"],
        "action top-5 (evaluation)": within(pairs, truth, 5),
        "action top-5 (baseline)": five[0] & five[1],
    }
    groups = record["figures"]
    assert list(groups) == ["all", "tail classes", "P02", "class means"]
    for name, right in hits.items():
        assert groups["all"][name]["percent"] == pytest.approx(100 * right.mean())
        assert groups["P02"][name] == groups["all"][name]
        assert f"{groups['all'][name]['percent']:.2f} " in told
    tail = {"verb": truth[0] == 1, "noun": truth[1] == 2}
    tail["action"] = tail["verb"] | tail["noun"]
    for name, right in hits.items():
        of = tail[name.split()[0]]
        assert groups["tail classes"][name]["percent"] == pytest.approx(100 * right[of].mean())
        assert groups["tail classes"][name]["total"] == of.sum()
    recalls = [first["verb"][truth[0] == each].mean() for each in range(VERBS)]
    found = groups["class means"]["verb top-1"]["percent"]
    assert found == pytest.approx(100 * np.mean(recalls))
    assert groups["all"]["noun top-1"]["floor"] == pytest.approx(100 / NOUNS)
    assert record["action_prior"] == "none"
    assert "prior of actions: none" in told
    assert 0 < hits["action top-1"].sum() < NUM


def test_figures_are_whole_on_a_narrow_terminal(
    features: Path, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # FORCE_COLOR is what has rich take the captured output for a terminal.
    for name, value in {"COLUMNS": "40", "FORCE_COLOR": "1", "NO_COLOR": "1"}.items():
        monkeypatch.setenv(name, value)
    told, record = evaluate(features, runs / "seed-0", tmp_path)
    for name, figure in record["figures"]["P02"].items():
        line = f"{name}: {figure['percent']:.2f} ({figure['floor']:.2f})"
        assert re.search(rf"^{re.escape(line)}$", told, re.M), told


def test_the_prior_is_of_the_labels_of_source_train(features: Path, tmp_path: Path) -> None:
    # One that knows as good as nothing, so that pairs which never occur are in its way.
    run, out = trained(features, tmp_path / "runs", epochs=1, learning_rate=0.001), tmp_path / "out"
    told, record = evaluate(features, run, out, "--action-prior", "train")
    note = (
        f"pairs weighed by (n + 1) / ({NUM} + 97 x 300), where n of the {NUM} segments of "
        "source_train are of them"
    )
    assert record["action_prior"] == note
    assert f"prior of actions: {note}" in told
    (verb, noun), truth = log_probabilities(next(out.glob("*.csv")))
    # Every pair of a verb and a noun is in two of the made-up segments.
    counts = np.zeros((97, 300))
    counts[:VERBS, :NOUNS] = 2
    weighed = verb[:, :, None] + noun[:, None, :] + np.log(counts + 1)
    figures = record["figures"]["all"]
    for name, k in (("action top-1", 1), ("action top-5 (evaluation)", 5)):
        assert figures[name]["percent"] == pytest.approx(100 * within(weighed, truth, k).mean())
    _, without = evaluate(features, run, tmp_path / "none", "--action-prior", "none")
    plain = without["figures"]["all"]
    evaluation = "action top-5 (evaluation)"
    assert figures[evaluation]["percent"] > plain[evaluation]["percent"]
    assert figures["action top-5 (baseline)"] == plain["action top-5 (baseline)"]


def test_seeds_are_told_by_their_mean_and_the_lists_of_tail_classes_are_asked_for(
    features: Path, runs: Path, tmp_path: Path
) -> None:
    told, _ = evaluate(features, runs, tmp_path)
    assert "±" in told
    assert "their lists are in the annotations, --annotations DIR" in told
    assert "tail classes" not in told.replace("no figures of tail classes", "")


def test_a_run_keeps_the_ranks_that_its_figures_are_made_of(
    features: Path, runs: Path, tmp_path: Path
) -> None:
    _, record = evaluate(features, runs / "seed-1", tmp_path)
    rows = rows_of(runs / "seed-1" / "predictions.csv")
    ranks = {of: np.array([int(r[f"last_rank_{of}"]) for r in rows]) for of in ("verb", "noun")}
    for of, each in ranks.items():
        for k in (1, 5):
            percent = record["figures"]["all"][f"{of} top-{k}"]["percent"]
            assert percent == pytest.approx(100 * (each < k).mean())
    five = np.array([int(row["last_rank_action"]) for row in rows]) < 5
    percent = record["figures"]["all"]["action top-5 (evaluation)"]["percent"]
    assert percent == pytest.approx(100 * five.mean())


def test_options_of_the_challenge_are_refused_for_other_runs(tmp_path: Path) -> None:
    result = ta3n_train("--action-prior", "train", "--source", "ucf", "--target", "hmdb")
    assert result.exit_code == 2
    assert "--action-prior cannot go without --evaluate RUN" in result.stderr


def test_without_labels_there_is_no_table(features: Path, tmp_path: Path) -> None:
    run = trained(features, tmp_path / "runs", benchmark="epic100-final", epochs=1)
    told, record = evaluate(features, run, tmp_path / "out")
    assert "the videos have no labels: there is no accuracy" in told
    assert "top-1" not in told
    assert record["figures"] == {}


def test_of_one_head_alone_nothing_is_told_of_actions(features: Path, tmp_path: Path) -> None:
    run = trained(features, tmp_path / "runs", heads="noun", epochs=1)
    told, _ = evaluate(features, run, tmp_path / "out")
    assert "noun top-5" in told
    assert not any(word in told for word in ("prior", "ranks pairs"))
    result = ta3n_train(
        "--evaluate", run, "--target", "epic-target", "--features", features, "--device", "cpu",
        "--action-prior", "train",
    )  # fmt: skip
    assert result.exit_code == 2
    assert f"{run / 'seed-0'} trains one of them alone; leave it out" in result.stderr
