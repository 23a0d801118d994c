"""Processes that work side by side, and end together.

Whatever stops the parent, its workers are told, have time to save what is done, and are gone before
it is. Where the parent is killed, they end by themselves.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from multiprocessing import active_children
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar

from joblib.externals.loky import ProcessPoolExecutor, as_completed, wait
from joblib.externals.loky.process_executor import TerminatedWorkerError

from ta3n.common.device import interrupted_by, leaving_all_but_sigterm_here
from ta3n.common.errors import EXIT_INTERRUPTED, TrainingError

if TYPE_CHECKING:
    from ta3n.train.data.shared import SharedValue

__all__ = ["TerminatedWorkerError", "run_in_processes"]

R = TypeVar("R")

_SECONDS_TO_SAVE = 20.0
_SECONDS_BETWEEN_LOOKS = 0.5


def run_in_processes(
    function: Callable[..., R],
    tasks: Sequence[tuple[Any, ...]],
    num_processes: int,
    note: Callable[[R], None],
    shared: "SharedValue[Any] | None" = None,
) -> None:
    """Call a function with the arguments of each task, and take the results as they come.

    Args:
        function: Runs in a worker.
        tasks: Arguments of each call.
        num_processes: How many workers.
        note: Takes a result, here.
        shared: What each worker gets once, and hands to the function before the arguments.

    Raises:
        TerminatedWorkerError: If a worker died.
        TrainingError: If no processes can work side by side here.
        Exception: What a task raised; the other workers are stopped first.
    """
    with leaving_all_but_sigterm_here():
        executor = _executor(num_processes, shared)
        futures = [executor.submit(_run_task, function, *task) for task in tasks]
    try:
        for future in as_completed(futures):
            note(future.result())
    except (Exception, KeyboardInterrupt):
        for future in futures:
            future.cancel()
        for process in active_children():
            process.terminate()
        wait(futures, _SECONDS_TO_SAVE)
        raise
    finally:
        executor.shutdown(kill_workers=True)


def _executor(num_processes: int, shared: "SharedValue[Any] | None") -> ProcessPoolExecutor:
    try:
        return ProcessPoolExecutor(
            num_processes, initializer=_start, initargs=(os.getpid(), shared)
        )
    except OSError as error:
        if error.filename:
            raise
        raise TrainingError(
            f"no processes can work side by side here ({error.strerror}): what they wait by lies "
            "in /dev/shm, which must be there and writable; leave out --jobs"
        ) from error


class _Worker:
    """What a worker process knows of itself: whether it has a task, and was told to stop."""

    def __init__(self) -> None:
        self.has_task = False
        self.is_stopping = False
        self.handed: SharedValue[Any] | None = None

    @cached_property
    def shared(self) -> tuple[Any, ...]:
        """What it was handed when it was started; nothing, if it was handed nothing."""
        return () if self.handed is None else (self.handed.get(),)

    def stop(self, number: int, _frame: FrameType | None) -> None:
        """Handle a signal: leave the task that is worked on, and begin no other."""
        if self.is_stopping:
            return
        self.is_stopping = True
        if self.has_task:
            raise interrupted_by(number)


_WORKER = _Worker()


def _start(parent: int, shared: "SharedValue[Any] | None") -> None:
    """Prepare a worker process."""
    signal.signal(signal.SIGTERM, _WORKER.stop)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    _WORKER.handed = shared


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    os._exit(EXIT_INTERRUPTED)


def _run_task(function: Callable[..., R], *arguments: Any) -> R:
    _WORKER.has_task = True
    try:
        if _WORKER.is_stopping:
            raise interrupted_by(signal.SIGTERM)
        return function(*_WORKER.shared, *arguments)
    finally:
        _WORKER.has_task = False
