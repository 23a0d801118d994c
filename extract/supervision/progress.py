"""How far an extraction is, over however many workers it takes."""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import CancelledError

from ta3n.common.log import LOGGER, ProgressLine, describe_duration
from ta3n.extract.worker.messages import Advanced, Logged, Message, ShardDone, ShardTask


class JobProgress(ProgressLine):
    """Shows what workers report, one or several side by side. Use as a context manager.

    Attributes:
        stopping: Set to let the supervisors of all workers end.
    """

    def __init__(self, tasks: Sequence[ShardTask]) -> None:
        super().__init__(sum(len(task.to_decode) for task in tasks), "clips")
        self._started_s = time.monotonic()
        self._workers: list[WorkerProgress] = []
        self._showing = threading.Lock()
        self.stopping = threading.Event()

    def __exit__(self, *raised: object) -> None:
        super().__exit__(*raised)
        if raised[0] is None:
            done, elapsed_s = self._done(), self._elapsed_s()
            duration = describe_duration(elapsed_s)
            LOGGER.info("%d clips in %s: %s", done.num_clips, duration, _rates(done, elapsed_s))

    def worker(self, tasks: Sequence[ShardTask]) -> "WorkerProgress":
        """Return what takes the messages of the worker of some shards, and of its successors."""
        progress = WorkerProgress(self, tasks)
        self._workers.append(progress)
        return progress

    def show(self) -> None:
        """Show how far all workers are."""
        with self._showing:
            done, elapsed_s = self._done(), self._elapsed_s()
            if done.num_clips:
                self.update(done.num_clips, _rates(done, elapsed_s))

    def _done(self) -> Advanced:
        states = [worker.now for worker in self._workers]
        return Advanced(
            sum(state.num_clips for state in states),
            sum(state.num_frames for state in states),
            # Workers wait side by side: their mean is what the job waits.
            sum(state.wait_s for state in states) / max(len(states), 1),
        )

    def _elapsed_s(self) -> float:
        return max(time.monotonic() - self._started_s, 1e-9)


class WorkerProgress:
    """How far one worker and its successors are `now`, and which shards are finished."""

    def __init__(self, job: JobProgress, tasks: Sequence[ShardTask]) -> None:
        self._job = job
        self._sizes = {task.shard: len(task.to_decode) for task in tasks}
        self._before = self.now = Advanced(0, 0, 0.0)
        self.finished: set[str] = set()

    def handle(self, message: Message) -> None:
        """Take a message of the worker, after a `check`."""
        self.check()
        if isinstance(message, Logged):
            LOGGER.info("%s", message.text)
        elif isinstance(message, ShardDone):
            self.finished.add(message.shard)
        elif isinstance(message, Advanced):
            self.now = Advanced(
                self._before.num_clips + message.num_clips,
                self._before.num_frames + message.num_frames,
                self._before.wait_s + message.wait_s,
            )
            self._job.show()

    def check(self) -> None:
        """Raise `CancelledError` if another worker's supervisor ended the job."""
        if self._job.stopping.is_set():
            raise CancelledError

    def restart(self) -> None:
        """Count on from the finished shards: a new worker begins."""
        num_clips = sum(self._sizes[shard] for shard in self.finished)
        self._before = Advanced(num_clips, self.now.num_frames, self.now.wait_s)


def _rates(done: Advanced, elapsed_s: float) -> str:
    return (
        f"{done.num_frames} frames, {done.num_frames / elapsed_s:.1f} frames/s, "
        f"waited {100 * done.wait_s / elapsed_s:.0f}% for decoding"
    )
