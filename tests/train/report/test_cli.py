"""If this breaks, `ta3n-report` fails on runs that are there, or hides those that are not."""

import csv
import json
import subprocess
import sys
from contextlib import chdir
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ta3n.train.report.cli import main

from ...support.made_runs import CLASSES, TOTAL, make_config, make_rows, make_run

TA3N, SOURCE = ("ta3n", "relation"), ("source-only", "relation")
ROWS = {TA3N: (15, 14, 15), SOURCE: (9, 8, 8)}


def report(folder: Path, *arguments: str) -> Result:
    with chdir(folder):
        return CliRunner().invoke(main, ["--no-pictures", *arguments])


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with runs of two folders, of which some are broken, and a report of all."""
    folder = tmp_path_factory.mktemp("ran")
    make_rows(folder / "runs", ROWS)
    for seed in range(2):
        scores = {"im": (0.1, 0.9, 0.2), "snd": (3.0, 1.0, 2.0)}
        make_run(folder / "more", make_config("ta2n"), seed, (1, 11, 10), scores=scores)
    broken = make_run(folder / "more", make_config("mcd"), 0, (1, 2, 3))
    (broken / "result.json").unlink()
    before = {name: contents(folder / name) for name in ("runs", "more")}
    command = [sys.executable, "-P", "-m", "ta3n.train.report.cli", "--no-pictures"]
    done = subprocess.run(
        [*command, "runs", "more", "--out", "out"],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    (folder / "printed").write_text(done.stdout)
    assert before == {name: contents(folder / name) for name in ("runs", "more")}
    return folder


def test_every_table_comes_as_markdown_latex_and_csv(ran: Path) -> None:
    written = {path.name for path in (ran / "out" / "tables").iterdir()}
    names = ("table2", "table3", "table4", "others", "comparisons", "rules")
    assert written == {f"{name}.{suffix}" for name in names for suffix in ("md", "tex", "csv")}
    with (ran / "out" / "tables" / "table2.csv").open(newline="") as file:
        rows = [r for r in csv.DictReader(file) if r["row"] == "TA2N" and r["last_percent"]]
    (ta2n,) = rows
    assert ta2n["direction"] == "ucf101 → hmdb51 (ucf-hmdb-small)"
    assert (ta2n["paper_percent"], ta2n["last_percent"], ta2n["num_seeds"]) == (
        "99.33",
        "50.0",
        "2",
    )
    assert (ta2n["im_percent"], ta2n["oracle_percent"]) == ("55.0", "55.0")
    assert float(ta2n["last_difference_points"]) == pytest.approx(50 - 99.33)
    assert 0 < float(ta2n["p_corrected"]) <= 1


def test_terminal_tells_tables_summary_notes_and_files(ran: Path) -> None:
    printed = (ran / "printed").read_text()
    assert "Table 2: UCF-Olympic and UCF-HMDB (small)" in printed
    # Only directions that were run.
    assert "ucf-olympic" not in printed
    assert "Table 3" not in printed
    assert "TA3N (73.3 % right on the target, 14.7 of 20 videos, n = 3) beats" in printed
    unfinished = "more/ucf-hmdb-small/ucf101-hmdb51/mcd-relation-official-"
    assert f"note: {unfinished}" in printed
    assert "seed-0: unfinished, 3 of 3 epochs are saved" in printed
    assert printed.rstrip().endswith("report: out/report.html")
    page = (ran / "out" / "report.html").read_text()
    assert "ta3n-report --no-pictures runs more --out out" in page
    assert "unfinished, 3 of 3 epochs are saved" in page


def test_equal_runs_give_equal_tables(ran: Path) -> None:
    assert report(ran, "runs", "more", "--out", "same").exit_code == 0
    assert contents(ran / "same" / "tables") == contents(ran / "out" / "tables")


def test_a_rule_that_is_asked_for_decides_what_is_compared(ran: Path) -> None:
    done = report(ran, "runs", "more", "--out", "by-oracle", "--rule", "oracle,last")
    assert done.exit_code == 0
    assert "TA3N (78.3 % right on the target" in done.output
    heads = (ran / "by-oracle" / "tables" / "table2.csv").read_text().splitlines()[0].split(",")
    assert [head for head in heads if head.endswith("_sd")] == ["oracle_sd", "last_sd"]
    wrong = report(ran, "runs", "--out", "x", "--rule", "orakle")
    assert wrong.exit_code == 2
    assert "no run has the rule 'orakle' (did you mean 'oracle'?); they have last, oracle" in (
        wrong.output
    )
    assert not (ran / "x").exists()


def test_tables_of_an_earlier_report_do_not_stay(ran: Path) -> None:
    assert report(ran, "runs", "more", "--out", "again").exit_code == 0
    own = make_run(ran / "single", make_config("ta3n"), 0, (1, 2, 3))
    assert own.is_dir()
    assert report(ran, "single", "--out", "again").exit_code == 0
    left = {path.stem for path in (ran / "again" / "tables").iterdir()}
    assert left == {"table2", "table3", "table4", "rules"}


def test_one_seed_is_said_to_allow_nothing(tmp_path: Path) -> None:
    make_rows(tmp_path / "runs", {TA3N: (15,), SOURCE: (9,)})
    done = report(tmp_path, "runs")
    assert done.exit_code == 0, done.output
    assert "allows no test and no claim" in done.output
    assert "Rows of one seed have no standard deviation and no test" in done.output


def test_a_class_without_target_videos_is_no_trouble(tmp_path: Path) -> None:
    make_rows(tmp_path / "runs", ROWS)
    for path in (tmp_path / "runs").rglob("predictions.csv"):
        # Label 3 becomes label 2, and what was said of its videos with it.
        lines = [
            ",".join("2" if cell == "3" else cell for cell in line.split(","))
            for line in path.read_text().splitlines()
        ]
        path.write_text("\n".join(lines) + "\n")
        run = json.loads((path.parent / "result.json").read_text())
        rows = list(csv.DictReader(lines))
        for rule in ("last", "oracle"):
            run["rules"][rule]["correct"] = sum(row[rule] == row["label"] for row in rows)
        (path.parent / "result.json").write_text(json.dumps(run))
        epochs = [json.loads(x) for x in (path.parent / "metrics.jsonl").read_text().splitlines()]
        epochs[-1]["target_correct"] = run["rules"]["last"]["correct"]
        (path.parent / "metrics.jsonl").write_text("".join(json.dumps(e) + "\n" for e in epochs))
    assert len(CLASSES) == 4
    done = report(tmp_path, "runs")
    assert done.exit_code == 0, done.output
    assert f"of {TOTAL} videos" in done.output
    assert "note:" not in done.output


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["nowhere"], 1, "nowhere is no folder; give the one that ta3n-train --out wrote"),
        (["empty"], 1, "no finished run in empty; make some with ta3n-train"),
        (["empty", "file"], 1, "file is no folder"),
        (["runs", "--features", "nowhere"], 1, "nowhere is no folder"),
        (["runs", "--out", "file"], 1, "file"),
        (["mixed"], 1, "the manifest of hmdb51 is ffffffffffff in ucf-hmdb-small/"),
        ([], 2, "Missing argument 'RUNS...'"),
    ],
)
def test_mistakes_are_told_in_one_line(
    tmp_path: Path, arguments: list[str], code: int, told: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    make_run(tmp_path / "runs", make_config(), 0, (1, 2, 3))
    make_run(tmp_path / "mixed", make_config(), 0, (1, 2, 3))
    make_run(tmp_path / "mixed", make_config("source-only", manifest="f" * 64), 0, (1, 2, 3))
    done = report(tmp_path, *arguments)
    assert done.exit_code == code
    assert told in done.output
    assert len(done.output.splitlines()) == 1 or code == 2


def test_help_is_quick_and_names_the_exit_codes() -> None:
    code = (
        "import sys\nfrom ta3n.train.report.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/"
    )
    assert "Exit codes" in done.stdout
    modules = set(done.stdout.splitlines()[-1].split())
    assert not {"torch", "numpy", "scipy", "matplotlib", "pydantic", "rich", "h5py"} & modules
