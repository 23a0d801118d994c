"""Directions stand side by side, with a mean only where a row was run in all of them."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from ta3n.train.recipe.directions import direction_weights
from ta3n.train.report.tables.sheet import to_csv
from ta3n.train.report.write import Report, write_report
from ta3n.train.runs.folder import RunConfig

from ....support.made_runs import make_config, make_run


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Return a report of two directions, of which one lacks a row."""
    folder = tmp_path_factory.mktemp("two")
    for seed in range(3):
        make_run(folder / "runs", make_config("source-only"), seed, (1, 2, 6 + seed))
        make_run(folder / "runs", make_config("ta3n"), seed, (1, 2, 15))
        make_run(folder / "runs", make_config("dan", label="DAN"), seed, (1, 2, 8))
        for name, correct in (("source-only", 4), ("ta3n", 9)):
            back = make_config(name, source="hmdb51", target="ucf101")
            make_run(folder / "runs", back, seed, (1, 2, correct))
    return write_report(
        [folder / "runs"], folder / "out", features=None, command="x", pictures=False,
        focal=("ta3n", "dan"),
    )  # fmt: skip


def rows_of(report: Report, rule: str) -> dict[str, dict[str, str]]:
    (sheet,) = [sheet for sheet in report.contents.sheets if sheet.name == "directions"]
    lines = csv.DictReader(to_csv(sheet).splitlines())
    return {line["method"]: line for line in lines if line["rule"] == rule}


def test_every_direction_has_a_column_and_the_mean_is_over_all(report: Report) -> None:
    rows = rows_of(report, "last")
    ta3n = rows["TA3N"]
    there, back = "ucf101 → hmdb51", "hmdb51 → ucf101"
    assert float(ta3n[f"{there}_percent"]) == pytest.approx(75)
    assert float(ta3n[f"{back}_percent"]) == pytest.approx(45)
    assert float(ta3n["mean_percent"]) == pytest.approx(60)
    assert float(rows["Source only"][f"{there}_sd"]) == pytest.approx(5)
    assert rows["DAN"][f"{back}_percent"] == ""
    assert rows["DAN"]["mean_percent"] == ""


def test_what_the_test_says_of_a_row_stands_in_its_cell(report: Report) -> None:
    (analysis, _) = report.contents.analyses
    label = f"{analysis.direction.source} → {analysis.direction.target}"
    source_only = next(c for c in analysis.comparisons if c.reference.method == "Source only")
    expected = {"ahead": "worse", "behind": "better", "level": ""}[source_only.call]
    assert rows_of(report, "last")["Source only"][f"{label}_reading"] == expected
    assert rows_of(report, "oracle")["Source only"][f"{label}_reading"] == ""


def test_one_direction_needs_no_such_table(tmp_path: Path) -> None:
    make_run(tmp_path / "runs", make_config("ta3n"), 0, (1, 2, 3))
    report = write_report(
        [tmp_path / "runs"], tmp_path / "out", features=None, command="x", pictures=False
    )
    assert "directions" not in [sheet.name for sheet in report.contents.sheets]


def test_a_direction_that_lacks_the_first_row_is_about_the_next(tmp_path: Path) -> None:
    for seed in range(2):
        for method in ("source-only", "ta3n"):
            make_run(tmp_path / "runs", make_config(method), seed, (1, 2, 8))
        for method in ("source-only", "dan"):
            back = make_config(method, source="hmdb51", target="ucf101")
            make_run(tmp_path / "runs", back, seed, (1, 2, 8))
    for names, expected in ((("ta3n", "dan"), "dan"), (("ta3n",), "dan")):
        report = write_report(
            [tmp_path / "runs"], tmp_path / "out", features=None, command="x", pictures=False,
            focal=names,
        )  # fmt: skip
        found = {
            a.direction.source: a.focal.config.method for a in report.contents.analyses if a.focal
        }
        assert found == {"ucf101": "ta3n", "hmdb51": expected}


def test_a_further_row_is_held_against_all_others_too(report: Report) -> None:
    page = report.page.read_text()
    for analysis in report.contents.analyses:
        names = [each.focal.method for each in analysis.further if each.focal]
        has_dan = any(row.method == "DAN" for row in analysis.direction.rows)
        assert names == (["DAN"] if has_dan else [])
    assert "DAN (40.0 % right on the target" in page


THERE, BACK = ("ucf101", "hmdb51"), ("hmdb51", "ucf101")


def mcc(direction: tuple[str, str], weight: float, **settings: object) -> RunConfig:
    """Return a run of MCC with a weight of its own."""
    source, target = direction
    config = make_config("mcc", source=source, target=target)
    told = {**config.settings, "weights": {"mcc": weight}, **settings}
    return replace(config, settings=told, identity={**config.identity, "told": repr(told)})


def report_of(folder: Path, *configs: RunConfig) -> Report:
    for config in configs:
        make_run(folder / "runs", config, 0, (1, 2, 10))
    return write_report(
        [folder / "runs"], folder / "out", features=None, command="x", pictures=False
    )


def test_runs_of_other_settings_are_no_row_together(tmp_path: Path) -> None:
    rows = rows_of(report_of(tmp_path, mcc(THERE, 1.0), mcc(BACK, 0.3)), "last")
    assert set(rows) == {"MCC (mcc 1.0)", "MCC (mcc 0.3)"}
    assert {row["mean_percent"] for row in rows.values()} == {""}


def test_a_run_that_started_from_another_is_no_row_with_one_that_did_not(tmp_path: Path) -> None:
    start = {"method": "dan", "label": "DAN", "temporal": "relation", "hash": "0", "seed": None}
    report = report_of(tmp_path, mcc(THERE, 1.0, init_from=start), mcc(BACK, 1.0))
    assert set(rows_of(report, "last")) == {"MCC (from dan)", "MCC (from scratch)"}


def test_runs_of_equal_settings_are_one_row_whatever_stands_beside_them(tmp_path: Path) -> None:
    rows = rows_of(report_of(tmp_path, mcc(THERE, 1.0), mcc(THERE, 0.3), mcc(BACK, 0.3)), "last")
    assert rows["MCC (mcc 0.3)"]["mean_percent"] == "50.0"
    assert rows["MCC (mcc 1.0)"]["mean_percent"] == ""


def test_weights_that_were_published_for_a_direction_are_of_one_row(tmp_path: Path) -> None:
    configs = []
    for source, target in (THERE, BACK):
        config = make_config("ta3n", source=source, target=target, benchmark="ucf-hmdb-full")
        usual = direction_weights("ucf-hmdb-full", source, target).values
        weights = {**config.settings["weights"], **usual}
        configs.append(replace(config, settings={**config.settings, "weights": weights}))
    assert configs[0].settings["weights"] != configs[1].settings["weights"]
    assert list(rows_of(report_of(tmp_path, *configs), "last")) == ["TA3N"]


def test_benchmarks_of_the_same_datasets_have_columns_of_their_own(tmp_path: Path) -> None:
    both = [make_config(benchmark=name) for name in ("ucf-hmdb-small", "ucf-hmdb-full")]
    (row,) = rows_of(report_of(tmp_path, *both), "last").values()
    assert len([name for name in row if name.endswith(")_percent")]) == 2
