"""Where work runs: the device, the CPUs and memory that there are, and the signals that end it.

torch and joblib are imported late: not everybody who works in processes needs a device.

Signals that ask to stop come from batch systems, terminals and people: SIGTERM and Ctrl-C from all,
SIGHUP as a terminal closes, SIGUSR1 or SIGUSR2 as `--signal` of Slurm, LSF and Grid Engine have it,
SIGXCPU at a limit of CPU time. Unhandled, each of them would end a process with nothing saved.
"""

from __future__ import annotations

import errno
import os
import re
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from ta3n.common.errors import DeviceError, InterruptedRunError, UsageError

if TYPE_CHECKING:
    import torch


def allowed_cpus() -> int:
    """Return how many CPUs this process may use, as batch systems and containers set it."""
    # joblib's own function says 1 where no semaphore can be made, such as without /dev/shm.
    from joblib.externals.loky import cpu_count

    return int(cpu_count())


def peak_memory() -> int:
    """Return the most bytes that this process has held, those that it shares with others too."""
    # Linux counts in KiB, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def available_memory(device: torch.device) -> int:
    """Return how many bytes may still be taken, here and on the device.

    What a container may use counts, as cgroups have it; files that are only cached are free.
    """
    import torch

    # macOS does not tell how much is free: all of it can be, since what others hold is swapped.
    pages = "SC_AVPHYS_PAGES" if "SC_AVPHYS_PAGES" in os.sysconf_names else "SC_PHYS_PAGES"
    free = os.sysconf(pages) * os.sysconf("SC_PAGE_SIZE")
    with suppress(OSError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                free = int(line.split()[1]) * 1024
    for folder, limit, used in _CGROUPS:
        with suppress(OSError, ValueError, KeyError):
            words = (folder / "memory.stat").read_text().split()
            cached = int(dict(zip(words[::2], words[1::2], strict=True))["inactive_file"])
            held = int((folder / used).read_text()) - cached
            free = min(free, int((folder / limit).read_text()) - held)
    if device.type == "cuda":
        free = min(free, torch.cuda.mem_get_info(device)[0])
    return max(free, 0)


_CGROUPS = (
    (Path("/sys/fs/cgroup"), "memory.max", "memory.current"),
    (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes", "memory.usage_in_bytes"),
)
"""Of version 2 and 1: folder, and the names of the files of limit and use."""


def open_memory(name: str) -> int:
    """Return the descriptor of new memory that other processes can map, empty and without a name.

    It lies in no file system, whose size could be that of a container's /dev/shm.

    Raises:
        OSError: If the system has no such memory.
    """
    if hasattr(os, "memfd_create"):
        return os.memfd_create(name)
    # Those Pythons lack it that are built to run on old systems too, conda's and uv's among them.
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "memfd_create"):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    close_on_exec = 1
    descriptor = int(libc.memfd_create(name.encode(), close_on_exec))
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return descriptor


def resolve_device(name: str) -> torch.device:
    """Return the device called `auto`, `cpu`, `cuda` or `cuda:N`; `auto` prefers a GPU.

    Raises:
        UsageError: If the name is none of these.
        DeviceError: If there is no such device here.
    """
    import torch

    if name == "auto":
        name = "cuda:0" if torch.cuda.is_available() else "cpu"
    kind, _, number = name.partition(":")
    if kind not in {"cpu", "cuda"} or not re.fullmatch("[0-9]{0,9}", number) or name == "cpu:":
        raise UsageError(f"device {name!r} is not known; use auto, cpu or cuda:N")
    if kind == "cpu":
        return torch.device("cpu")
    index = int(number or 0)
    if index >= torch.cuda.device_count():
        raise DeviceError(
            f"device {name} is not here: {torch.cuda.device_count()} CUDA devices are visible "
            f"(CUDA_VISIBLE_DEVICES={os.environ.get('CUDA_VISIBLE_DEVICES', 'not set')}); "
            "use --device cpu, or ask the batch system for a GPU"
        )
    return torch.device("cuda", index)


def describe_device(device: torch.device) -> str:
    """Return the device for a record: a GPU's name, or the CPU's capability."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu {torch.backends.cpu.get_cpu_capability()}"


def _compute_alone() -> None:
    """Let torch compute on one thread in a process that was forked.

    Its other threads did not come along, and whoever waits for them waits for ever.
    """
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


os.register_at_fork(after_in_child=_compute_alone)


def load_matplotlib() -> None:
    """Import Matplotlib, before anybody imports a part of it, without a backend.

    Notebooks name one for all that is started from them, which other environments may not have;
    Matplotlib then refuses to be imported. Our figures are drawn without.
    """
    named = os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib  # noqa: F401
    finally:
        if named is not None:
            os.environ["MPLBACKEND"] = named


SIGNALS = frozenset(
    {
        signal.SIGINT,
        signal.SIGTERM,
        signal.SIGHUP,
        signal.SIGUSR1,
        signal.SIGUSR2,
        signal.SIGXCPU,
    }
)
"""All that ask to stop."""


def raise_when_asked_to_stop() -> None:
    """Let signals raise `InterruptedRunError` from now on, the first that comes.

    What a shell or `nohup` lets its commands ignore goes on being ignored.
    """
    for number in SIGNALS:
        defaults = (signal.SIG_DFL, signal.default_int_handler)
        if number == signal.SIGTERM or signal.getsignal(number) in defaults:
            signal.signal(number, _raise)


def _raise(number: int, _frame: FrameType | None) -> None:
    # Batch systems send them to several processes of a job at once, so that one may come twice, and
    # Ctrl-C is pressed twice: none must end the saving that the first one begins.
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise interrupted_by(number)


def interrupted_by(number: int) -> InterruptedRunError:
    """Return what is raised for a signal."""
    by = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
    return InterruptedRunError(
        f"interrupted by {by}; what is done is kept, the same command line goes on from there"
    )


def interruption_behind(error: BaseException) -> InterruptedRunError | None:
    """Return the interruption that led to an error, or is it; None if there was none.

    What a signal breaks off may raise an error of its own: a lock that was being taken, a library
    that takes everything for a failure.
    """
    seen: BaseException | None = error
    while seen is not None and not isinstance(seen, KeyboardInterrupt):
        seen = seen.__cause__ or seen.__context__
    if seen is None or isinstance(seen, InterruptedRunError):
        return seen
    return interrupted_by(signal.SIGINT)


@contextmanager
def leaving_interruption_here() -> Iterator[None]:
    """Let processes that are started in it never see a signal that asks to stop.

    Terminals and batch systems send them to all processes at once, and one that is just starting
    would answer with a traceback, or end. Who starts it ends it.
    """
    # A new process inherits what is blocked.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def leaving_all_but_sigterm_here() -> Iterator[None]:
    """Let workers that joblib starts in it see no signal that asks to stop but SIGTERM."""
    # They come with trackers of resources, whose start unblocks some signals: once, so it is first.
    with leaving_interruption_here():
        from multiprocessing import resource_tracker

        from joblib.externals.loky.backend import resource_tracker as loky_tracker

        resource_tracker.ensure_running()
        loky_tracker.ensure_running()
    with leaving_interruption_here():
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        yield
