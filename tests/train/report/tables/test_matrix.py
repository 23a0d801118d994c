"""Directions stand side by side, with a mean only where a row was run in all of them."""

import csv
import shutil
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from statistics import mean

import pytest

from ta3n.datasets.benchmarks.benchmark import BUILT_IN
from ta3n.datasets.published.figures import FIGURES
from ta3n.datasets.published.registry import PUBLISHED
from ta3n.train.recipe.directions import direction_weights
from ta3n.train.report.data.compare import hits_of
from ta3n.train.report.data.statistics import accuracy_interval
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


def test_benchmarks_of_the_same_datasets_have_tables_of_their_own(tmp_path: Path) -> None:
    names = ("ucf-hmdb-small", "ucf-hmdb-full")
    for name, corrects in zip(names, ((10, 6), (18, 12)), strict=True):
        for (source, target), correct in zip((THERE, BACK), corrects, strict=True):
            config = make_config(benchmark=name, source=source, target=target)
            make_run(tmp_path / "runs", config, 0, (1, 2, correct))
    report = write(tmp_path)
    means = {}
    for name in names:
        rows = list(csv.DictReader(file_of(report, f"directions-{name}").splitlines()))
        (row,) = [row for row in rows if row["rule"] == "last"]
        assert len([column for column in row if column.endswith("_percent")]) == 2 + 5
        means[name] = float(row["mean_percent"])
    assert means == {"ucf-hmdb-small": 40, "ucf-hmdb-full": 75}
    # Of a report of one benchmark its files are called otherwise, and the others go.
    shutil.rmtree(tmp_path / "runs" / "ucf-hmdb-full")
    write(tmp_path)
    found = sorted(path.name for path in (tmp_path / "out" / "tables").glob("directions*.csv"))
    assert found == ["directions.csv"]


def write(folder: Path) -> Report:
    return write_report(
        [folder / "runs"], folder / "out", features=None, command="x", pictures=False
    )


def file_of(report: Report, name: str, suffix: str = "csv") -> str:
    return (report.csv.parent / "tables" / f"{name}.{suffix}").read_text()


THREE = ("synthetic-a", "synthetic-b", "synthetic-c")


def make_three(folder: Path, *lacking: tuple[str, str]) -> None:
    """Make runs of two rows in the directions of three datasets, one of which lacks some."""
    for number, (source, target) in enumerate(permutations(THREE, 2)):
        for method, correct in (("source-only", 6), ("ta3n", 9)):
            if method == "ta3n" and (source, target) in lacking:
                continue
            config = make_config(method, source=source, target=target, benchmark="three")
            data = {**config.data, "benchmark": {name: {} for name in THREE}}
            for seed in range(2):
                corrects = (1, 15, correct + number + seed)
                make_run(folder / "runs", replace(config, data=data), seed, corrects)


def test_the_mean_has_an_interval_and_the_oracle_beside_it(tmp_path: Path) -> None:
    make_three(tmp_path)
    report = write(tmp_path)
    rows = rows_of(report, "last")
    ta3n = rows["TA3N"]
    percents = [float(ta3n[f"{a} → {b}_percent"]) for a, b in permutations(THREE, 2)]
    whole = float(ta3n["mean_percent"])
    assert whole == pytest.approx(mean(percents))
    low, high = float(ta3n["mean_low_percent"]), float(ta3n["mean_high_percent"])
    assert low < whole < high
    # Six directions on three times 20 videos tell more than one.
    (analysis, *_) = report.contents.analyses
    row = next(row for row in analysis.direction.rows if row.method == "TA3N")
    alone = accuracy_interval(hits_of(row, "last"))
    assert alone
    assert high - low < alone.high - alone.low
    assert float(ta3n["oracle_mean_percent"]) == pytest.approx(75)
    assert rows_of(report, "oracle")["TA3N"]["mean_percent"] == ta3n["oracle_mean_percent"]
    table = file_of(report, "directions", "md")
    assert "a → b" in table
    assert "| mean | 95 % interval | mean, oracle |" in table
    page = report.page.read_text()
    assert "All directions of three: last" in page


def test_a_mean_over_fewer_directions_is_not_told_as_the_mean(tmp_path: Path) -> None:
    make_three(tmp_path, ("synthetic-c", "synthetic-a"), ("synthetic-b", "synthetic-c"))
    report = write(tmp_path)
    rows = rows_of(report, "last")
    assert rows["Source only"]["mean_percent"]
    ta3n = rows["TA3N"]
    assert not any(
        ta3n[name] for name in ("mean_percent", "mean_low_percent", "oracle_mean_percent")
    )
    assert ta3n["synthetic-c → synthetic-a_percent"] == ""
    (line,) = [
        line
        for line in file_of(report, "directions", "md").splitlines()
        if "TA3N" in line and "— (4 of 6)" in line and "±" in line
    ][:1]
    assert line.count("| — |") >= 2
    assert "— (4 of 6)" in file_of(report, "directions", "tex")


def test_without_all_directions_of_the_benchmark_no_row_has_the_mean(tmp_path: Path) -> None:
    make_three(tmp_path)
    shutil.rmtree(tmp_path / "runs" / "three" / "synthetic-c-synthetic-b")
    report = write(tmp_path)
    assert {row["mean_percent"] for row in rows_of(report, "last").values()} == {""}
    note = "Not run: 1 of the 6 directions of the benchmark (c → b), so that no row has the mean."
    assert note in report.page.read_text()


def test_published_figures_stand_by_with_their_backbone_and_selection(tmp_path: Path) -> None:
    for source, target in (THERE, BACK):
        config = make_config(source=source, target=target, benchmark="ucf-hmdb-full")
        make_run(tmp_path / "runs", config, 0, (1, 2, 10))
    report = write(tmp_path)
    lines = list(csv.DictReader(file_of(report, "published").splitlines()))
    rows = {(line["method"], line["backbone"]): line for line in lines}
    transvae = rows["TranSVAE (NeurIPS 2023)", "I3D, Kinetics"]
    assert transvae["hmdb51 → ucf101_percent"] == "98.95"
    assert transvae["mean_percent"] == "93.37"
    assert transvae["selection"] == "best epoch on the test videos, of 1000"
    assert transvae["on_test_labels"] == "yes"
    assert rows["DANN", "I3D, Kinetics"]["on_test_labels"] == "not established"
    assert "TranSVAE (NeurIPS 2023)" in report.page.read_text()


def test_published_means_are_those_of_their_directions() -> None:
    named = {(b.name, d) for b in (*BUILT_IN, *PUBLISHED) for d in b.sides}
    for figure in FIGURES:
        assert 0 < figure.mean < 100
        if figure.by_direction:
            assert mean(figure.by_direction.values()) == pytest.approx(figure.mean, abs=0.06)
        for pair in figure.by_direction:
            assert {(figure.benchmark, name) for name in pair} <= named
        assert figure.benchmark in {name for name, _ in named}
        assert bool(figure.selection) == (figure.on_test_labels is not None)
