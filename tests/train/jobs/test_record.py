"""If this breaks, scripts read other figures than the table tells, or something that is no JSON."""

import csv
import json
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ta3n.train.report.cli import main as report

from ...support import directions
from ...support.directions import ROWS, make_domains
from ...support.small_runs import ta3n_train


@pytest.fixture(scope="module")
def domains(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return made-up features of two domains."""
    return make_domains(tmp_path_factory.mktemp("domains"))


def call(features: Path, out: Path, *more: object) -> Result:
    return directions.call(features, out, *more, "--json")


@pytest.fixture(scope="module")
def trained(domains: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """Return the folder of two rows in two directions, and what was told of them."""
    out = tmp_path_factory.mktemp("runs")
    result = call(domains, out, *ROWS, "--seeds", 2)
    assert result.exit_code == 0, result.stderr
    assert "2 directions of 2 rows: 8 runs" in result.stderr
    return out, json.loads(result.stdout)


def test_every_run_is_told_with_the_figures_of_its_folder(trained: tuple[Path, Any]) -> None:
    out, told = trained
    assert {run["folder"] for run in told["runs"]} == {
        str(path.parent) for path in out.rglob("result.json")
    }
    for run in told["runs"]:
        kept = json.loads(Path(run["folder"], "result.json").read_text())
        assert (run["seed"], run["troubles"]) == (kept["seed"], kept["troubles"])
        figures = run["rules"]["last"]
        assert figures["correct"] == kept["rules"]["last"]["correct"]
        assert figures["accuracy_percent"] == 100 * figures["correct"] / figures["total"]
    assert (told["diverged"], told["left_to_other_jobs"]) == ([], 0)


def test_rows_have_means_over_seeds_and_directions(trained: tuple[Path, Any]) -> None:
    _, told = trained
    assert [row["method"] for row in told["rows"]] == ["source-only", "ta3n"]
    for row in told["rows"]:
        directions = row["rules"]["oracle"]["directions"]
        for each in directions:
            runs = [
                run["rules"]["oracle"]["accuracy_percent"]
                for run in told["runs"]
                if (run["method"], run["source"]) == (row["method"], each["source"])
            ]
            assert (each["n"], each["mean_percent"]) == (2, mean(runs))
            assert each["stdev_percent"] == stdev(runs)
        assert row["rules"]["oracle"]["mean_percent"] == mean(
            each["mean_percent"] for each in directions
        )


def test_what_diverged_or_is_left_is_told(domains: Path, tmp_path: Path) -> None:
    line = ("--source", "synthetic-a", "--target", "synthetic-b", "--seeds", 2)
    part = call(domains, tmp_path / "part", *line, "--shard", "0/2")
    assert part.exit_code == 0, part.stderr
    told = json.loads(part.stdout)
    assert (len(told["runs"]), told["left_to_other_jobs"]) == (1, 1)
    failed = call(domains, tmp_path / "all", *line, "--learning-rate", 1e12)
    assert failed.exit_code == 3
    told = json.loads(failed.stdout)
    assert (told["runs"], [each["seed"] for each in told["diverged"]]) == ([], [0, 1])
    assert told["rows"][0]["rules"] == {}


def test_a_grid_is_told_with_its_choice(domains: Path, tmp_path: Path) -> None:
    grid = tmp_path / "grid.toml"
    grid.write_text("gamma = [0.003, 0.3]\n")
    line = ("--source", "synthetic-a", "--target", "synthetic-b", "--grid", grid)
    result = call(domains, tmp_path / "runs", *line)
    assert result.exit_code == 0, result.stderr
    (told,) = json.loads(result.stdout)["grids"]
    (kept,) = (tmp_path / "runs").rglob("grid-*.json")
    assert told == json.loads(kept.read_text())


def test_an_evaluation_is_told_as_its_file_has_it(
    trained: tuple[Path, Any], domains: Path, tmp_path: Path
) -> None:
    run = trained[1]["runs"][0]["folder"]
    result = ta3n_train(
        "--evaluate", run, "--target", "synthetic-b", "--features", domains, "--out", tmp_path,
        "--device", "cpu", "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    (told,) = json.loads(result.stdout)["runs"]
    (file,) = tmp_path.rglob("evaluation-*.json")
    assert told == {"folder": run, **json.loads(file.read_text())}


def test_a_report_tells_the_rows_of_its_csv(trained: tuple[Path, Any], tmp_path: Path) -> None:
    arguments = [str(trained[0]), "--out", str(tmp_path), "--no-pictures", "--json"]
    result = CliRunner().invoke(report, arguments)
    assert result.exit_code == 0, result.stderr
    told = json.loads(result.stdout)
    with Path(told["csv"]).open(newline="") as file:
        rows = list(csv.DictReader(file))
    shown = [
        {name: "" if value is None else str(value) for name, value in row.items()}
        for row in told["rows"]
    ]
    assert shown == rows
    assert isinstance(told["rows"][0]["accuracy_percent"], float)


@pytest.mark.parametrize("other", ["--dry-run", "--show-config", "--list-methods", "--submit run"])
def test_what_is_no_result_is_refused(domains: Path, tmp_path: Path, other: str) -> None:
    option, *value = other.split()
    result = call(domains, tmp_path, *ROWS, option, *value)
    assert result.exit_code == 2
    assert f"--json prints results; leave out {option}" in result.stderr
    assert result.stdout == ""
