"""If this breaks, Ctrl-C fills the terminal with tracebacks of workers."""

import signal
import subprocess
import sys

from ta3n.common.device import leaving_interruption_here

BLOCKED = "import signal; print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))"


def start() -> str:
    return subprocess.run([sys.executable, "-c", BLOCKED], capture_output=True, text=True).stdout


def test_only_processes_started_in_it_do_not_see_ctrl_c() -> None:
    with leaving_interruption_here():
        inside = start()
    assert inside == "True\n"
    assert start() == "False\n"
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
