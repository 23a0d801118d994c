"""The report of runs with several heads: a figure for each, and none without labels."""

import csv
from pathlib import Path

import pytest

from ta3n.train.report.pages import NO_LABELS
from ta3n.train.report.write import Report, write_report
from ta3n.train.runs.records import read_run

from ...support.headed_features import make_epic_features
from ...support.small_runs import train


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("headed")
    features = make_epic_features(folder / "features")
    for benchmark, changes in (
        ("epic100-tune", {"method": "ta3n"}),
        ("epic100-tune", {"method": "source-only"}),
        ("epic100-tune", {"heads": "verb"}),
        ("epic100-final", {}),
    ):
        settings = {"recipe": "epic100", "learning_rate": 0.03, "batch_size": 8, **changes}
        train(
            "epic-source", "epic-target", features, folder / "runs", benchmark=benchmark, **settings
        )
    return folder


@pytest.fixture(scope="module")
def report(folder: Path) -> Report:
    return write_report(
        [folder / "runs"], folder / "report", features=folder / "features", command="made up"
    )


def lines(report: Report, name: str) -> list[dict[str, str]]:
    (path,) = (path for path in report.tables if path.name == f"{name}.csv")
    with path.open() as file:
        return list(csv.DictReader(file))


def test_each_head_and_action_have_a_column(folder: Path, report: Report) -> None:
    runs = map(read_run, (folder / "runs" / "epic100-tune").glob("*/ta3n-*/seed-*"))
    (run,) = (run for run in runs if len(run.result.rules["last"].by_head) == 2)
    last = run.result.rules["last"]
    direction = "epic100-source → epic100-target (epic100-tune)"
    (line,) = (
        line
        for line in lines(report, "heads")
        if (line["direction"], line["method"], line["rule"]) == (direction, "TA3N", "last")
    )
    for name, percent in last.percents().items():
        assert float(line[f"{name}_percent"]) == pytest.approx(percent), name


def test_floors_stand_beside_them(report: Report) -> None:
    floors = [line for line in lines(report, "heads") if line["method"] == "floor, source"]
    assert [line["verb_percent"][:5] for line in floors] == ["33.33", "33.33"]
    assert [line["action_percent"][:4] for line in floors] == ["", "8.33"]


def test_one_head_alone_is_a_direction_of_its_own(report: Report) -> None:
    labels = [direction.label for direction in report.contents.runs.directions]
    assert labels == [
        "epic100-source → epic100-target (epic100-final)",
        "epic100-source → epic100-target (epic100-tune, verb alone)",
        "epic100-source → epic100-target (epic100-tune)",
    ]


def test_without_labels_there_is_no_figure_and_the_page_says_so(report: Report) -> None:
    page = report.page.read_text()
    assert NO_LABELS in page
    assert "nan" not in page.split("data:image")[0]
    assert {line["rule"] for line in lines(report, "epochs")} >= {"last", "im", "entropy"}
    with report.csv.open() as file:
        final = [line for line in csv.DictReader(file) if line["benchmark"] == "epic100-final"]
    assert {line["accuracy_percent"] for line in final} == {""}
    assert any("the tested videos have no labels" in note for note in report.notes)


def test_pictures_that_need_neither_labels_nor_one_head_are_drawn(report: Report) -> None:
    names = {path.stem.rpartition("verb-noun-")[2] for path in report.figures}
    assert {"losses", "tsne-after", "attention", "domain-accuracy", "learning-curves"} <= names
    assert not {"confusion", "class-changes"} & names
