"""If this breaks, a job takes more CPUs or memory than it may, or believes it has none."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ta3n.common import device
from ta3n.common.device import available_memory, open_memory

NO_SEMAPHORES = """
import _multiprocessing
class NoSemaphore:
    SEM_VALUE_MAX = 1
    def __init__(self, *_, **__): raise OSError(13, "Permission denied")
_multiprocessing.SemLock = NoSemaphore
from ta3n.common.device import allowed_cpus
print(allowed_cpus())
"""


def test_cpus_are_counted_without_a_word_where_no_semaphore_can_be_made() -> None:
    done = subprocess.run([sys.executable, "-c", NO_SEMAPHORES], capture_output=True, text=True)
    assert done.stderr == ""
    assert int(done.stdout) == device.allowed_cpus()


def test_memory_that_is_free_is_that_of_the_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpu = torch.device("cpu")
    monkeypatch.setattr(device, "_CGROUPS", ((tmp_path, "memory.max", "memory.current"),))
    machine = available_memory(cpu)
    assert 0 < machine <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    (tmp_path / "memory.stat").write_text("anon 5\ninactive_file 200\n")
    (tmp_path / "memory.current").write_text("700\n")
    (tmp_path / "memory.max").write_text("1000\n")
    assert available_memory(cpu) == 500
    (tmp_path / "memory.max").write_text("max\n")
    assert available_memory(cpu) > 500


def test_all_memory_counts_as_free_where_the_system_does_not_tell_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = {name: n for name, n in os.sysconf_names.items() if name != "SC_AVPHYS_PAGES"}
    by_number = os.sysconf

    def sysconf(name: str) -> int:
        if name not in known:
            raise ValueError("unrecognized configuration name")
        return by_number(known[name])

    monkeypatch.setattr(os, "sysconf_names", known)
    monkeypatch.setattr(os, "sysconf", sysconf)
    assert available_memory(torch.device("cpu")) > 0


def test_memory_is_shared_by_pythons_that_are_built_for_older_systems(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(os, "memfd_create", raising=False)
    descriptor = open_memory("frames")
    try:
        assert not os.get_inheritable(descriptor)
        assert "/memfd:frames" in str(Path(f"/proc/self/fd/{descriptor}").readlink())
        os.ftruncate(descriptor, 10)
        assert os.pwrite(descriptor, b"a", 9) == 1
    finally:
        os.close(descriptor)


WINDOWS = "import sys; sys.platform = 'win32'; import ta3n.common.log"


def test_windows_is_told_where_it_runs() -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-c", WINDOWS], capture_output=True, text=True, check=False
    )
    assert done.stderr.splitlines()[-1] == (
        "ImportError: ta3n runs on Linux; on Windows, install and start it inside WSL"
    )
