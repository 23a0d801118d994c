"""Stage one from within stage two: as its own command, so that the manifest is the only link."""

import subprocess
import sys
from collections.abc import Sequence
from errno import E2BIG

from ta3n.common.errors import EXIT_INTERRUPTED, InterruptedRunError, Ta3nError, UsageError


def run_extract(arguments: Sequence[str], *, show_progress: bool = True) -> None:
    """Run `ta3n-extract` as a user would type it.

    Args:
        arguments: Its options.
        show_progress: Let it write to standard error; else only its error is told.

    Raises:
        InterruptedRunError: If it was interrupted.
        UsageError: If the line is longer than the system allows.
        Ta3nError: If it failed, with its message where that was not shown.
    """
    # -P: the folder that one stands in is none of the command's business.
    command = [sys.executable, "-P", "-m", "ta3n.extract.cli", *arguments]
    try:
        done = subprocess.run(
            command, check=False, text=True, stderr=None if show_progress else subprocess.PIPE
        )
    except OSError as error:
        if error.errno == E2BIG:
            raise UsageError("too many clips for one call; name their folder instead") from error
        raise
    if done.returncode == EXIT_INTERRUPTED:
        raise InterruptedRunError("interrupted; the same command line goes on from there")
    if done.returncode != 0:
        lines = (done.stderr or "").strip().splitlines()
        reason = f": {lines[-1]}" if lines else "; see its message above"
        raise Ta3nError(f"ta3n-extract ended with {done.returncode}{reason}")
