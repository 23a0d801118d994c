"""If this breaks, a job takes CPUs or GPUs that the batch system gave to someone else."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ..support.sources import sources

# What counts the machine's CPUs instead of those allowed, and what would overrule the allocation.
_MACHINE = re.compile(
    r"os\.cpu_count|multiprocessing\.cpu_count|mp\.cpu_count|os\.process_cpu_count|psutil"
    r"|environ\[.CUDA_VISIBLE_DEVICES.\]\s*=|sched_setaffinity"
)


@pytest.mark.parametrize("path", sources(), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_no_module_counts_the_machine_or_overrules_the_allocation(path: Path) -> None:
    assert not _MACHINE.search(path.read_text())


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no CPU affinity here")
def test_a_job_that_is_given_one_cpu_uses_one() -> None:
    code = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from ta3n.common.device import allowed_cpus; print(allowed_cpus())"
    )
    out = subprocess.run(
        [sys.executable, "-P", "-c", code], check=True, capture_output=True, text=True
    )
    assert out.stdout == "1\n"


def test_a_gpu_that_the_batch_system_hides_is_not_there() -> None:
    code = (
        "from ta3n.common.device import resolve_device\n"
        "print(resolve_device('auto'))\n"
        "resolve_device('cuda:0')"
    )
    out = subprocess.run(
        [sys.executable, "-P", "-c", code],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        check=False,
        capture_output=True,
        text=True,
    )
    assert out.stdout == "cpu\n"
    assert "0 CUDA devices are visible (CUDA_VISIBLE_DEVICES=)" in out.stderr
