"""The process that decodes and holds the device; its supervisor survives whatever befalls it.

Started by `ta3n.extract.supervision.supervisor` as `python -m ta3n.extract.worker.process
DESCRIPTOR`, with one end of a pair of connected sockets.
"""

import logging
import os
import signal
import sys
import threading
import time
import traceback
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection
from typing import NoReturn

from ta3n.common.errors import EXIT_ENVIRONMENT, EXIT_INTERRUPTED, EXIT_OK, Ta3nError
from ta3n.common.log import LOGGER
from ta3n.extract.worker.messages import Failed, Finished, Logged, Pass, Reporter, Work
from ta3n.extract.worker.passes import decode_pass

_WRITE_GRACE_S = 15.0
_SECONDS_BETWEEN_BEATS = 1.0


def main() -> NoReturn:
    """Do the work that comes through the connection, then leave at once.

    The process ends without Python's shutdown: threads may hang in native code by then.
    """
    # A signal to the process group is the supervisor's to handle: it tells us to stop.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    connection: Connection = Connection(int(sys.argv[1]))
    reporter = Reporter(connection.send)
    LOGGER.handlers[:] = [_ToSupervisor(reporter)]
    LOGGER.setLevel(logging.INFO)
    LOGGER.propagate = False
    try:
        work: Work = connection.recv()
    except (EOFError, OSError):
        # The supervisor was told to stop before it could say what to do.
        os._exit(EXIT_INTERRUPTED)
    _in_background(_exit_when_told, connection, reporter)
    _in_background(_beat, reporter, work.clip_timeout_s)
    last = _result_of(work, reporter)
    code = EXIT_OK if isinstance(last, Finished) else EXIT_ENVIRONMENT
    try:
        reporter.send(last)
    except (OSError, ValueError):
        code = EXIT_ENVIRONMENT
    finally:
        sys.stderr.flush()
        os._exit(code)


def _result_of(work: Work, reporter: Reporter) -> Finished | Failed:
    """Do the work; return the last message to the supervisor."""
    try:
        if work.alone is not None:
            _decode_alone(work, (work.alone, *work.alone_with), reporter)
        else:
            # Decoding alone must not wait for torch.
            from ta3n.extract.worker.shards import extract_shards

            extract_shards(work, reporter)
    except (Ta3nError, OSError) as error:
        return Failed(error)
    except Exception as error:  # noqa: BLE001  the supervisor is to end the job with a line
        traceback.print_exc()
        return Failed(
            Ta3nError(
                f"unexpected {type(error).__name__}: {error}; no clip is to blame, but this "
                "software or the version of a package that it uses: see the traceback"
            )
        )
    return Finished()


def _decode_alone(work: Work, clips: Pass, reporter: Reporter) -> None:
    """Decode a clip, or sections of a video, and drop the frames; what that does to us is told."""
    for _ in reporter.watched(clips[0].id, partial(decode_pass, work.root, clips, work.config)):
        pass


def _exit_when_told(connection: Connection, reporter: Reporter) -> None:
    """Leave once the supervisor says so or is gone; a shard that is being written is finished."""
    with suppress(EOFError, OSError):
        connection.recv()
    reporter.publishing.acquire(timeout=_WRITE_GRACE_S)
    os._exit(EXIT_INTERRUPTED)


def _beat(reporter: Reporter, timeout_s: float) -> None:
    interval_s = min(_SECONDS_BETWEEN_BEATS, timeout_s / 4)
    while True:
        time.sleep(interval_s)
        reporter.beat(interval_s, timeout_s)


def _in_background(function: object, *args: object) -> None:
    threading.Thread(target=function, args=args, daemon=True).start()  # type: ignore[arg-type]


class _ToSupervisor(logging.Handler):
    """Passes log lines to the supervisor, who may have a live bar on the terminal."""

    def __init__(self, reporter: Reporter) -> None:
        super().__init__()
        self._reporter = reporter

    def emit(self, record: logging.LogRecord) -> None:
        self._reporter.send(Logged(record.getMessage()))


if __name__ == "__main__":
    main()
