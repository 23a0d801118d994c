"""One worker process, seen from outside: how it is started, watched and ended."""

import signal
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Pipe
from types import TracebackType
from typing import Self

from ta3n.common.log import LOGGER
from ta3n.common.records import ClipStatus
from ta3n.extract.worker.protocol import (
    Alive,
    Ended,
    Failed,
    Finished,
    Message,
    Probe,
    Started,
    Work,
)

_SECONDS_BETWEEN_LOOKS = 1.0
# A heartbeat may be late: loading libraries from a slow disk stops every thread.
_START_GRACE_S, _BEAT_GRACE_S = 600.0, 30.0
# A worker that is told to stop first finishes the shard that it is writing.
_STOP_GRACE_S = 20.0
_KILL_GRACE_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """How a worker ended that did not finish.

    Attributes:
        status: What a clip is called that did this: `crashed` or `timeout`.
        reason: What happened, such as `SIGSEGV`.
        in_flight: Numbers of the clips that were being decoded.
        suspects: Those of them that may have caused it.
    """

    status: ClipStatus
    reason: str
    in_flight: tuple[int, ...]
    suspects: tuple[int, ...]


class WorkerProcess:
    """A worker process at work; leaving the context ends it.

    Args:
        command: Starts the worker, with the number of its connection as a last argument.
        order: What it is to do.
    """

    def __init__(self, command: Sequence[str], order: Work | Probe) -> None:
        self._timeout_s = order.clip_timeout_s
        self._in_flight: dict[int, None] = {}
        self._heard = False
        self._connection, theirs = Pipe()
        with theirs:
            descriptor = theirs.fileno()
            self._process = subprocess.Popen(
                [*command, str(descriptor)],
                pass_fds=[descriptor],
                stdin=subprocess.DEVNULL,
                stdout=2,  # results are for whoever reads our standard output
            )
        try:
            self._connection.send(order)
        except OSError:
            LOGGER.debug("the worker died before it had its order; watching tells how")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Closing is what tells the worker to stop.
        self._connection.close()
        if not self._wait(_STOP_GRACE_S):
            self._kill()

    def watch(self, handle: Callable[[Message], None]) -> Death | None:
        """Wait until the worker has finished, died, or hangs; then it is killed.

        Args:
            handle: Takes the messages that are not about the worker's health.

        Returns:
            How it died; None if it finished.

        Raises:
            Ta3nError: What the worker says that it cannot go on for.
            OSError: Likewise.
        """
        silent_s = 0.0
        while True:
            if not self._connection.poll(_SECONDS_BETWEEN_LOOKS):
                silent_s += _SECONDS_BETWEEN_LOOKS
                if silent_s > self._silence_allowed_s():
                    self._kill()
                    return self._death("timeout", "no sign of life", tuple(self._in_flight))
                continue
            silent_s = 0.0
            try:
                message = self._connection.recv()
            except (EOFError, OSError):
                return self._death("crashed", self._end(), tuple(self._in_flight))
            if isinstance(message, Failed):
                raise message.error
            if isinstance(message, Finished):
                return None
            if stalled := self._note(message):
                self._kill()
                return self._death("timeout", f"no progress for {self._timeout_s:g} s", stalled)
            handle(message)

    def _note(self, message: Message) -> tuple[int, ...]:
        """Keep count of the clips being decoded; return those that are stuck."""
        self._heard = True
        if isinstance(message, Started):
            self._in_flight[message.clip_id] = None
        elif isinstance(message, Ended):
            self._in_flight.pop(message.clip_id, None)
        return message.stalled if isinstance(message, Alive) else ()

    def _silence_allowed_s(self) -> float:
        return self._timeout_s + (_BEAT_GRACE_S if self._in_flight else _START_GRACE_S)

    def _death(self, status: ClipStatus, reason: str, suspects: tuple[int, ...]) -> Death:
        in_flight = tuple(self._in_flight)
        return Death(status=status, reason=reason, in_flight=in_flight, suspects=suspects)

    def _end(self) -> str:
        """Return what ended a worker that closed its connection."""
        if not self._wait(_KILL_GRACE_S):
            self._kill()
            return "it closed its connection"
        code = self._process.returncode
        if code >= 0:
            return f"exit code {code}"
        try:
            return signal.Signals(-code).name
        except ValueError:
            return f"signal {-code}"

    def _wait(self, timeout_s: float) -> bool:
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _kill(self) -> None:
        self._process.kill()
        if not self._wait(_KILL_GRACE_S):
            LOGGER.warning(
                "process %d does not end although killed: a disk does not answer",
                self._process.pid,
            )
