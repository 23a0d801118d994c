"""Decoders at work, seen from the process that takes their frames: whom to give what, and faults.

The parent alone knows which blocks are free, and which clip each decoder has: one that crashes or
hangs its decoder is known at once. It is tried once more, in a new decoder; the second time it ends
as `crashed` or `timeout`. A hang counts only once some clip was decoded well after it: a disk that
does not answer hangs them all, and is waited for.
"""

import os
import queue
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import count
from multiprocessing.connection import Connection, Pipe, wait
from typing import Self, TypeAlias

from ta3n.common.device import leaving_interruption_here
from ta3n.common.errors import DataMissingError, WorkerError
from ta3n.common.log import LOGGER
from ta3n.common.records import USABLE, ClipStatus
from ta3n.common.video import RgbImage
from ta3n.extract.decoders.blocks import Blocks, Layout, open_shared_memory
from ta3n.extract.decoders.decoder import (
    Broken,
    Decode,
    Decoder,
    Done,
    Filled,
    FromDecoder,
    Order,
    Ready,
    Room,
    Start,
    ToDecoder,
)
from ta3n.extract.decoding.decode import ClipOutcome
from ta3n.extract.decoding.passes import Outcomes, Pass

_MAX_TRIES = 2
# Times in a row that a disk may not answer, a time limit each, before the job ends.
_MAX_STALLS = 10
# So that a decoder never waits for the answer to what it handed over.
_ROOMS_AHEAD = 2
_SECONDS_BETWEEN_LOOKS = 1.0
# Loading libraries from a slow disk takes its time.
_START_GRACE_S = 600.0
_KILL_GRACE_S = 5.0


@dataclass(eq=False)
class Attempt:
    """Clips that are decoded at once, for the first or the second time.

    Attributes:
        number: No other one has it: what a decoder says is of this one.
        num_failed: How often they crashed or hung a decoder before.
        is_alone: Whether nothing else may be decoded meanwhile: memory may have run out.
        is_probe: Whether it only tells whether a clip can be decoded that could before.
    """

    clips: Pass
    num_failed: int = 0
    is_alone: bool = False
    is_probe: bool = False
    number: int = field(default_factory=count().__next__)


