"""Jobs in real processes, to be disturbed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from ta3n.common.records import (
    MANIFEST_NAME,
    PLAN_NAME,
    Manifest,
    join_plan,
    read_plan_parts,
    read_record,
)
from ta3n.extract.job.feature_folder import damage_of

SCRIPT = Path(__file__).with_name("small_shards.py")


def start_job(root: Path, out: Path, *more: str) -> subprocess.Popen[str]:
    """Start a job with one clip a shard, in a process group of its own."""
    arguments = ["--dataset", "ucf101", "--root", str(root), "--out", str(out)]
    arguments += ["--backbone", "resnet18", "--weights", "random:0", "--frames", "segments:2"]
    return subprocess.Popen(
        [sys.executable, "-P", str(SCRIPT), *arguments, "--batch-size", "4", *more],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def group_members(group: int) -> list[int]:
    """Return the live processes of a process group."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            if int(fields[2]) == group and fields[0] != "Z":
                found.append(int(entry.name))
    return found


def wait_until(true: Callable[[], bool], timeout_s: float = 60) -> None:
    """Wait for something outside this process.

    Raises:
        TimeoutError: If it does not come.
    """
    deadline = time.monotonic() + timeout_s
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.01)


def num_shards(folder: Path) -> int:
    return len(list(folder.glob("shard-*.h5")))


def send(process: subprocess.Popen[str], number: signal.Signals, *, to_group: bool) -> None:
    (os.killpg if to_group else os.kill)(process.pid, number)


def check_sound(folder: Path) -> None:
    """Check that nothing under a final name is bad."""
    if not (folder / PLAN_NAME).exists():
        return
    parts = read_plan_parts(folder)
    plan = join_plan(parts)
    for shard in plan.shards:
        damage = damage_of(folder, plan, shard)
        assert damage is None or damage.text == "its sidecar is missing", damage
    if (folder / MANIFEST_NAME).exists():
        # A kill between a part of the plan and the manifest leaves that as it was before.
        states = [len(join_plan(parts[:number]).shards) for number in range(1, len(parts) + 1)]
        assert read_record(Manifest, folder / MANIFEST_NAME).num_shards in states
