"""If this breaks, a report mixes closed with partial or open sets, or hides what they are."""

import csv
from pathlib import Path
from typing import Any

import pytest

from ta3n.train.report.figures.accuracy import class_changes, confusion_counts
from ta3n.train.report.tables.sheet import to_latex
from ta3n.train.report.write import write_report
from ta3n.train.runs.selection import OPEN_SET

from ...support.reports import build_contents, collect_runs, page_of
from ...support.small_runs import train

OPEN: dict[str, Any] = {"unknown": "pullup,ride_horse"}
PARTIAL: dict[str, Any] = {"target_classes": "golf,pullup"}
CLOSED: dict[str, Any] = {}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, features: Path) -> Path:
    out = tmp_path_factory.mktemp("runs")
    for sets in (OPEN, PARTIAL, CLOSED):
        for method in ("ta3n", "source-only"):
            train(
                *("ucf", "hmdb", features, out), **sets,
                benchmark="ucf-hmdb-small", method=method, seeds="2", epochs=25,
            )  # fmt: skip
    return out


def test_every_setting_is_a_direction_of_its_own(runs: Path) -> None:
    found = collect_runs(runs)
    assert found.notes == ()
    assert [direction.benchmark for direction in found.directions] == [
        "ucf-hmdb-small", "ucf-hmdb-small-open-pullup+ride_horse",
        "ucf-hmdb-small-partial-golf+pullup",
    ]  # fmt: skip
    assert all(len(direction.rows) == 2 for direction in found.directions)
    names = [sheet.name for sheet in build_contents(found).sheets if sheet.has_runs]
    # One direction of the closed set is nothing to average over, and no other counts to it.
    assert "directions" not in names
    assert "table2" in names
    others = next(s for s in build_contents(found).sheets if s.name == "others")
    named = {block.label.split("(")[1].rstrip(")") for block in others.blocks}
    assert {direction.benchmark for direction in found.directions[1:]} <= named


def test_both_directions_of_an_open_set_share_a_report_and_have_their_mean(
    runs: Path, features: Path, tmp_path: Path
) -> None:
    there = ("hmdb", "ucf", features, tmp_path)
    for method in ("ta3n", "source-only"):
        train(*there, **OPEN, benchmark="ucf-hmdb-small", method=method, seeds="2", epochs=25)
    found = collect_runs(runs, tmp_path)
    # The closed set beside it has a single direction.
    (sheet,) = [s for s in build_contents(found).sheets if s.name.startswith("directions")]
    assert sheet.title == "All directions of ucf-hmdb-small-open-pullup+ride_horse"
    heads = [column.head for column in sheet.columns]
    block = next(each for each in sheet.blocks if each.label == "last")
    # Weights that are usual in each direction are no other row.
    lines = {line[0].text: line for line in block.lines}
    assert set(lines) == {"Source only", "TA3N"}
    both = [d for d in found.directions if d.benchmark.endswith("open-pullup+ride_horse")]
    assert len(both) == 2
    rows = [row for d in both for row in d.rows if row.method == "TA3N"]
    for head, told in (
        ("mean", [row.percents("last") for row in rows]),
        ("mean of classes", [row.class_means("last") for row in rows]),
        ("H-score", [[each["h_score"] for each in row.open_set("last")] for row in rows]),
    ):
        expected = sum(map(sum, told)) / 4
        assert lines["TA3N"][heads.index(head)].values == (pytest.approx(expected),)


def test_the_measures_are_those_that_the_runs_recorded(runs: Path) -> None:
    found = collect_runs(runs)
    (sheet,) = [each for each in build_contents(found).sheets if each.name == "open-set"]
    (block,) = sheet.blocks
    assert "open-pullup+ride_horse" in block.label
    row = found.directions[1].rows[-1]
    recorded = [run.result.rules["last"].open_set for run in row.runs]
    assert row.open_set("last") == recorded
    assert row.class_means("last") == [each["os"] for each in recorded]
    lines = {(line[0].text, line[2].text): line for line in block.lines}
    line = lines[row.method, "last"]
    for place, name in enumerate(OPEN_SET, 3):
        assert line[place].values[0] == pytest.approx(sum(r[name] for r in recorded) / 2)
    assert "OS*: mean accuracy of the known classes" in sheet.caption
    assert sheet.notes[0].startswith("A video is told unknown where the entropy of its class")
    assert r"H-score" in to_latex(sheet)


def test_pictures_have_the_unknown_class_and_bear_with_absent_ones(runs: Path) -> None:
    _, opened, partial = collect_runs(runs).directions
    row, reference = opened.rows[-1], opened.rows[0]
    assert row.classes == ["golf", "ride_bike", "shoot_ball", "unknown"]
    assert confusion_counts(row).sum(axis=1).tolist() == [6, 6, 6, 12]
    changes = {change.name: change.num_videos for change in class_changes(row, reference)}
    assert changes == {"golf": 3, "ride_bike": 3, "shoot_ball": 3, "unknown": 6}
    assert row.tested_by_class == changes
    assert partial.rows[0].tested_by_class == {"golf": 3, "pullup": 3}
    assert confusion_counts(partial.rows[0]).shape == (5, 5)


def test_the_page_says_what_the_settings_are(runs: Path, features: Path, tmp_path: Path) -> None:
    report = write_report(
        [runs], tmp_path, features=features, command="ta3n-report runs --features features"
    )
    text = " ".join(page_of(report).text.split())
    assert "The target is open: pullup, ride_horse are in no source video" in text
    assert "The target is partial: it has 2 of the 5 classes of the source (golf, pullup)" in text
    assert text.count("made for equal classes in both domains") == 2
    assert not [note for note in report.notes if "t-SNE" in note]
    drawn = {path.name for path in report.figures}
    assert {
        f"ucf-hmdb-small-{name}-ucf101-hmdb51-{what}.png"
        for name in ("open-pullup_ride_horse", "partial-golf_pullup")
        for what in ("confusion", "class-changes", "tsne-after", "attention-by-class")
    } <= drawn
    with (tmp_path / "results.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    opened = [line for line in lines if "-open-" in line["benchmark"]]
    assert all(line["h_score_percent"] for line in opened if line["accuracy_percent"])
    assert not any(line["h_score_percent"] for line in lines if line not in opened)
    assert (tmp_path / "tables" / "open-set.tex").is_file()