@dataclass(frozen=True, slots=True)
class Frames:
    """Frames of an attempt, in their order [n, H, W, 3] or [n, T, S, S, 3].

    They are to be used before the next ones are asked for.
    """

    attempt: Attempt
    pixels: RgbImage
    block: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of an attempt. One that was tried again has none."""

    attempt: Attempt
    outcomes: Outcomes


_Item: TypeAlias = Frames | Ended | BaseException | None


@dataclass(eq=False)
class _Worker:
    """A decoder, and what the parent knows of it."""

    number: int
    connection: Connection
    process: "subprocess.Popen[bytes] | None" = None
    decoder: Decoder | None = None
    thread: threading.Thread | None = None
    is_ready: bool = False
    attempt: Attempt | None = None
    rooms: set[int] = field(default_factory=set)
    last_steps: int = -1
    idle_s: float = 0.0

    def send(self, message: Start | ToDecoder) -> None:
        try:
            self.connection.send(message)
        except OSError:
            LOGGER.debug("a decoder ended; its connection tells")

    def end(self, *, kill: bool) -> str:
        """Wait for the process, or kill it; return how it ended."""
        assert self.process is not None, "threads end by themselves"
        for grace_s in (0.0 if kill else _KILL_GRACE_S, _KILL_GRACE_S):
            try:
                code = self.process.wait(grace_s)
            except subprocess.TimeoutExpired:
                self.process.kill()
                continue
            try:
                return f"exit code {code}" if code >= 0 else signal.Signals(-code).name
            except ValueError:
                return f"signal {-code}"
        LOGGER.warning(
            "process %d does not end although killed: a disk does not answer", self.process.pid
        )
        return "it does not end"


class Decoders:
    """Decoders that run ahead of whoever takes their frames, as far as the blocks reach.

    Use as a context manager, which starts and ends them. Memory is bounded by that of the blocks,
    however long or large clips are.

    Args:
        decode: Done in the decoders; it can be pickled unless those are threads.
        max_bytes: Of all blocks.
        frame_bytes: The most that a frame, or a window of frames, takes.
        command: Starts a process for each decoder, with two descriptors as last arguments; without
            one they are threads of this process.
        timeout_s: A process that shows no progress for so long is killed.

    Attributes:
        count: How many there are.
        wait_s: Seconds that the consumer waited for frames.
        full_s: Seconds that decoders waited for free blocks, all together.
    """

    def __init__(
        self,
        decode: Decode,
        *,
        count: int,
        max_bytes: int,
        frame_bytes: int,
        command: Sequence[str] = (),
        timeout_s: float = 60.0,
    ) -> None:
        self.count = count
        self._decode = decode
        self._timeout_s = timeout_s
        layout = Layout.of(count, max_bytes, frame_bytes)
        self._memory = open_shared_memory(layout.num_bytes) if command else None
        self._command = () if self._memory is None else tuple(command)
        self._blocks = Blocks(layout, self._memory)
        self._free = deque(range(layout.num_blocks))
        self._workers: list[_Worker] = []
        self._todo: Iterator[Pass] = iter(())
        self._is_working = self._is_stopped = False
        self._retries: deque[Attempt] = deque()
        # Those that hung, until it is known whose fault that was.
        self._suspects: list[Attempt] = []
        self._good: Pass | None = None
        self._num_stalls = self._num_unexplained = 0
        self._items: queue.SimpleQueue[_Item] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._feeder = threading.Thread(target=self._feed, name="feed", daemon=True)
        self.wait_s = self.full_s = 0.0

    def __enter__(self) -> Self:
        try:
            for number in range(self.count):
                self._workers.append(self._start(number))
            self._feeder.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._is_stopped = True
            for worker in self._workers:
                if worker.process is not None:
                    worker.process.kill()
                else:
                    worker.send(None)
        if self._feeder.is_alive():
            self._feeder.join()
        with self._lock:
            # Where an interruption caught the feeder while it started, that may do so, too.
            for worker in list(self._workers):
                self._drop(worker)
        if self._memory is not None:
            os.close(self._memory)

    def decoded(
        self, todo: Iterable[Pass], stopped: threading.Event | None = None
    ) -> Iterator[Frames | Ended]:
        """Yield what decoding gives, as it comes; only frames of one attempt are in order.

        Args:
            todo: What is to be decoded; it is asked for more on another thread.
            stopped: Ends it once it is set.

        Raises:
            CancelledError: If it was stopped.
            WorkerError: If decoders end again and again, and no clip is to blame.
            DataMissingError: If the disk of the clips does not answer.
            Exception: What `decode` or `todo` raised.
        """
        with self._lock:
            self._todo, self._is_working = iter(todo), True
            self._assign()
        while (item := self._next_item(stopped)) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
            if isinstance(item, Frames):
                with self._lock:
                    self._free.append(item.block)
                    self._grant()

    def wait_until_ready(self) -> None:
        """Wait until each of them has started, which nobody else needs to."""
        while self._feeder.is_alive() and not all(each.is_ready for each in self._workers):
            time.sleep(0.01)

    def _next_item(self, stopped: threading.Event | None) -> _Item:
        started = time.perf_counter()
        try:
            while stopped is None or not stopped.is_set():
                with suppress(queue.Empty):
                    return self._items.get(timeout=None if stopped is None else 0.5)
            raise CancelledError
        finally:
            self.wait_s += time.perf_counter() - started

    def _start(self, number: int) -> _Worker:
        ours, theirs = Pipe()
        start = Start(self._blocks.layout, number, self._decode, os.getpid())
        worker = _Worker(number, ours)
        if self._memory is not None:
            try:
                with theirs, leaving_interruption_here():
                    descriptors = [theirs.fileno(), self._memory]
                    worker.process = subprocess.Popen(
                        [*self._command, *map(str, descriptors)],
                        pass_fds=descriptors,
                        stdin=subprocess.DEVNULL,
                        stdout=2,  # results are for whoever reads our standard output
                    )
                worker.send(start)
            except BaseException:
                if worker.process is not None:
                    worker.end(kill=True)
                raise
        else:
            worker.decoder = Decoder(theirs, start, self._blocks, is_process=False)
            worker.thread = threading.Thread(target=worker.decoder.run, name="decode", daemon=True)
            worker.thread.start()
        return worker

    def _feed(self) -> None:
        """Serve the decoders, on a thread of its own: the network must not keep them waiting."""
        try:
            interval_s = min(_SECONDS_BETWEEN_LOOKS, self._timeout_s / 4)
            looked = time.monotonic()
            while by_connection := {worker.connection: worker for worker in self._workers}:
                for connection in wait(list(by_connection), interval_s):
                    self._hear(by_connection[connection])  # type: ignore[index]
                if (since_s := time.monotonic() - looked) >= interval_s:
                    # Of a process that was stopped and goes on, no clip is to blame.
                    self._look(min(since_s, 2 * interval_s))
                    looked = time.monotonic()
        except Exception as error:  # noqa: BLE001  it is raised where frames are taken
            self._items.put(error)

    def _hear(self, worker: _Worker) -> None:
        try:
            message: FromDecoder = worker.connection.recv()
        except (EOFError, OSError):
            with self._lock:
                self._lose(worker)
            return
        with self._lock:
            if isinstance(message, Ready):
                worker.is_ready = True
            elif isinstance(message, Broken):
                # In a thread the error knows where it came from.
                self._items.put(worker.decoder.error if worker.decoder else message.error)
            elif isinstance(message, Filled):
                assert worker.attempt is not None, "a decoder has frames of what it was given"
                worker.rooms.discard(message.block)
                pixels = self._blocks.frames(message.block, message.shape, message.length)
                self._items.put(Frames(worker.attempt, pixels, message.block))
                # Those that wait for a block come first.
                self._workers.remove(worker)
                self._workers.append(worker)
                self._grant()
                return
            else:
                self._finish(worker, message)
            self._assign()

    def _finish(self, worker: _Worker, done: Done) -> None:
        attempt = self._release(worker)
        assert attempt is not None, "a decoder ends what it was given"
        self._num_stalls = self._num_unexplained = 0
        self.full_s += done.full_s
        if attempt.is_probe:
            self._judge()
            return
        tries = attempt.num_failed + 1
        outcomes = tuple(replace(outcome, attempts=tries) for outcome in done.outcomes)
        self._items.put(Ended(attempt, outcomes))
        if any(outcome.status in USABLE for outcome in outcomes):
            self._good = attempt.clips
            self._judge()

    def _release(self, worker: _Worker) -> Attempt | None:
        """Let a decoder have nothing to do; return what it had."""
        attempt, worker.attempt = worker.attempt, None
        self._free.extend(worker.rooms)
        worker.rooms.clear()
        return attempt

    def _assign(self) -> None:
        """Give those that wait something to do; say so once all is done."""
        for worker in self._workers:
            if worker.is_ready and worker.attempt is None:
                worker.attempt = self._next_attempt()
                if worker.attempt is None:
                    break
                worker.last_steps, worker.idle_s = -1, 0.0
                attempt = worker.attempt
                worker.send(Order(attempt.number, attempt.clips, attempt.is_probe))
        self._grant()
        is_busy = self._retries or self._suspects or any(w.attempt for w in self._workers)
        if self._is_working and not is_busy and any(w.is_ready for w in self._workers):
            self._is_working = False
            self._items.put(None)

    def _next_attempt(self) -> Attempt | None:
        busy = [worker.attempt for worker in self._workers if worker.attempt is not None]
        if any(attempt.is_alone for attempt in busy):
            return None
        if self._suspects and self._good is not None:
            is_probed = any(attempt.is_probe for attempt in busy)
            return None if is_probed else Attempt(self._good, is_probe=True)
        if self._retries:
            must_wait = self._retries[0].is_alone and busy
            return None if must_wait else self._retries.popleft()
        try:
            clips = next(self._todo, None)
        except Exception as error:  # noqa: BLE001  it is raised where frames are taken
            self._items.put(error)
            return None
        if clips is None and self._suspects and not busy:
            # There is nothing else left that could tell.
            self._judge()
            return self._next_attempt()
        return None if clips is None else Attempt(clips)

    def _grant(self) -> None:
        """Give free blocks to decoders that need some, one to each before any gets a second one."""
        for wanted in range(1, _ROOMS_AHEAD + 1):
            for worker in self._workers:
                if worker.attempt is None or worker.attempt.is_probe:
                    continue
                if self._free and len(worker.rooms) < wanted:
                    block = self._free.popleft()
                    worker.rooms.add(block)
                    worker.send(Room(worker.attempt.number, block))

    def _look(self, since_s: float) -> None:
        """Kill processes that make no progress."""
        with self._lock:
            for worker in list(self._workers):
                if worker.process is None or self._is_stopped:
                    continue
                steps = int(self._blocks.steps[worker.number])
                is_idle = worker.is_ready and worker.attempt is None
                # One without a block may only wait for it.
                needs_room = (
                    worker.attempt is not None and not worker.attempt.is_probe and not worker.rooms
                )
                if is_idle or needs_room or steps != worker.last_steps:
                    worker.idle_s = 0.0
                else:
                    worker.idle_s += since_s
                worker.last_steps = steps
                limit_s = self._timeout_s if worker.is_ready else _START_GRACE_S
                if worker.idle_s >= limit_s:
                    self._lose(worker, hung_s=limit_s)

    def _lose(self, worker: _Worker, hung_s: float = 0.0) -> None:
        """Go on after the end of a decoder, or end one that hangs: another one takes its place."""
        if worker.process is None or self._is_stopped:
            self._drop(worker)
            return
        hung = hung_s > 0
        reason = worker.end(kill=hung)
        worker.connection.close()
        attempt = self._release(worker)
        self._workers[self._workers.index(worker)] = self._start(worker.number)
        if hung:
            reason = f"no progress for {hung_s:g} s"
        if attempt is None:
            self._num_unexplained += 1
            LOGGER.warning("a decoder ended (%s) while it decoded nothing", reason)
            if self._num_unexplained >= 2 * len(self._workers):
                raise WorkerError(
                    f"the decoder processes ended again and again ({reason}), and no clip is to "
                    "blame; finished shards are kept, the same command line goes on from there"
                )
        elif attempt.is_probe and hung:
            self._stall(attempt)
        elif attempt.is_probe:
            self._judge()
        elif hung:
            LOGGER.warning("%r hangs (%s)", attempt.clips[0].file, reason)
            self._suspects.append(attempt)
            if self._good is None and len(self._suspects) >= _MAX_STALLS * len(self._workers):
                raise _no_answer(f"all of {len(self._suspects)} clips hung ({reason})")
        else:
            self._strike(attempt, "crashed", reason)
        self._assign()

    def _drop(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        if worker.process is not None:
            worker.end(kill=True)
        worker.connection.close()
        if worker.thread is not None:
            worker.thread.join()

    def _stall(self, probe: Attempt) -> None:
        """Wait for a disk that does not answer, but not for ever."""
        name = probe.clips[0].file
        self._num_stalls += 1
        if self._num_stalls == _MAX_STALLS:
            raise _no_answer(
                f"{name!r}, which was decoded before, gave nothing for {self._timeout_s:g} s "
                f"{_MAX_STALLS} times over"
            )
        LOGGER.warning(
            "%r, which was decoded before, hangs as well: the disk does not answer and is waited "
            "for; no clip is to blame",
            name,
        )

    def _judge(self) -> None:
        """A clip was decoded: those that hung did so by themselves."""
        suspects, self._suspects = self._suspects, []
        for attempt in suspects:
            self._strike(attempt, "timeout", f"no progress for {self._timeout_s:g} s")

    def _strike(self, attempt: Attempt, status: ClipStatus, reason: str) -> None:
        """Count against a clip what it did to its decoder: try it again, or leave it out."""
        tries, clips = attempt.num_failed + 1, attempt.clips
        sections = f" and its {len(clips)} sections" if len(clips) > 1 else ""
        did = "ended the decoder" if status == "crashed" else "hung"
        error = f"decoding {did}: {reason}; tried {tries} times"
        if tries < _MAX_TRIES:
            LOGGER.warning(
                "decoding %r%s %s: %s; it is tried again", clips[0].file, sections, did, reason
            )
            self._retries.append(Attempt(clips, tries, is_alone=reason == "SIGKILL"))
            return
        LOGGER.warning(
            "%s %r%s: %s; the job goes on without it", status, clips[0].file, sections, error
        )
        outcome = ClipOutcome(status=status, error=error, attempts=tries)
        self._items.put(Ended(attempt, (outcome,) * len(clips)))


def _no_answer(found: str) -> DataMissingError:
    return DataMissingError(
        f"the disk of the clips does not answer: {found}. No clip is held to be bad for it; see to "
        "the disk, then run again"
    )
