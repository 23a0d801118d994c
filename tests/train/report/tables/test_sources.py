"""One source and several stand side by side, and are never taken for each other."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from ta3n.train.report.data.compare import settings_apart
from ta3n.train.report.tables.sheet import to_csv
from ta3n.train.report.write import Report, write_report
from ta3n.train.runs.folder import RunConfig

from ....support.made_runs import make_config, make_run

SOURCES = ("olympic", "ucf101")


def several(method: str, domains: str = "") -> RunConfig:
    """Return a run from two sources; methods that tell them apart say as what they took them."""
    config = make_config(method, source="+".join(SOURCES))
    told = {"sources": list(SOURCES), **({"domains": domains} if domains else {})}
    data = {
        key: {**config.data[key], **dict.fromkeys(SOURCES, config.data[key]["hmdb51"])}
        for key in ("manifests", "lists", "videos")
    }
    return replace(
        config,
        settings={**config.settings, **told},
        identity={**config.identity, "domains": domains},
        data={**config.data, **data},
    )


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Return a report of both single sources and of them together."""
    folder = tmp_path_factory.mktemp("several")
    for seed in range(2):
        for config, correct in (
            (make_config("ta3n", source="ucf101"), 10),
            (make_config("ta3n", source="olympic"), 6 + seed),
            (make_config("source-only", source="ucf101"), 4),
            (several("ta3n", "one"), 12),
            (several("ta3n", "each"), 14),
            (several("source-only"), 5),
        ):
            # One list of each dataset, as all manifests are of one call.
            same = dict.fromkeys(config.data["manifests"], "a" * 64)
            data = {**config.data, "manifests": same, "lists": same}
            make_run(folder / "runs", replace(config, data=data), seed, (1, 2, correct))
    return write_report(
        [folder / "runs"], folder / "out", features=None, command="x", pictures=False
    )


def lines_of(report: Report, name: str) -> list[dict[str, str]]:
    (sheet,) = [sheet for sheet in report.contents.sheets if sheet.name == name]
    return list(csv.DictReader(to_csv(sheet).splitlines()))


def test_single_best_combined_and_multi_source_stand_in_a_line(report: Report) -> None:
    (ta3n,) = [
        line
        for line in lines_of(report, "sources")
        if (line["method"], line["rule"]) == ("TA3N", "last")
    ]
    assert ta3n["direction"] == "olympic+ucf101 → hmdb51 (ucf-hmdb-small)"
    assert ta3n["single_sources"] == "olympic 32.50 ± 3.54; ucf101 50.00 ± 0.00"
    assert ta3n["single_best_source"] == "ucf101"
    assert float(ta3n["single_best_percent"]) == pytest.approx(50)
    assert float(ta3n["single_mean_percent"]) == pytest.approx(41.25)
    assert float(ta3n["combined_percent"]) == pytest.approx(60)
    assert float(ta3n["combined_less_best_points"]) == pytest.approx(10)
    assert float(ta3n["multi_source_percent"]) == pytest.approx(70)
    assert float(ta3n["multi_source_less_best_points"]) == pytest.approx(20)
    assert ta3n["num_seeds"] == "2"


def test_there_is_no_best_where_a_source_was_not_run_alone(report: Report) -> None:
    (plain,) = [
        line
        for line in lines_of(report, "sources")
        if (line["method"], line["rule"]) == ("Source only", "last")
    ]
    assert plain["single_sources"] == "ucf101 20.00 ± 0.00"
    assert float(plain["combined_percent"]) == pytest.approx(25)
    for name in ("single_best_source", "single_best_percent", "combined_less_best_points"):
        assert plain[name] == ""
    assert plain["multi_source_percent"] == ""


def test_several_sources_have_no_part_in_the_mean_of_all_directions(report: Report) -> None:
    assert "+" not in "".join(lines_of(report, "directions")[0])
    labels = [direction.label for direction in report.contents.runs.directions]
    assert len(labels) == 3
    assert "olympic+ucf101 → hmdb51 (ucf-hmdb-small)" in labels


def test_the_page_says_that_the_best_is_chosen_on_target_labels(report: Report) -> None:
    page = report.page.read_text()
    assert "One source or several" in page
    assert "chosen on target labels" in page
    assert page.count("<td") > 0


def test_rows_of_other_domains_are_told_apart(report: Report) -> None:
    (direction,) = [d for d in report.contents.runs.directions if len(d.sources) > 1]
    variants = {row.variant for row in direction.rows if row.method == "TA3N"}
    assert variants == {"domains one", "domains each"}
    one, each = sorted(
        (row for row in direction.rows if row.method == "TA3N"), key=lambda r: r.config.are_domains
    )
    (plain,) = [row for row in direction.rows if row.method == "Source only"]
    assert settings_apart(one, each) == ["domains one, not each"]
    assert settings_apart(plain, each) == []


def test_the_focal_row_is_that_of_one_domain(report: Report) -> None:
    (analysis,) = [a for a in report.contents.analyses if len(a.direction.sources) > 1]
    assert analysis.focal is not None
    assert not analysis.focal.config.are_domains


def test_the_tidy_table_tells_the_domains(report: Report) -> None:
    lines = list(csv.DictReader(report.csv.read_text().splitlines()))
    told = {(line["source"], line["method"], line["domains"]) for line in lines}
    assert ("olympic+ucf101", "ta3n", "each") in told
    assert ("olympic+ucf101", "source-only", "") in told
    assert ("ucf101", "ta3n", "") in told


def test_single_sources_alone_have_no_such_table(tmp_path: Path) -> None:
    make_run(tmp_path / "runs", make_config("ta3n"), 0, (1, 2, 3))
    report = write_report(
        [tmp_path / "runs"], tmp_path / "out", features=None, command="x", pictures=False
    )
    assert "sources" not in [sheet.name for sheet in report.contents.sheets]


def test_several_sources_have_their_table_without_any_run_alone(tmp_path: Path) -> None:
    make_run(tmp_path / "runs", several("source-only"), 0, (1, 2, 5))
    report = write_report(
        [tmp_path / "runs"], tmp_path / "out", features=None, command="x", pictures=False
    )
    line, *_ = lines_of(report, "sources")
    assert (line["single_sources"], line["single_best_percent"]) == ("", "")
    assert float(line["combined_percent"]) == pytest.approx(25)
