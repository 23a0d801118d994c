"""Worker processes and Ctrl-C."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker


@contextmanager
def leaving_interruption_here() -> Iterator[None]:
    """Let worker processes that are started in it never see Ctrl-C.

    A terminal sends it to all processes at once, and one that is just starting would answer with
    a traceback. This process ends its workers by itself.
    """
    # Starting a tracker of resources, Python's and loky's, unblocks it: once, so they come first.
    from joblib.externals.loky.backend import resource_tracker as loky_tracker

    resource_tracker.ensure_running()
    loky_tracker.ensure_running()
    # A new process inherits what is blocked.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
