"""If this breaks, scripts on clusters that rely on options and exit codes break with it."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ta3n.train.cli import main
from ta3n.train.methods.registry import method_names


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


def test_settings_offer_what_the_presets_offer() -> None:
    shown = "".join(run("--help").output.split())  # a line may break within a name
    assert f"Thereare{','.join(method_names())}." in shown
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
