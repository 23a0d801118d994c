"""Runs the worker process, and goes on when a clip crashes or hangs it.

When the worker ends unasked, the clips that it was decoding are decoded again, each alone in a
process of its own. One that crashes or hangs that process too has done so twice: it is quarantined
and the shard is made without it, from the same frames in the same batches as if the clip held none.
If none does, the shard is tried again with one clip decoded at a time.
"""

import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from multiprocessing.connection import Pipe
from typing import Self

from ta3n.common.errors import WorkerError
from ta3n.common.log import LOGGER
from ta3n.common.records import ClipStatus, PlannedClip
from ta3n.extract.supervision.progress import JobProgress, WorkerProgress
from ta3n.extract.supervision.quarantine import add_to_quarantine
from ta3n.extract.worker.messages import (
    Alive,
    Ended,
    Failed,
    Finished,
    Message,
    Quarantined,
    ShardDone,
    Started,
    Work,
)

WORKER_COMMAND = (sys.executable, "-P", "-m", "ta3n.extract.worker.process")
# Exits of the worker in a row, with no shard finished between, that no clip explains.
_MAX_UNEXPLAINED = 2
_SECONDS_BETWEEN_LOOKS = 1.0
# A heartbeat may be late: loading libraries from a slow disk stops every thread.
_START_GRACE_S, _BEAT_GRACE_S = 600.0, 30.0
# A worker that is told to stop first finishes the shard that it is writing.
_STOP_GRACE_S = 20.0
_KILL_GRACE_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerExit:
    """How a worker ended that did not finish.

    Attributes:
        status: Of a clip that did this: `crashed` or `timeout`.
        reason: Such as `SIGSEGV`.
        in_flight: Numbers of the clips that were being decoded.
        suspects: Those of them that may have caused it.
    """

    status: ClipStatus
    reason: str
    in_flight: tuple[int, ...]
    suspects: tuple[int, ...]


class WorkerProcess:
    """A worker process at work; leaving the context ends it.

    Its command gets the number of its connection as a last argument.
    """

    def __init__(self, command: Sequence[str], order: Work) -> None:
        self._timeout_s = order.clip_timeout_s
        self._in_flight: dict[int, None] = {}
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
            LOGGER.debug("the worker ended before it had its order; watching tells how")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # Closing is what tells the worker to stop.
        self._connection.close()
        if not self._wait(_STOP_GRACE_S):
            self._kill()

    def watch(self, handle: Callable[[Message], None]) -> WorkerExit | None:
        """Wait until the worker ends, or hangs and is killed; return how, or None if it finished.

        Args:
            handle: Takes all messages but the last.

        Raises:
            Ta3nError: What the worker says that it cannot go on for.
            OSError: Likewise.
        """
        silent_s = 0.0
        while True:
            if not self._connection.poll(_SECONDS_BETWEEN_LOOKS):
                silent_s += _SECONDS_BETWEEN_LOOKS
                grace_s = _BEAT_GRACE_S if self._in_flight else _START_GRACE_S
                if silent_s > self._timeout_s + grace_s:
                    self._kill()
                    return self._exit("timeout", "no sign of life")
                continue
            silent_s = 0.0
            try:
                message = self._connection.recv()
            except (EOFError, OSError):
                return self._exit("crashed", self._end())
            if isinstance(message, Failed):
                raise message.error
            if isinstance(message, Finished):
                return None
            if isinstance(message, Started):
                self._in_flight[message.clip_id] = None
            elif isinstance(message, Ended):
                self._in_flight.pop(message.clip_id, None)
            elif isinstance(message, Alive) and message.stalled:
                self._kill()
                reason = f"no progress for {self._timeout_s:g} s"
                return self._exit("timeout", reason, message.stalled)
            handle(message)

    def _exit(self, status: ClipStatus, reason: str, stalled: tuple[int, ...] = ()) -> WorkerExit:
        every = tuple(self._in_flight)
        return WorkerExit(status=status, reason=reason, in_flight=every, suspects=stalled or every)

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


def supervise(work: Work, progress: JobProgress, command: Sequence[str] = WORKER_COMMAND) -> None:
    """Get a piece of work done, by one worker at a time for each of its devices.

    With several devices each gets every so-manieth shard. The command starts a worker.

    Raises:
        WorkerError: If workers end again and again, and no clip is to blame.
        Ta3nError: What a worker cannot go on for.
        OSError: Likewise.
    """
    supervisors = [_Supervisor(part, progress.worker(part.tasks), command) for part in deal(work)]
    if len(supervisors) == 1:
        supervisors[0].run()
        return
    with ThreadPoolExecutor(len(supervisors)) as pool:
        runs = [pool.submit(supervisor.run) for supervisor in supervisors]
        try:
            for run in as_completed(runs):
                run.result()
        except BaseException:
            # Leaving the pool waits for the others.
            progress.stopping.set()
            raise


