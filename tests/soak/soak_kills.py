"""Many kills at random moments, and the ways a job may be stopped. Run by `make soak`."""

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from ta3n.extract.job.run import run_job

from ..support.extract_jobs import check_sound, group_members, num_shards, start_job, wait_until
from ..support.extraction import job

NUM_KILLS = int(os.environ.get("TA3N_SOAK_KILLS", "50"))


def wait_for_work(process: subprocess.Popen[str], folder: Path) -> None:
    had = num_shards(folder)
    wait_until(lambda: num_shards(folder) > had or process.poll() is not None)


def wait_for_end(group: int) -> None:
    wait_until(lambda: not group_members(group), 20)


def decoder_of(group: int) -> int | None:
    members = [pid for pid in group_members(group) if pid != group]
    return members[0] if members else None


@pytest.mark.usefixtures("one_clip_shards")
def test_kills_at_random_moments(ucf_tree: Path, tmp_path: Path) -> None:
    """Kill the group, the job or a decoder; the next run always goes on."""
    choose = random.Random(0)
    undisturbed = run_job(job(ucf_tree, tmp_path / "whole", selection="all classes"))
    outcomes: dict[str, int] = {}
    out = tmp_path / "killed"
    for number in range(NUM_KILLS):
        target = choose.choice(["group", "job", "decoder"])
        process = start_job(ucf_tree, out)
        # Half of the kills while it starts, half while it works.
        if choose.random() < 0.5:
            time.sleep(choose.uniform(0, 6))
        else:
            wait_for_work(process, out / "ucf101")
            time.sleep(choose.uniform(0, 0.4))
        pid = {"group": process.pid, "job": process.pid}.get(target, decoder_of(process.pid))
        if pid is not None and process.poll() is None:
            (os.killpg if target == "group" else os.kill)(pid, signal.SIGKILL)
        _, stderr = process.communicate(timeout=120)
        wait_for_end(process.pid)
        if (out / "ucf101").exists():
            check_sound(out / "ucf101")
        end = f"{target} {process.returncode}"
        outcomes[end] = outcomes.get(end, 0) + 1
        assert "Traceback" not in stderr, stderr
        if process.returncode == 0 and number % 2:
            # Finished: start afresh, so that later kills find work.
            out = tmp_path / f"killed-{number}"
    resumed = run_job(job(ucf_tree, out / "ucf101", selection="all classes"))
    assert resumed.complete
    assert resumed.content_hash == undisturbed.content_hash
    assert not [path for path in (out / "ucf101").iterdir() if path.name.startswith(".")]
    print(f"{NUM_KILLS} kills (target, exit code): {outcomes}")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda s: s.name)
@pytest.mark.parametrize("to_group", [False, True], ids=["job", "group"])
@pytest.mark.parametrize("delay_s", [0.2, 2.0, 6.0])
def test_signals_end_with_75(
    ucf_tree: Path, tmp_path: Path, number: signal.Signals, to_group: bool, delay_s: float
) -> None:
    process = start_job(ucf_tree, tmp_path, "--frames", "all")
    wait_until(lambda: (tmp_path / "ucf101" / "plan.json").exists())
    time.sleep(delay_s)
    started_s = time.monotonic()
    (os.killpg if to_group else os.kill)(process.pid, number)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode in {75, 0}, stderr
    assert not group_members(process.pid)
    print(f"{process.returncode} after {time.monotonic() - started_s:.1f} s")
