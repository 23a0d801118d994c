"""If this breaks, a selection rule seems better or worse than it is, or to need no labels."""

import csv
import io
from pathlib import Path

import pytest

from ta3n.train.report.data.collect import DirectionRuns
from ta3n.train.report.data.compare import analyse
from ta3n.train.report.tables.rows import (
    others_sheet,
    results_csv,
    rules_sheet,
    summarise_rules,
)

from ....support.made_runs import TOTAL, make_config, make_run
from ....support.reports import collect_runs

RULES = ("last", "im", "snd", "oracle")


def make_direction(folder: Path) -> DirectionRuns:
    """Two runs of four epochs; `im` orders epochs rightly, `snd` in reverse."""
    for seed, corrects in enumerate(((2, 10, 16, 12), (4, 8, 14, 10))):
        scores = {"im": [c / 10 - seed for c in corrects], "snd": [-float(c) for c in corrects]}
        make_run(folder, make_config(epochs=4), seed, corrects, scores=scores)
    make_run(folder, make_config("source-only", epochs=4), 0, (2, 10, 12, 11))
    make_run(folder, make_config("target-only", epochs=4), 0, (2, 20, 20, 20))
    return collect_runs(folder).directions[0]


def test_figures_equal_a_hand_computation(tmp_path: Path) -> None:
    found = {s.rule: s for s in summarise_rules(make_direction(tmp_path), RULES)}
    assert found["last"].num_runs == found["oracle"].num_runs == 3
    assert found["last"].accuracy == pytest.approx(100 * (12 + 10 + 11) / 3 / TOTAL)
    assert found["last"].gap == pytest.approx(100 * (4 + 4 + 1) / 3 / TOTAL)
    # Source only lacks the rule: the gap is that of the runs that have it.
    assert (found["im"].num_runs, found["im"].gap) == (2, 0)
    assert found["im"].accuracy == pytest.approx(75)
    assert found["snd"].gap == pytest.approx(100 * (14 + 10) / 2 / TOTAL)
    assert found["im"].within == pytest.approx(1)
    assert found["snd"].within == pytest.approx(-1)
    assert found["last"].within is None
    # Two runs are too few to be ranked.
    assert found["im"].across is None


def test_correlation_over_runs_is_at_the_epoch_chosen(tmp_path: Path) -> None:
    for seed, best in enumerate((10, 12, 14, 16)):
        scores = {"im": (0.0, float(seed), -1.0), "snd": (0.0, 9.0 - seed, -1.0)}
        make_run(tmp_path, make_config(), seed, (1, best, 2), scores=scores)
    found = {s.rule: s for s in summarise_rules(collect_runs(tmp_path).directions[0], RULES)}
    assert found["im"].across == pytest.approx(1)
    assert found["snd"].across == pytest.approx(-1)


def test_only_the_oracle_reads_labels_to_choose(tmp_path: Path) -> None:
    direction = make_direction(tmp_path)
    reads = {s.rule: s.label_reads for s in summarise_rules(direction, RULES)}
    assert reads == {"last": 0, "im": 0, "snd": 0, "oracle": 3 * 4 * TOTAL}
    note, *_ = rules_sheet([direction], RULES).notes
    # Four epochs and the predictions, in each of four runs.
    assert f"read {4 * 5 * TOTAL} times in 4 runs" in note


def test_rules_are_described_and_unknown_ones_are_shown_all_the_same(tmp_path: Path) -> None:
    for seed in range(2):
        make_run(
            tmp_path, make_config(), seed, (1, 3, 2), scores={"im": (1, 3, 2), "new": (1, 2, 3)}
        )
    direction = collect_runs(tmp_path).directions[0]
    assert direction.rules == ["last", "im", "new", "oracle"]
    sheet = rules_sheet([direction], direction.rules)
    assert [line[0].text for line in sheet.blocks[0].lines] == direction.rules
    told = dict(note.split(": ", 1) for note in sheet.notes[1:])
    assert told["im"].startswith("no target label: certain target predictions")
    assert "Shi and Sha" in told["im"]
    assert told["new"] == "a rule that this version does not know."
    assert "not available in practice" in told["oracle"]


def test_scores_that_are_missing_or_not_finite_are_left_out(tmp_path: Path) -> None:
    scores = {"im": (float("nan"), 0.1, 0.2, 0.3)}
    path = make_run(tmp_path, make_config(epochs=4), 0, (9, 2, 4, 6), scores=scores)
    text = (path / "metrics.jsonl").read_text()
    assert "NaN" in text
    (summary,) = summarise_rules(collect_runs(tmp_path).directions[0], ("im",))
    assert summary.within == pytest.approx(1)


def test_a_rule_whose_scores_were_withheld_is_told_with_the_reason(tmp_path: Path) -> None:
    """One seed has some of its scores, the other none: no figure is made of another epoch."""
    few = {"dev": {"too few": 2}}
    weights = [{"dev": {"mean_weight": w}} for w in (0.5, 1.5, 1.0)]
    make_run(
        tmp_path, make_config(), 0, (1, 3, 2), scores={"dev": (-0.3, -0.1, -0.2)},
        withheld=few, measured={"measures": weights},
    )  # fmt: skip
    make_run(tmp_path, make_config(), 1, (1, 3, 2), withheld={"dev": {"too few": 3}})
    make_run(tmp_path, make_config("dan"), 0, (1, 3, 2), withheld={"snd": {"falls": 3}})
    (direction,) = collect_runs(tmp_path).directions
    assert direction.rules == ["last", "snd", "dev", "oracle"]
    found = {s.rule: s for s in summarise_rules(direction, direction.rules)}
    assert (found["dev"].num_runs, found["dev"].epochs) == (1, (2,))
    assert found["dev"].withheld == pytest.approx(100 * 5 / 6)
    assert (found["snd"].num_runs, found["snd"].accuracy, found["snd"].epochs) == (0, None, ())
    sheet = rules_sheet([direction], direction.rules)
    told = "score withheld in 5 epochs of 2 runs, in 1 of them in all, where it chooses no epoch"
    assert f"dev: {told} and has no figure: too few (5)." in sheet.notes
    assert any("dev, median over 3 epochs" in n and "mean weight 1 (0.5" in n for n in sheet.notes)
    lines = {line[0].text: [cell.text for cell in line] for line in sheet.blocks[0].lines}
    assert lines["snd"][1:3] == ["", ""]
    kept = csv.DictReader(io.StringIO(results_csv([direction]).decode()))
    lines_of_dev = [
        (k["seed"], k["epochs_withheld"], k["epoch"]) for k in kept if k["rule"] == "dev"
    ]
    assert lines_of_dev == [("0", "2", "2"), ("1", "3", "")]
    notes = others_sheet([(analyse(direction), direction.rows)], direction.rules).notes
    assert any(note.startswith("snd: score withheld in 3 epochs of 1 run, in 1") for note in notes)


def test_the_epochs_that_a_rule_chose_are_told(tmp_path: Path) -> None:
    for seed, best in enumerate((1, 3, 2)):
        scores = {"im": [float(epoch == best) for epoch in (1, 2, 3)]}
        make_run(tmp_path, make_config(), seed, (1, 3, 2), scores=scores)
    (direction,) = collect_runs(tmp_path).directions
    sheet = rules_sheet([direction], ("last", "im"))
    at = [column.head for column in sheet.columns].index("epochs chosen")
    assert [line[at].text for line in sheet.blocks[0].lines] == ["3", "2 (1 to 3)"]