def deal(work: Work) -> list[Work]:
    """Return the part of each device; devices that get no shard are left out."""
    used = work.devices[: len(work.tasks)]
    return [
        replace(work, device=device, tasks=work.tasks[first :: len(used)], num_sharing=len(used))
        for first, device in enumerate(used)
    ]


class _Supervisor:
    """Gets a piece of work done by as many workers as it takes, one after another."""

    def __init__(self, work: Work, progress: WorkerProgress, command: Sequence[str]) -> None:
        self._work = work
        self._progress = progress
        self._command = command
        self._clips = {clip.id: clip for task in work.tasks for clip in task.clips}
        self._passes = {c.id: clips for task in work.tasks for clips in task.passes for c in clips}
        self._quarantined = dict(work.quarantined)
        self._attempts = dict(work.attempts)
        self._unexplained = 0

    def run(self) -> None:
        """Make all shards; it raises what `supervise` does."""
        while True:
            finished = self._progress.finished
            order = replace(
                self._work,
                tasks=tuple(task for task in self._work.tasks if task.shard not in finished),
                quarantined=self._quarantined,
                attempts=self._attempts,
                decode_threads=1 if self._unexplained else self._work.decode_threads,
            )
            self._progress.restart()
            with WorkerProcess(self._command, order) as worker:
                exited = worker.watch(self._handle)
            if exited is None:
                return
            self._look_into(exited)

    def _handle(self, message: Message) -> None:
        if isinstance(message, ShardDone):
            self._unexplained = 0
        self._progress.handle(message)

    def _look_into(self, exited: WorkerExit) -> None:
        """Find the clip that explains why the worker ended, or give up."""
        names = ", ".join(repr(self._clips[i].file) for i in exited.suspects)
        LOGGER.warning("the worker ended (%s) while decoding %s", exited.reason, names or "nothing")
        for number in exited.in_flight:
            self._count_attempt(number)
        if sum(self._does_it_again(number) for number in exited.suspects):
            return
        self._unexplained += 1
        if self._unexplained == _MAX_UNEXPLAINED and len(exited.suspects) == 1:
            # It was the only one being decoded this time, though decoding it is not enough.
            self._leave_out(exited.suspects[0], exited, "among others, then in an unshared worker")
        elif self._unexplained >= _MAX_UNEXPLAINED:
            hint = ""
            if exited.reason == "SIGKILL":
                hint = ": memory may have run out; give the job more, or lower --batch-size"
            raise WorkerError(
                f"the worker process ended again and again ({exited.reason}), and no clip is to "
                f"blame{hint}; finished shards are kept, the same command line goes on from there"
            )

    def _does_it_again(self, number: int) -> bool:
        """Decode a suspect alone; quarantine it if that crashes or hangs the process again."""
        clip, *others = self._passes[number]
        order = replace(self._work, tasks=(), alone=clip, alone_with=tuple(others))
        with WorkerProcess(self._command, order) as worker:
            exited = worker.watch(lambda _: self._progress.check())
        if exited is None:
            return False
        self._count_attempt(number)
        for entry, each in self._leave_out(number, exited, "alone too"):
            add_to_quarantine(self._work.folder, each, entry)
        return True

    def _count_attempt(self, number: int) -> None:
        for clip in self._passes[number]:
            self._attempts[clip.id] = self._attempts.get(clip.id, 0) + 1

    def _leave_out(
        self, number: int, exited: WorkerExit, how: str
    ) -> list[tuple[Quarantined, PlannedClip]]:
        """Go on without a clip, or all sections that are decoded with it."""
        clips, attempts = self._passes[number], self._attempts[number]
        did = "ended the worker process" if exited.status == "crashed" else "hung"
        error = f"decoding {did}, {how}: {exited.reason}; tried {attempts} times"
        entries = [
            (Quarantined.of(clip, status=exited.status, error=error, attempts=attempts), clip)
            for clip in clips
        ]
        sections = f" and its {len(clips)} sections" if len(clips) > 1 else ""
        LOGGER.warning(
            "%s %r%s: %s; the job goes on without it",
            exited.status,
            clips[0].file,
            sections,
            error,
        )
        self._quarantined.update((clip.id, entry) for entry, clip in entries)
        return entries
