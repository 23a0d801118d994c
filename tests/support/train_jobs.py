"""Training in real processes, to be disturbed."""

import signal
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).with_name("quick_saves.py")


def arguments(features: Path, out: Path, *more: object) -> list[str]:
    """Return a command line for the small features of `feature_folders`."""
    line = ["--source", "ucf", "--target", "hmdb", "--benchmark", "ucf-hmdb-small"]
    line += ["--features", str(features), "--out", str(out), "--allow-missing"]
    line += ["--device", "cpu", "--batch-size", "10"]
    return line + [str(word) for word in more]


def start(command_line: list[str]) -> subprocess.Popen[str]:
    """Start training that saves after every epoch, in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-P", str(SCRIPT), *command_line],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=_heed_interruption,
    )


def _heed_interruption() -> None:
    """Take SIGINT, which a shell makes the commands ignore that it starts in the background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def epochs_saved(out: Path) -> dict[str, int]:
    """Return how many epochs each run folder's metrics have, by its name such as `seed-0`."""
    return {path.parent.name: path.read_text().count("\n") for path in out.rglob("metrics.jsonl")}
