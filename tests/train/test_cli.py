"""If this breaks, scripts on clusters that rely on options and exit codes break with it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ta3n.train.cli import main


def run(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


def train(features: Path, out: Path, *more: object) -> Result:
    return run(
        "--source", "ucf", "--target", "hmdb", "--features", features, "--out", out,
        "--benchmark", "ucf-hmdb-small", "--allow-missing", "--epochs", 2, "--device", "cpu", *more,
    )  # fmt: skip


def test_help_needs_no_heavy_import_and_shows_examples() -> None:
    code = "import sys, ta3n.train.cli; print(*sys.modules)"
    modules = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/"
    ).stdout.split()
    assert "click" in modules
    assert not {"torch", "h5py", "numpy", "pydantic", "rich"} & set(modules)
    result = run("--help")
    assert result.exit_code == 0
    assert "ta3n-train --source ucf --target hmdb" in result.output


def test_results_end_in_a_table_by_selection_rule(features: Path, tmp_path: Path) -> None:
    result = train(features, tmp_path, "--seeds", 2)
    assert result.exit_code == 0, result.stderr
    assert "ucf101 → hmdb51 (ucf-hmdb-small): ta3n with relation" in result.stdout
    rows = {line.split("│")[1].strip(): line for line in result.stdout.splitlines() if "│" in line}
    assert {"last", "oracle"} <= rows.keys()
    assert "of 15" in rows["last"]
    assert "±" in rows["last"]
    assert "an epoch used 30 of 30 source, 30 of 30 target videos" in result.stderr
    again = train(features, tmp_path, "--seeds", 2)
    assert again.stdout == result.stdout
    assert "2 of 2 seeds are done" in again.stderr


def test_part_that_is_done_is_recognised_without_torch(features: Path, tmp_path: Path) -> None:
    shard = ("--seeds", 2, "--method", "source-only", "--shard")
    first = train(features, tmp_path, *shard, "0/2")
    assert first.exit_code == 0, first.stderr
    assert "1 runs are left to other jobs" in first.stderr
    assert first.stdout == ""
    code = (
        "import sys\nfrom ta3n.train.cli import main\n"
        "main(sys.argv[1:], standalone_mode=False)\nprint(*sys.modules)"
    )
    again = subprocess.run(
        [
            sys.executable, "-P", "-c", code, "--source", "ucf", "--target", "hmdb",
            "--features", features, "--out", tmp_path, "--benchmark", "ucf-hmdb-small",
            "--allow-missing", "--epochs", "2", *map(str, shard), "0/2",
        ],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "part 0/2: 1 of 2 runs, of which 0 are to be trained" in again.stderr
    assert not {"torch", "h5py"} & set(again.stdout.split())
    last = train(features, tmp_path, *shard, "1/2")
    assert "│ oracle" in last.stdout


def test_grid_ends_in_a_choice_with_the_oracle_beside_it(features: Path, tmp_path: Path) -> None:
    grid = tmp_path / "grid.toml"
    grid.write_text("gamma = [0.003, 0.3]\n")
    (tmp_path / "runs").mkdir()
    single = train(features, tmp_path / "runs", "--gamma", 0.3)
    assert single.exit_code == 0, single.stderr
    left = train(features, tmp_path / "runs", "--grid", grid, "--shard", "0/2")
    assert left.exit_code == 0, left.stderr
    result = train(features, tmp_path / "runs", "--grid", grid)
    assert result.exit_code == 0, result.stderr
    # One combination had been trained alone, the other as a part: nothing is left.
    assert "an epoch took" not in result.stderr
    assert "chosen by im: --gamma 0." in result.stdout
    assert "│ oracle" in result.stdout
    assert "cost: 2 combinations x 1 seeds = 2 runs, 4 epochs" in result.stdout


@pytest.mark.parametrize("more", [(), ("--jobs", 2), ("--stack", "on")])
def test_runs_that_diverge_stop_nothing_and_are_named(
    features: Path, tmp_path: Path, more: tuple[object, ...]
) -> None:
    """The first rate is far too high: every seed of it diverges, the second rate is tried."""
    grid, out = tmp_path / "grid.toml", tmp_path / "runs"
    grid.write_text("learning-rate = [1e12, 0.03]\n")
    options = ("--grid", grid, "--seeds", 2, "--batch-size", 8, *more)
    result = train(features, out, *options)
    assert result.exit_code == 3, result.stderr
    assert "chosen by im: --learning-rate 0.03" in result.stdout
    assert "seed 1 diverged in epoch 1 (" in result.stdout
    assert "= 4 runs, 2 of them diverged" in result.stdout
    assert "2 runs are in no figure, and are not tried again as long as" in result.stderr
    records = [json.loads(file.read_text()) for file in sorted(out.rglob("diverged.json"))]
    assert [(record["seed"], record["epoch"]) for record in records] == [(0, 1), (1, 1)]
    assert all(record["loss"] and record["source_videos"] for record in records)
    (file,) = out.rglob("grid-*.json")
    first, second = json.loads(file.read_text())["combinations"]
    assert ([each["seed"] for each in first["diverged"]], first["best"]) == ([0, 1], {})
    assert not second["diverged"]
    # The same line again trains nothing, and says the same.
    again = train(features, out, *options)
    assert (again.exit_code, again.stdout) == (3, result.stdout)
    assert "an epoch took" not in again.stderr
    assert "not finite; try" not in again.stderr


def test_a_row_of_diverged_runs_alone_has_no_table(features: Path, tmp_path: Path) -> None:
    options = ("--learning-rate", 1e12, "--batch-size", 8)
    result = train(features, tmp_path, *options)
    assert result.exit_code == 3, result.stderr
    assert result.stdout == ""
    assert "1 runs are in no figure" in result.stderr
    # Its folder removed, it is tried again.
    (record,) = tmp_path.rglob("diverged.json")
    shutil.rmtree(record.parent)
    assert train(features, tmp_path, *options).exit_code == 3
    assert record.exists()


def test_settings_offer_what_the_presets_offer() -> None:
    shown = "".join(run("--help").output.split())  # a line may break within a name
    assert "see--list-methods" in shown
    assert "--alignmentnone|dan|jan|mcd" in shown


def test_show_config_tells_where_values_come_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("--method", "ta2n", "--show-config")
    assert result.exit_code == 0
    lines = {line.split(" =")[0]: line for line in result.stdout.splitlines()}
    assert lines["method"].endswith("# command line")
    assert lines["# temporal"].endswith("# not set: it follows from the rest")


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        ((), 2, "give --source and --target"),
        (("--source", "ucf", "--target", "hmbd"), 2, "did you mean 'hmdb'?"),
        (("--source", "ucf", "--target", "ucf"), 2, ""),
        (("--source", "ucf", "--target", "hmdb", "--method", "x"), 2, "--method"),
        (("--source", "ucf", "--target", "hmdb", "--seeds", "x"), 2, "train.seeds = 'x'"),
        (("--source", "ucf", "--target", "hmdb", "--seeds", "1,1"), 2, "one twice"),
        (("--source", "ucf", "--target", "hmdb", "--features", "no"), 1, "no features of ucf101"),
        (("--source", "ucf", "--target", "hmdb", "--shard", "2/2"), 2, "i counts from 0"),
        (("--source", "ucf", "--target", "hmdb", "--select", "im"), 2, "give --grid as well"),
        (("--source", "ucf", "--target", "hmdb", "--grid", "no.toml"), 2, "no grid file no.toml"),
    ],
)
def test_mistakes_are_told_in_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    args: tuple[str, ...],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(*args)
    assert result.exit_code == code
    assert message in result.stderr.strip().splitlines()[-1]
    assert "Traceback" not in result.stderr
