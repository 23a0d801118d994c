"""If this breaks, the page on partial and open targets shows what does not run, or no longer is."""

import re
import shlex
from pathlib import Path

import pytest

from ta3n.train.inference.evaluation import evaluate, load_target
from ta3n.train.inference.trained import load_run
from ta3n.train.runs.records import find_runs, read_run

from ..support.plugins import forgotten_afterwards
from ..support.small_runs import ta3n_train

PAGE = (Path(__file__).parents[2] / "docs" / "partial-and-open.md").read_text()
(OSBP,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = [
    line.partition("#")[0]
    for text in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    for line in text.splitlines()
]


@pytest.fixture
def small(features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """Return options of a small run in a folder that has the page's file."""
    (tmp_path / "osbp.py").write_text(OSBP)
    monkeypatch.chdir(tmp_path)
    return (
        "--benchmark", "ucf-hmdb-small", "--features", str(features), "--allow-missing",
        "--batch-size", "10", "--device", "cpu",
    )  # fmt: skip


def test_a_method_may_have_an_output_of_its_own_for_unknown(
    small: tuple[str, ...], features: Path
) -> None:
    (command,) = [each for each in COMMANDS if "osbp" in each]
    _, *arguments = shlex.split(command)
    with forgotten_afterwards():
        result = ta3n_train(*arguments, *small, "--epochs", 40, "--seeds", 2)
        assert result.exit_code == 0, result.stderr
        assert "the model's own output for it is the largest" in " ".join(result.stdout.split())
        (folder,) = {path.parent.parent for path in Path("runs").rglob("config.json")}
        paths = find_runs(folder)
        for path in paths:
            run = read_run(path)
            assert run.config.settings["rejection"] == {"label": 3, "threshold": None}
            assert len(run.config.settings["classes"]) == 3
            last = run.result.rules["last"]
            assert last.open_set["h_score"] > 50
            assert run.epochs[-1]["losses"]["boundary_osbp"] > 0
        stacked = ta3n_train(
            *arguments, *small, "--epochs", 40, "--seeds", 2, "--stack", "on", "--out", "stacked"
        )
        assert stacked.exit_code == 0, stacked.stderr
        trained = load_run(paths[0], device="cpu")
        assert trained.classes == ("golf", "ride_bike", "shoot_ball", "unknown")
        target = load_target(trained, features, "hmdb", allow_missing=True)
        evaluation = evaluate(trained, target, "val")
        assert evaluation.logits.shape == (15, 4)
        assert evaluation.open_set == read_run(paths[0]).result.rules["last"].open_set
        assert [of for _, _, of in evaluation.by_class()] == [3, 3, 3, 6]


def test_such_a_method_is_for_open_targets_alone_and_has_no_threshold(
    small: tuple[str, ...],
) -> None:
    common = ("--source", "ucf", "--target", "hmdb", "--plugin", "osbp.py", "--method", "osbp")
    with forgotten_afterwards():
        closed = ta3n_train(*common, *small)
        assert closed.exit_code == 2
        assert "osbp has an output for unknown videos, and here all are known" in closed.stderr
        other = ta3n_train(*common, *small, "--unknown", "golf", "--unknown-threshold", 0.3)
        assert other.exit_code == 2
        assert "leave out --unknown-threshold" in other.stderr


def test_the_other_commands_name_classes_that_there_are(tmp_path: Path) -> None:
    """They are read as far as the features, which are not there."""
    for command in (each for each in COMMANDS if "osbp" not in each):
        _, *arguments = shlex.split(command)
        result = ta3n_train(*arguments, "--features", tmp_path)
        assert result.exit_code == 1
        assert "no features of" in result.stderr
