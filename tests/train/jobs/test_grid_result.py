"""If this breaks, a search reports another choice than its rule makes, or hides what it cost."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from ta3n.common.errors import DataMissingError, FeatureStoreError
from ta3n.train.jobs.grid import Grid
from ta3n.train.jobs.grid_result import choose
from ta3n.train.jobs.table import print_grid
from ta3n.train.runs.records import read_run

from ...support.made_runs import TOTAL, make_config, make_run

GAMMAS = (0.1, 0.2, 0.3)
GRID = Grid(file=Path("grid.toml"), values={"gamma": GAMMAS})

# By combination and seed: videos right after each epoch, and the score `im` of each epoch.
CORRECT = (((5, 6, 7), (5, 6, 7)), ((8, 9, 4), (8, 3, 4)), ((1, 2, 19), (1, 2, 3)))
IM = (
    ((0.1, 0.9, 0.2), (0.1, 0.1, 0.2)),
    ((0.6, 0.1, 0.1), (0.5, 0.1, 0.1)),
    ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0)),
)


def made_grid(
    out: Path, im: Sequence[Sequence[Sequence[float]]] = IM, **more: Sequence[float]
) -> list[list[Path]]:
    folders = []
    for gamma, corrects, scores in zip(GAMMAS, CORRECT, im, strict=True):
        config = make_config()
        settings = {**config.settings, "weights": {"gamma": gamma}, "published": False}
        identity = {**config.identity, "weights": {"gamma": gamma}}
        config = replace(config, settings=settings, identity=identity)
        folders.append(
            [
                make_run(out, config, seed, right, scores={"im": score, **more})
                for seed, (right, score) in enumerate(zip(corrects, scores, strict=True))
            ]
        )
    return folders


def test_choice_is_of_combination_and_epoch_by_the_mean_over_seeds(tmp_path: Path) -> None:
    """Seed 0 alone would choose epoch 2 of the first combination."""
    result = choose(GRID, made_grid(tmp_path), "im")
    assert (result.chosen.number, result.chosen.epoch) == (1, 1)
    assert result.chosen.score == pytest.approx(0.55)
    assert result.chosen.percents == [100 * 8 / TOTAL] * 2
    # The oracle sees the labels: 11 videos on average, in the third combination.
    assert result.oracle is not None
    assert (result.oracle.number, result.oracle.epoch) == (2, 3)


def test_of_equal_scores_the_first_is_chosen(tmp_path: Path) -> None:
    flat = [[[0.5, 0.5, 0.5]] * 2] * 3
    chosen = choose(GRID, made_grid(tmp_path, flat), "im").chosen
    assert (chosen.number, chosen.epoch) == (0, 1)


def test_epoch_without_a_score_in_every_seed_is_not_chosen(tmp_path: Path) -> None:
    holes = [[[0.1, 0.9, 0.2], [0.1, float("nan"), 0.3]], *IM[1:]]
    result = choose(GRID, made_grid(tmp_path, holes), "im")
    best = result.trials[0].best("im")
    assert best is not None
    assert best.epoch == 3


def test_rule_without_any_score_is_told_with_those_that_have_one(tmp_path: Path) -> None:
    folders = made_grid(tmp_path)
    with pytest.raises(DataMissingError, match=r"score by snd in every seed; the runs have im, or"):
        choose(GRID, folders, "snd")


def test_a_combination_in_which_a_score_only_falls_is_not_chosen_by_it(tmp_path: Path) -> None:
    """`snd` is highest where a model knows least; such runs choose no epoch by it themselves."""
    falling, rising = (3.0, 2.0, 1.0), (0.1, 0.2, 0.1)
    folders = made_grid(tmp_path, snd=falling)
    config = read_run(folders[1][0]).config
    for seed in range(2):
        make_run(tmp_path, config, seed, (8, 9, 4), scores={"im": IM[1][seed], "snd": rising})
    result = choose(GRID, folders, "snd")
    assert (result.chosen.number, result.chosen.epoch) == (1, 2)
    assert [trial.best("snd") is None for trial in result.trials] == [True, False, True]


def test_broken_run_is_named(tmp_path: Path) -> None:
    folders = made_grid(tmp_path)
    (folders[1][1] / "metrics.jsonl").write_text("")
    with pytest.raises(FeatureStoreError, match=r"seed-1: .*remove the folder and give the same"):
        choose(GRID, folders, "im")


def test_record_holds_choices_of_all_rules_and_the_cost(tmp_path: Path) -> None:
    result = choose(GRID, made_grid(tmp_path, snd=(1, 2, 3)), "im")
    record = json.loads(result.path.read_text())
    assert result.path.parent == tmp_path / "ucf-hmdb-small" / "ucf101-hmdb51"
    assert record["grid"] == {"gamma": [0.1, 0.2, 0.3]}
    assert record["rules_on"] == "val"
    assert record["chosen"]["values"] == {"gamma": 0.2}
    assert record["chosen"]["folder"].startswith("ta3n-relation-official-")
    assert list(record["choices"]) == ["im", "snd", "oracle"]
    assert record["cost"] == {
        "combinations": 3, "runs": 6, "diverged": 0, "epochs": 18, "seconds": 1.8,
    }  # fmt: skip
    assert record["combinations"][2]["best"]["oracle"]["correct"] == [19, 3]
    # Another rule of the same runs replaces nothing but the choice.
    again = json.loads(choose(GRID, made_grid(tmp_path, snd=(1, 2, 3)), "snd").path.read_text())
    assert again["choices"] == record["choices"]
    assert [path.name for path in result.path.parent.glob("grid-*")] == [result.path.name]


def test_table_puts_the_oracle_beside_the_choice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    print_grid(choose(GRID, made_grid(tmp_path), "im"))
    lines = capsys.readouterr().out.splitlines()
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if "│" in line]
    assert cells[:2] == [
        ["im", "0.2", "1", "0.55", "40.00 ± 0.00", "8.0 of 20"],
        ["oracle", "0.3", "3", "55", "55.00 ± 56.57", "11.0 of 20"],
    ]
    assert [row[0] for row in cells[2:]] == ["0.2", "0.1", "0.3"]
    text = "\n".join(lines)
    assert "chosen by im: --gamma 0.2, epoch 1" in text
    assert "looked at the target's validation videos, the very ones that are tested" in text
    assert "--gamma 0.3, epoch 3, 3.0 videos (15.00 points) ahead" in text
    assert "cost: 3 combinations x 2 seeds = 6 runs, 18 epochs, 2 s of training" in text


def test_a_choice_among_runs_that_came_to_nothing_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A rule prefers some combination whatever they are."""
    folders = made_grid(tmp_path)
    for path in (path for paths in folders for path in paths):
        record = json.loads((path / "result.json").read_text())
        record["troubles"] = {"one class": "all 20 target videos are put into one class"}
        (path / "result.json").write_text(json.dumps(record))
    print_grid(choose(GRID, folders, "im"))
    (told,) = (line for line in capsys.readouterr().out.splitlines() if "beware" in line)
    assert told.startswith("beware: one class: 6 runs of --gamma 0.1, --gamma 0.2, --gamma 0.3, ")


def test_the_mean_of_classes_stands_beside_the_accuracy_where_epochs_have_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = made_grid(tmp_path)
    for number, paths in enumerate(folders):
        for path in paths:
            lines = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
            told = [{**line, "target_mean_class": 10.0 * line["epoch"] + number} for line in lines]
            (path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in told))
    result = choose(GRID, folders, "im")
    assert result.chosen.class_means == (11.0, 11.0)
    record = json.loads(result.path.read_text())
    assert (record["chosen"]["class_mean"], record["chosen"]["class_mean_stdev"]) == (11.0, 0.0)
    print_grid(result)
    text = capsys.readouterr().out
    lines = text.splitlines()
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if "│" in line]
    assert cells[0] == ["im", "0.2", "1", "0.55", "40.00 ± 0.00", "11.00 ± 0.00", "8.0 of 20"]
    assert "mean of classes: each class counts alike" in text
