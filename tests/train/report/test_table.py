"""If this breaks, the table says something else than the runs."""

import csv
import io
from pathlib import Path

import pytest

from ta3n.train.report.collect import collect_runs
from ta3n.train.report.table import headings, print_direction, results_csv, table_rows

from .made_runs import make_config, make_rows, make_run

ROWS = {
    ("target-only", "relation"): (19, 20),
    ("source-only", "relation"): (9, 8),
    ("revgrad", "pooling"): (10, 10),
    ("ta3n", "relation"): (15,),
}


def test_cells_equal_a_hand_computation(tmp_path: Path) -> None:
    (direction,) = collect_runs(make_rows(tmp_path, ROWS)).directions
    assert headings(direction)[3:] == ["last, %", "oracle, %", "gain, points", "gain, videos"]
    assert [row.cells() for row in table_rows(direction)] == [
        ["Target only", "relation", "2", "97.50 ± 3.54", "100.00 ± 0.00", "+55.00", "+11.0"],
        ["Source only", "relation", "2", "42.50 ± 3.54", "47.50 ± 3.54", "", ""],
        # Its source-only row with the same temporal module was not run.
        ["RevGrad", "pooling", "2", "50.00 ± 0.00", "55.00 ± 0.00", "", ""],
        ["TA3N", "relation", "1", "75.00", "80.00", "+32.50", "+6.5"],
    ]


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


def test_terminal_shows_table_rules_and_headline(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(tmp_path, make_config("[bold]odd"), 0, (1, 2, 3))
    (direction,) = collect_runs(make_rows(tmp_path, ROWS)).directions
    print_direction(direction)
    printed = capsys.readouterr().out
    assert "42.50 ± 3.54" in printed
    assert "[bold]odd" in printed
    assert "not available in practice" in printed
    assert "TA3N" in printed.splitlines()[-1]
