"""If this breaks, stopping a job leaves processes behind, or what they had done is lost."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ta3n.common.errors import TrainingError
from ta3n.train.jobs.workers import run_in_processes

from ...support.extract_jobs import group_members, send, wait_until
from ...support.feature_folders import made_clips, make_features
from ...support.train_jobs import arguments, epochs_saved, start

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("number", "to_group"),
    [(signal.SIGKILL, False), (signal.SIGTERM, False), (signal.SIGUSR1, True)],
)
def test_workers_end_with_their_parent_and_keep_what_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, to_group: bool
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for dataset in ("ucf101", "hmdb51"):
        make_features(tmp_path, dataset, made_clips(dataset))
    out = tmp_path / "runs"
    more = ("--method", "source-only", "--temporal", "pooling", "--epochs", 10_000)
    process = start(arguments(tmp_path, out, *more, "--seeds", 2, "--jobs", 2))
    wait_until(lambda: len(epochs_saved(out)) == 2, 120)
    saved = epochs_saved(out)
    send(process, number, to_group=to_group)
    _, stderr = process.communicate(timeout=30)
    wait_until(lambda: not group_members(process.pid), 20)
    assert all(epochs_saved(out)[seed] >= count for seed, count in saved.items())
    if number is not signal.SIGKILL:
        assert process.returncode == 75, stderr
        assert stderr.splitlines()[-1].startswith("ta3n-train: interrupted by"), stderr
        assert "Traceback" not in stderr


def test_a_task_that_fails_ends_all_and_is_told() -> None:
    # Sent to the worker by value: workers cannot import tests.
    def fail(number: int) -> int:
        if number == 1:
            raise TrainingError("no")
        return number

    fail.__module__ = "__main__"
    results: list[int] = []
    with pytest.raises(TrainingError, match="no"):
        run_in_processes(fail, [(n,) for n in range(4)], 1, results.append)
    assert results == [0]
    assert not [pid for pid in group_members(os.getpgrp()) if _is_own_worker(pid)]


NO_SEMAPHORES = """
import _multiprocessing
class NoSemaphore:
    SEM_VALUE_MAX = 1
    def __init__(self, *_, **__): raise OSError(30, "Read-only file system")
_multiprocessing.SemLock = NoSemaphore
from ta3n.common.errors import TrainingError
from ta3n.train.jobs.workers import run_in_processes
try:
    run_in_processes(print, [(1,)], 1, print)
except TrainingError as error:
    print(error)
"""


def test_what_workers_wait_by_is_told_where_it_is_missing() -> None:
    done = subprocess.run([sys.executable, "-P", "-c", NO_SEMAPHORES], capture_output=True)
    assert done.stdout.startswith(b"no processes can work side by side here (Read-only"), done


def _is_own_worker(pid: int) -> bool:
    """Say so of a child of this process: those of tests side by side are in its group too."""
    process = Path(f"/proc/{pid}")
    try:
        parent = int((process / "stat").read_text().rsplit(")", 1)[1].split()[1])
        is_worker = b"loky.backend.popen_loky" in (process / "cmdline").read_bytes()
    except OSError:
        return False
    return is_worker and parent == os.getpid()
