"""How far an extraction is, over however many workers it takes."""

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from ta3n.common.log import LOGGER, ProgressLine, describe_duration
from ta3n.extract.work import Advanced, Logged, Message, ShardDone, ShardTask


class JobProgress:
    """Shows what workers report, and knows which shards they have finished.

    Use as a context manager.

    Args:
        tasks: The shards of the job.

    Attributes:
        finished: Names of the shards that are done.
    """

    def __init__(self, tasks: Sequence[ShardTask]) -> None:
        self._sizes = {task.shard: len(task.clips) - len(task.kept) for task in tasks}
        self._total = sum(self._sizes.values())
        self._line = ProgressLine(self._total, "clips")
        self._started_s = time.monotonic()
        self._before = self._now = Advanced(0, 0, 0.0)
        self.finished: set[str] = set()

    def __enter__(self) -> Self:
        self._line.__enter__()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._line.__exit__(exc_type, exc, traceback)
        if exc is None:
            self._log_summary()

    def handle(self, message: Message) -> None:
        """Take a message of the worker."""
        if isinstance(message, Logged):
            LOGGER.info("%s", message.text)
        elif isinstance(message, ShardDone):
            self.finished.add(message.shard)
        elif isinstance(message, Advanced):
            self._now = Advanced(
                self._before.num_clips + message.num_clips,
                self._before.num_frames + message.num_frames,
                self._before.wait_s + message.wait_s,
            )
            self._line.update(self._now.num_clips, f"{self._rates()}, {self._time_left()}")

    def restart(self) -> None:
        """Count on from the finished shards: a new worker begins."""
        num_clips = sum(self._sizes[shard] for shard in self.finished)
        self._before = Advanced(num_clips, self._now.num_frames, self._now.wait_s)

    def _elapsed_s(self) -> float:
        return max(time.monotonic() - self._started_s, 1e-9)

    def _rates(self) -> str:
        frames, elapsed_s = self._now.num_frames, self._elapsed_s()
        return (
            f"{frames} frames, {frames / elapsed_s:.1f} frames/s, "
            f"waited {100 * self._now.wait_s / elapsed_s:.0f}% for decoding"
        )

    def _time_left(self) -> str:
        left_s = self._elapsed_s() / self._now.num_clips * (self._total - self._now.num_clips)
        return f"{describe_duration(max(left_s, 0.0))} left"

    def _log_summary(self) -> None:
        LOGGER.info(
            "%d clips in %s: %s",
            self._now.num_clips,
            describe_duration(self._elapsed_s()),
            self._rates(),
        )
