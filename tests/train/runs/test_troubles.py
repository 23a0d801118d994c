"""If this breaks, a run that learned nothing is printed like any other."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from ta3n.train.loop.measurements import EpochRecord
from ta3n.train.report.cli import main as report_main
from ta3n.train.runs.troubles import (
    AT_CHANCE,
    DEAD,
    EXPLODING,
    ONE_CLASS,
    RunWatch,
    guessing,
    trouble_notes,
    trouble_summary,
)

from ...support.feature_folders import made_clips, make_features
from ...support.small_runs import ta3n_train

GOOD = EpochRecord(
    epoch=5,
    steps=3,
    losses={"total": 1.0},
    grad_norm=0.5,
    learning_rate=0.03,
    reversal={},
    domain_accuracy={},
    attention=None,
    source_videos=20,
    target_videos=20,
    source_accuracy=0.8,
)
SPREAD = [0, 1, 2, 3] * 3
FEATURES = torch.arange(12.0)[:, None] * torch.ones(4)


def watch() -> RunWatch:
    return RunWatch(guessed=0.25, magnitude=0.4, classes=4)


@pytest.mark.parametrize(
    ("changes", "predicted", "features", "kinds"),
    [
        ({}, SPREAD, FEATURES, []),
        ({"source_accuracy": 0.3}, SPREAD, FEATURES, [AT_CHANCE]),
        ({"source_accuracy": 0.33}, SPREAD, FEATURES, []),
        ({"source_accuracy": 0.3, "epoch": 4}, SPREAD, FEATURES, []),
        ({"source_accuracy": None}, SPREAD, FEATURES, []),
        ({}, [2] * 12, FEATURES, [ONE_CLASS]),
        ({}, [2] * 5, FEATURES, []),
        ({"source_accuracy": 0.2}, [2] * 12, FEATURES, [AT_CHANCE, ONE_CLASS]),
        ({"grad_norm": 1e5}, SPREAD, FEATURES, [EXPLODING]),
        ({}, SPREAD, 1e5 * FEATURES, [EXPLODING]),
        ({}, SPREAD, torch.ones(12, 4), [DEAD]),
        ({}, SPREAD, torch.zeros(12, 4), [DEAD]),
        ({}, SPREAD, None, []),
    ],
)
def test_each_kind_of_trouble_is_named(
    changes: dict[str, Any],
    predicted: list[int],
    features: torch.Tensor | None,
    kinds: list[str],
) -> None:
    assert list(watch().look(replace(GOOD, **changes), predicted, features)) == kinds


def test_the_likely_cause_follows_from_the_gradient() -> None:
    small = watch().look(replace(GOOD, source_accuracy=0.25, grad_norm=0.01), SPREAD)
    assert "of a value 0.4) the rate is likely too low" in small[AT_CHANCE]
    assert "--feature-scale standard" in small[AT_CHANCE]
    large = watch().look(replace(GOOD, source_accuracy=0.25, grad_norm=30.0), SPREAD)
    assert "lower --learning-rate (now 0.03)" in large[AT_CHANCE]


def test_one_class_without_adaptation_is_no_fault_of_a_weight() -> None:
    """Source only has none to lower."""
    (told,) = watch().look(GOOD, [2] * 12).values()
    assert "lower --weight" in told
    (told,) = replace(watch(), aligns=False).look(GOOD, [2] * 12).values()
    assert "--weight" not in told
    assert "no loss adapts to them" in told


def test_each_kind_is_told_once() -> None:
    one = watch()
    assert one.news({AT_CHANCE: "a"}) == ["at chance: a"]
    assert one.news({AT_CHANCE: "b", DEAD: "c"}) == ["dead: c"]


def test_guessing_is_the_most_frequent_class() -> None:
    assert guessing([0, 0, 0, 1]) == 0.75
    assert guessing([(0, 1), (0, 2), (0, 1), (1, 1)]) == 0.5


def test_seeds_in_the_same_trouble_share_a_line() -> None:
    runs: list[tuple[str, dict[int, dict[str, str]]]]
    runs = [("DAN", {0: {}, 1: {DEAD: "x"}, 3: {DEAD: "y", ONE_CLASS: "z"}}), ("MCD", {0: {}})]
    assert trouble_notes(runs) == ["DAN, seeds 1, 3: dead: x.", "DAN, seed 3: one class: z."]


def test_directions_in_the_same_trouble_share_a_line() -> None:
    runs: list[tuple[str, dict[int, dict[str, str]]]]
    runs = [(f"DAN in a → {n}", {0: {DEAD: f"x{n}"}, 1: {DEAD: "y"}}) for n in range(6)]
    runs += [("MCD in a → 0", {0: {}, 1: {ONE_CLASS: "z"}})]
    rows = ", ".join(f"DAN in a → {n}" for n in range(5))
    assert trouble_summary(runs) == [
        f"dead: 12 runs of {rows} and 1 more, the first: x0.",
        "one class: 1 run of MCD in a → 0, the first: z.",
    ]


def test_a_run_that_learned_nothing_says_so_everywhere(tmp_path: Path) -> None:
    """While it runs, in its record, in the table and in the report; one that learns does not."""
    for dataset in ("ucf101", "hmdb51"):
        make_features(tmp_path / "features", dataset, made_clips(dataset))
    where = ("--features", tmp_path / "features", "--out", tmp_path / "runs")
    call = ("--source", "ucf", "--target", "hmdb", *where, "--allow-missing", "--batch-size", 10)
    quick = (*call, "--epochs", 6, "--method", "source-only", "--temporal", "pooling")
    result = ta3n_train(*quick, "--learning-rate", 1e-9)
    assert result.exit_code == 0, result.stderr
    assert f"epoch 5: {AT_CHANCE}: " in result.stderr
    assert f", seed 0: {AT_CHANCE}: " in result.stdout.split("beware: ")[1]
    (record,) = tmp_path.glob("runs/*/*/*/seed-0/result.json")
    assert AT_CHANCE in json.loads(record.read_text())["troubles"]
    (metrics,) = tmp_path.glob("runs/*/*/*/seed-0/metrics.jsonl")
    told = [json.loads(line)["source_accuracy"] for line in metrics.read_text().splitlines()]
    assert len(told) == 6
    assert max(told) < 0.5
    report = CliRunner().invoke(
        report_main, [str(tmp_path / "runs"), "--out", str(tmp_path / "report"), "--no-pictures"]
    )
    assert report.exit_code == 0, report.stderr
    page = (tmp_path / "report" / "report.html").read_text()
    assert f"seed 0: {AT_CHANCE}: " in page
    sound = ta3n_train(*quick, "--seeds", "1,", "--epochs", 30, "--learning-rate", 0.3)
    assert "beware" not in sound.stdout, sound.stderr
