"""A real Slurm on this machine, as far as tests need it."""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

_FINAL = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY"}


def wait_until(true: Callable[[], bool], what: str, timeout_s: float = 300) -> None:
    """Wait for something outside this process.

    Raises:
        TimeoutError: If it does not come.
    """
    deadline = time.monotonic() + timeout_s
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.05)


class Slurm:
    """The batch system.

    Args:
        environment: Of its commands.
    """

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment

    def call(self, *command: str | Path, cwd: Path | None = None) -> str:
        """Run a command that must succeed; return what it prints."""
        done = subprocess.run(
            command, env=self.environment, cwd=cwd, check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def states(self) -> dict[str, str]:
        """Return the state of every job and task, finished ones too, by number."""
        lines = self.call("squeue", "-h", "-r", "-t", "all", "-o", "%i %T").splitlines()
        return dict(line.split() for line in lines)

    def restarts(self, job: str) -> int:
        """Return how often a job was put back into the queue."""
        fields = self.call("scontrol", "show", "job", job).split()
        return int(next(field for field in fields if field.startswith("Restarts="))[9:])

    def preempt(self, job: str) -> None:
        """Put a running job back into the queue, and let it start again at once."""
        self.call("scontrol", "requeue", job)
        wait_until(lambda: self.states()[job] == "PENDING", f"{job} is back in the queue")
        self.call("scontrol", "update", f"jobid={job}", "StartTime=now")

    def wait_for_all(self) -> dict[str, str]:
        """Wait until every job has ended; return how."""
        wait_until(lambda: set(self.states().values()) <= _FINAL, "all jobs end")
        return self.states()
