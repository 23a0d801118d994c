"""Our commands on a file system that has neither locks nor hard links.

Run as a script: the name of the command, then its arguments.
"""

import errno
import fcntl
import os
import sys
from typing import Any

from ta3n.extract import cli as extract_cli
from ta3n.train import cli as train_cli


def refuse(*_: Any, **__: Any) -> None:
    """Fail as such a file system does."""
    raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))


if __name__ == "__main__":
    os.link = refuse
    fcntl.flock = fcntl.lockf = refuse
    command = {main.name: main for main in (extract_cli.main, train_cli.main)}[sys.argv[1]]
    command(sys.argv[2:])
