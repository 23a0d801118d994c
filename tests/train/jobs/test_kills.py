"""If this breaks, a killed run loses its work, or ends with figures of its own."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from ta3n.train.cli import main

from ...support.extract_jobs import send, wait_until
from ...support.train_jobs import arguments, epochs_saved, start

pytestmark = pytest.mark.slow

RUN = ("--method", "revgrad", "--temporal", "pooling", "--epochs", 30)


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Runs are equal to the bit for equal numbers of threads."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def contents(out: Path) -> dict[str, bytes]:
    """Return every file of the only run, but for what tells where and how fast it ran."""
    (folder,) = (path.parent for path in out.rglob("config.json"))
    names = {path.name for path in folder.iterdir()} - {"environment.json"}
    return {name: (folder / name).read_bytes() for name in names}


def finish(features: Path, out: Path) -> None:
    result = CliRunner().invoke(main, arguments(features, out, *RUN))
    assert result.exit_code == 0, result.stderr


def test_a_run_that_is_killed_and_interrupted_ends_as_an_undisturbed_one_to_the_bit(
    features: Path, tmp_path: Path
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    finish(features, whole)
    disturbances = [(2, signal.SIGKILL), (6, signal.SIGINT), (10, signal.SIGKILL)]
    for num_epochs, number in disturbances:
        process = start(arguments(features, broken, *RUN))
        wait_until(lambda n=num_epochs: epochs_saved(broken).get("seed-0", 0) >= n, 120)  # type: ignore[misc]
        send(process, number, to_group=False)
        _, stderr = process.communicate(timeout=30)
        if number is signal.SIGINT:
            assert process.returncode == 75, stderr
            assert stderr.splitlines()[-1].startswith("ta3n-train: interrupted by Ctrl-C")
            assert "Traceback" not in stderr
        assert num_epochs <= epochs_saved(broken)["seed-0"] < 30, "it was over before the signal"
    finish(features, broken)
    ours, theirs = contents(whole), contents(broken)
    assert set(ours) == {
        "config.json",
        "metrics.jsonl",
        "predictions.csv",
        "result.json",
        "weights.pt",
    }
    assert {name for name in ours if ours[name] != theirs.get(name)} == set()
    assert ours.keys() == theirs.keys()
