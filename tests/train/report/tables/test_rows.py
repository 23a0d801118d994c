"""If this breaks, the table says something else than the runs."""

import csv
import io
from dataclasses import replace
from pathlib import Path
from statistics import mean

import pytest

from ta3n.train.report.data.compare import analyse
from ta3n.train.report.tables.rows import comparisons_sheet, others_sheet, results_csv, split_rules

from ....support.made_runs import make_config, make_rows, make_run
from ....support.reports import collect_runs

ROWS = {
    ("target-only", "relation"): (19, 20),
    ("source-only", "relation"): (9, 8),
    ("revgrad", "pooling"): (10, 10),
    ("ta3n", "relation"): (15,),
}


def test_cells_equal_a_hand_computation(tmp_path: Path) -> None:
    (direction,) = collect_runs(make_rows(tmp_path, ROWS)).directions
    it = analyse(direction)
    sheet = others_sheet([(it, direction.rows)], ("last", "oracle"))
    heads = [column.head for column in sheet.columns]
    assert heads[2:7] == ["last", "oracle", "gain", "videos", "n"]
    (block,) = sheet.blocks
    assert [[cell.text for cell in line[:7]] for line in block.lines] == [
        ["Target only", "relation", "97.50 ± 3.54", "100.00 ± 0.00", "+55.00", "19.5 of 20", "2"],
        ["Source only", "relation", "42.50 ± 3.54", "47.50 ± 3.54", "", "8.5 of 20", "2"],
        # Its source-only row with the same temporal module was not run.
        ["RevGrad", "pooling", "50.00 ± 0.00", "55.00 ± 0.00", "", "10.0 of 20", "2"],
        ["TA3N", "relation", "75.00", "80.00", "+32.50", "15.0 of 20", "1"],
    ]
    assert block.marked == 3


def test_a_rule_that_a_row_lacks_stays_empty(tmp_path: Path) -> None:
    make_run(tmp_path, make_config(), 0, (1, 2, 3), scores={"im": (1, 3, 2)})
    make_run(tmp_path, make_config("source-only"), 0, (1, 2, 3))
    (direction,) = collect_runs(tmp_path).directions
    it = analyse(direction, "im")
    (block,) = others_sheet([(it, direction.rows)], ("last", "im")).blocks
    source, ours = [[cell.text for cell in line] for line in block.lines]
    assert source[2:] == ["15.00", "", "", "", "1", "", "", "", "val"]
    assert ours[2:4] == ["15.00", "10.00"]


def test_classes_count_alike_beside_the_plain_accuracy(tmp_path: Path) -> None:
    (direction,) = collect_runs(make_rows(tmp_path, {("ta3n", "relation"): (15, 13)})).directions
    (row,) = direction.rows
    assert row.tested_by_class == dict.fromkeys(row.classes, 5)
    # With a class of a single video, it weighs as much as one of five.
    first, second = (
        replace(run, predictions=tuple(p for p in run.predictions if p.label or p is it))
        for run in row.runs
        for it in [next(p for p in run.predictions if p.label == 0)]
    )
    row = replace(row, runs=(first, second))
    means = [
        mean(
            mean(float(p.chosen["last"] == p.label) for p in run.predictions if p.label == label)
            for label in range(4)
        )
        for run in row.runs
    ]
    assert row.class_means("last") == pytest.approx([100 * each for each in means])
    assert row.class_means("last")[0] != pytest.approx(row.percents("last")[0])
    direction = replace(direction, rows=(row,))
    sheet = others_sheet([(analyse(direction), direction.rows)], ("last",))
    cells = dict(zip([c.head for c in sheet.columns], sheet.blocks[0].lines[0], strict=True))
    assert cells["mean of classes"].values[0] == pytest.approx(100 * mean(means))
    assert any(note.startswith("Mean of classes: each class counts alike") for note in sheet.notes)
    (few,) = [note for note in sheet.notes if "test clips" in note]
    assert few.startswith(
        f"{direction.target} ({direction.benchmark}): one of 16 test clips is 6.25"
    )
    assert "25.00 of golf (1 of 1)" in few
    lines = csv.DictReader(io.StringIO(results_csv([direction]).decode()))
    told = [float(line["mean_class_percent"]) for line in lines if line["rule"] == "last"]
    assert told == row.class_means("last")


def test_tables_say_on_which_videos_the_label_free_rules_chose(tmp_path: Path) -> None:
    make_run(tmp_path, make_config(), 0, (1, 2, 3), scores={"im": (1, 3, 2)})
    config = make_config("source-only")
    on_train = replace(config, settings={**config.settings, "rules_on": "train"})
    make_run(tmp_path, on_train, 0, (1, 2, 3), scores={"im": (1, 3, 2)})
    (direction,) = collect_runs(tmp_path).directions
    it = analyse(direction)
    notes = others_sheet([(it, direction.rows)], ("last", "im")).notes
    (told,) = [
        note for note in notes if note.startswith("The rules that need no target label (im)")
    ]
    assert "TA3N, relation looked at the target's validation videos, the very ones" in told
    assert "Source only, relation looked at the target's training videos" in told
    assert not any("no target label (" in n for n in others_sheet([(it, it.rows)], ("last",)).notes)


def test_comparisons_tell_points_videos_interval_and_all_tests(tmp_path: Path) -> None:
    rows = {("ta3n", "relation"): (15, 13, 14), ("source-only", "relation"): (9, 8, 8)}
    (direction,) = collect_runs(make_rows(tmp_path, rows)).directions
    sheet = comparisons_sheet([analyse(direction)])
    assert sheet.title == "TA3N, relation against every other row"
    (line,) = sheet.blocks[0].lines
    cells = dict(zip([c.head for c in sheet.columns], (cell.text for cell in line), strict=True))
    assert (cells["against"], cells["points"], cells["videos"]) == (
        "Source only, relation",
        "+28.33",
        "+5.7",
    )
    assert cells["reading"] == "beats it"
    # Three pairs of seeds, all of them better: two of eight ways are as extreme.
    assert cells["p, seeds"] == "0.250"
    assert all(cells.values())


def test_few_rules_stand_first_and_only_those_on_a_terminal() -> None:
    rules = ["last", "source_val", "entropy", "im", "oracle"]
    assert split_rules(rules, "last") == (["last", "im", "oracle"], ["source_val", "entropy"])
    assert split_rules(rules, "entropy")[0] == ["last", "entropy", "im", "oracle"]
    assert split_rules(["snd", "bnm"], "snd") == (["snd", "bnm"], [])


def test_csv_holds_every_seed_and_rule(tmp_path: Path) -> None:
    found = collect_runs(make_rows(tmp_path, ROWS))
    lines = list(csv.DictReader(io.StringIO(results_csv(found.directions).decode())))
    assert len(lines) == 7 * 2
    for line in lines:
        row = next(r for r in found.directions[0].rows if r.config.hash == line["config_hash"])
        run = next(r for r in row.runs if r.seed == int(line["seed"]))
        rule = run.result.rules[line["rule"]]
        assert (line["method"], line["temporal"]) == (row.config.method, row.config.temporal)
        assert float(line["accuracy_percent"]) == rule.percent
        assert (int(line["correct"]), int(line["total"])) == (rule.correct, rule.total)
        assert line["uses_target_labels"] == str(line["rule"] == "oracle")
