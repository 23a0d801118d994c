"""Runs the worker, and goes on when a clip kills or hangs it.

When the worker dies, the clips that it was decoding are decoded again, each alone in a process of
its own. One that kills or hangs that process too has done so twice: it is quarantined and the
shard is made without it, from the same frames in the same batches as if the clip held none. If
none does, the shard is tried again with one clip decoded at a time.
"""

import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace

from ta3n.common.errors import WorkerError
from ta3n.common.log import LOGGER
from ta3n.common.records import PlannedClip
from ta3n.extract.supervision.progress import JobProgress, WorkerProgress
from ta3n.extract.supervision.quarantine import add_to_quarantine
from ta3n.extract.supervision.watchdog import Death, WorkerProcess
from ta3n.extract.worker.protocol import Message, Probe, ShardDone, Verdict, Work

WORKER_COMMAND = (sys.executable, "-P", "-m", "ta3n.extract.worker.process")
# Deaths of the worker in a row, with no shard finished between, that no clip explains.
_MAX_UNEXPLAINED = 2


def supervise(work: Work, progress: JobProgress, command: Sequence[str] = WORKER_COMMAND) -> None:
    """Get a piece of work done, by one worker at a time for each of its devices.

    With several devices each gets every so-manieth shard.

    Args:
        work: What is to be done.
        progress: Shows it.
        command: Starts a worker; the number of its connection is added.

    Raises:
        WorkerError: If workers die again and again, and no clip is to blame.
        Ta3nError: What a worker cannot go on for.
        OSError: Likewise.
    """
    parts = deal(work)
    if len(parts) == 1:
        Supervisor(parts[0], progress.worker(parts[0].tasks), command).run()
        return
    with ThreadPoolExecutor(len(parts)) as pool:
        runs = [
            pool.submit(Supervisor(part, progress.worker(part.tasks), command).run)
            for part in parts
        ]
        try:
            for run in as_completed(runs):
                run.result()
        except BaseException:
            # Leaving the pool waits for the others.
            progress.stopping.set()
            raise


def deal(work: Work) -> list[Work]:
    """Return the part of each device; devices that get no shard are left out."""
    devices = work.devices
    parts = [work.tasks[first :: len(devices)] for first in range(len(devices))]
    used = [(device, tasks) for device, tasks in zip(devices, parts, strict=True) if tasks]
    return [
        replace(work, device=device, tasks=tasks, num_sharing=len(used)) for device, tasks in used
    ]


class Supervisor:
    """Gets a piece of work done by as many workers as it takes, one after another.

    Args:
        work: What is to be done.
        progress: Shows it.
        command: Starts a worker; the number of its connection is added.
    """

    def __init__(
        self, work: Work, progress: WorkerProgress, command: Sequence[str] = WORKER_COMMAND
    ) -> None:
        self._work = work
        self._progress = progress
        self._command = command
        self._clips = {clip.id: clip for task in work.tasks for clip in task.clips}
        self._verdicts = dict(work.verdicts)
        self._attempts = dict(work.attempts)
        self._unexplained = 0

    def run(self) -> None:
        """Make all shards.

        Raises:
            WorkerError: If workers die again and again, and no clip is to blame.
            Ta3nError: What a worker cannot go on for.
            OSError: Likewise.
        """
        while True:
            tasks = [t for t in self._work.tasks if t.shard not in self._progress.finished]
            order = replace(
                self._work,
                tasks=tuple(tasks),
                verdicts=self._verdicts,
                attempts=self._attempts,
                decode_threads=1 if self._unexplained else self._work.decode_threads,
            )
            self._progress.restart()
            with WorkerProcess(self._command, order) as worker:
                death = worker.watch(self._handle)
            if death is None:
                return
            self._judge(death)

    def _handle(self, message: Message) -> None:
        if isinstance(message, ShardDone):
            self._unexplained = 0
        self._progress.handle(message)

    def _judge(self, death: Death) -> None:
        """Find the clip that is to blame for a death, or give up."""
        names = ", ".join(repr(self._clips[i].path) for i in death.suspects)
        LOGGER.warning("the worker ended (%s) while decoding %s", death.reason, names or "nothing")
        for number in death.in_flight:
            self._attempts[number] = self._attempts.get(number, 0) + 1
        guilty = [number for number in death.suspects if self._kills_again(number)]
        if guilty:
            return
        self._unexplained += 1
        alone = len(death.suspects) == 1
        if self._unexplained == _MAX_UNEXPLAINED and alone:
            # It was the only one being decoded this time, though decoding it is not enough.
            clip = self._clips[death.suspects[0]]
            self._condemn(clip, death, "among others, then in an unshared worker")
        elif self._unexplained >= _MAX_UNEXPLAINED:
            raise WorkerError(_hopeless(death))

    def _kills_again(self, number: int) -> bool:
        """Decode a suspect alone; condemn it if that kills or hangs the process again."""
        clip = self._clips[number]
        probe = Probe(
            root=self._work.root,
            clip=clip,
            frames=self._work.frames,
            clip_timeout_s=self._work.clip_timeout_s,
            timing=self._work.timing,
        )
        with WorkerProcess(self._command, probe) as worker:
            death = worker.watch(lambda _: self._progress.check())
        if death is None:
            return False
        self._attempts[number] += 1
        verdict = self._condemn(clip, death, "alone too")
        add_to_quarantine(self._work.folder, clip, verdict)
        return True

    def _condemn(self, clip: PlannedClip, death: Death, how: str) -> Verdict:
        attempts = self._attempts[clip.id]
        did = "ended the worker process" if death.status == "crashed" else "hung"
        verdict = Verdict(
            status=death.status,
            error=f"decoding {did}, {how}: {death.reason}; tried {attempts} times",
            attempts=attempts,
        )
        LOGGER.warning(
            "%s %r: %s; the job goes on without it", death.status, clip.path, verdict.error
        )
        self._verdicts[clip.id] = verdict
        return verdict


def _hopeless(death: Death) -> str:
    hint = ""
    if death.reason == "SIGKILL":
        hint = ": memory may have run out; give the job more, or lower --batch-size"
    what = f"the worker process ended again and again ({death.reason}), and no clip is to blame"
    return f"{what}{hint}; finished shards are kept, the same command line goes on from there"
