"""If this breaks, the page on own data promises a run from folders to a table in vain."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ta3n.datasets.cli import main as datasets
from ta3n.extract.cli import main as extract
from ta3n.train.cli import main as train

from ..videos import WriteClip

PAGE = (Path(__file__).parents[2] / "docs" / "own-data.md").read_text()
SMALL = ("--backbone", "resnet18", "--weights", "random:0", "--device", "cpu")


def block(language: str, holding: str) -> str:
    found = re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)
    (wanted,) = [str(text) for text in found if holding in text]
    return wanted


def run(command: object, *args: object) -> Result:
    return CliRunner().invoke(command, [str(arg) for arg in args])  # type: ignore[arg-type]


def run_both_stages(source: str, target: str, *options: object) -> dict[str, object]:
    """Extract both domains, two frames a clip, and train a little; return the result."""
    for name in (source, target):
        made = run(extract, "--dataset", name, *SMALL, "--frames", "segments:2", "--no-supervise")
        assert made.exit_code == 0, made.output
    short = ("--segments", 2, "--epochs", 2, "--batch-size", 8, "--device", "cpu", *options)
    trained = run(train, "--source", source, "--target", target, *short)
    assert trained.exit_code == 0, trained.output
    (result,) = Path("runs").glob("*/*/*/seed-0/result.json")
    found: dict[str, object] = json.loads(result.read_text())
    return found


@pytest.mark.shared
def test_the_pair_of_class_folders_on_the_page(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clips").symlink_to(shared / "clips")
    (tmp_path / "pipeline.toml").write_text(block("toml", "[benchmarks.home.classes]"))
    checked = run(datasets, "check", "home")
    assert checked.exit_code == 0, checked.output
    assert "nothing wrong" in checked.stdout
    result = run_both_stages("web", "film-clips")
    assert "last" in result["rules"]  # type: ignore[operator]
    assert Path("runs/home/web-clips-film-clips").is_dir()
    (seed,) = Path("runs").glob("*/*/*/seed-0")
    again = run(train, "--evaluate", seed, "--target", "film", "--device", "cpu")
    assert again.exit_code == 0, again.output
    assert "film-clips" in again.output


def test_the_list_on_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_clip: WriteClip
) -> None:
    monkeypatch.chdir(tmp_path)
    table = block("csv", "camera-day")
    (tmp_path / "clips.csv").write_text(table)
    (tmp_path / "pipeline.toml").write_text(block("toml", "[benchmarks.day-night]"))
    for number, line in enumerate(table.splitlines()[1:]):
        write_clip(tmp_path / "recordings" / line.split(",")[1], 8, seed=number)
    checked = run(datasets, "check", "day-night")
    assert checked.exit_code == 0, checked.output
    # In processes of their own, which see the datasets of the settings file too.
    run_both_stages("camera-day", "camera-night", "--seeds", 2, "--jobs", 2)
    assert Path("runs/day-night/camera-day-camera-night").is_dir()
