"""If this breaks, a method that the paper does not have is left out of a report, or misnamed."""

import csv
from pathlib import Path

import pytest

from ta3n.train.report.figures.look import row_look
from ta3n.train.report.figures.pictures import draw_pictures
from ta3n.train.report.tables.summary import main_finding
from ta3n.train.report.write import Report, write_report

from ...support.made_runs import make_config, make_rows, make_run

KNOWN = {("source-only", "relation"): (6, 5), ("ta3n", "relation"): (10, 11)}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Return a report of TA3N at 52 % and of a method of one's own at 90 %."""
    folder = tmp_path_factory.mktemp("toy")
    make_rows(folder / "runs", KNOWN)
    for seed in range(2):
        toy = make_config("toy", label="Toy")
        make_run(folder / "runs", toy, seed, (1, 2, 18))
    make_run(folder / "runs", make_config("plain"), 0, (1, 2, 3))
    return write_report(
        [folder / "runs"], folder / "out", features=None, command="x", pictures=False
    )


def test_it_stands_in_the_tables_under_its_label(report: Report) -> None:
    (others,) = [path for path in report.tables if path.name == "others.csv"]
    with others.open(newline="") as file:
        rows = {row["method"]: row for row in csv.DictReader(file)}
    # Without a label a method goes by its name.
    assert list(rows) == ["Source only", "plain", "Toy"]
    assert (rows["Toy"]["last_percent"], rows["Toy"]["gain_points"]) == ("90.0", "62.5")
    assert rows["Toy"]["p_corrected"]
    (compared,) = [path for path in report.tables if path.name == "comparisons.md"]
    assert "| Toy, relation |" in compared.read_text()
    assert '<th scope="row">Toy</th>' in report.page.read_text()


def test_it_stands_in_the_summary(report: Report) -> None:
    (analysis,) = report.contents.analyses
    text = main_finding(analysis)
    assert text.startswith("TA3N (52.5 % right on the target")
    assert "Toy (−37.5 points or −7.5 videos" in text  # noqa: RUF001
    assert "against plain" in text


def test_a_method_of_ones_own_can_be_what_the_report_is_about(tmp_path: Path) -> None:
    make_rows(tmp_path, {("source-only", "relation"): (6, 5)})
    for seed in range(2):
        make_run(tmp_path, make_config("toy", label="Toy"), seed, (1, 2, 18))
    report = write_report([tmp_path], tmp_path / "out", features=None, command="x", pictures=False)
    (analysis,) = report.contents.analyses
    assert main_finding(analysis).startswith("Toy (90.0 % right on the target, 18.0 of 20 videos")


def test_it_is_drawn_with_a_look_of_its_own(report: Report) -> None:
    (direction,) = report.contents.runs.directions
    pictures = draw_pictures(direction, None).pictures
    alts = {panel.name: panel.alt for picture in pictures for panel in picture.panels}
    assert "Toy, relation: last 90.0 %" in alts["accuracy"]
    assert "Toy, relation from 5 to 90" in alts["learning-curves"]
    looks = [(row_look(row)["color"], row_look(row)["marker"]) for row in direction.rows]
    assert len(set(looks)) == len(looks) == 4


def test_methods_of_one_label_are_told_apart(tmp_path: Path) -> None:
    for name in ("toy", "toy-two"):
        make_run(tmp_path, make_config(name, label="Toy"), 0, (1, 2, 3))
    report = write_report([tmp_path], tmp_path / "out", features=None, command="x", pictures=False)
    (direction,) = report.contents.runs.directions
    assert [row.label for row in direction.rows] == [
        "Toy, relation (name toy)",
        "Toy, relation (name toy-two)",
    ]
