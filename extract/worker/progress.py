"""How far an extraction is, on however many devices."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

from ta3n.common.log import LOGGER, ProgressLine, describe_duration
from ta3n.extract.worker.work import ShardTask


class Advanced(NamedTuple):
    """How far a device is, and for how many seconds its network waited for frames."""

    num_clips: int
    num_frames: int
    wait_s: float


Tell: TypeAlias = Callable[[Advanced], None]
"""Takes how far a device is by now."""


class JobProgress(ProgressLine):
    """Shows how far devices are, one or several side by side. Use as a context manager."""

    def __init__(self, tasks: Sequence[ShardTask]) -> None:
        super().__init__(sum(len(task.to_decode) for task in tasks), "clips")
        self._started_s = time.monotonic()
        self._states: list[Advanced] = []
        self._showing = threading.Lock()

    def __exit__(self, *raised: object) -> None:
        super().__exit__(*raised)
        if raised[0] is None:
            done, elapsed_s = self._done(), self._elapsed_s()
            duration = describe_duration(elapsed_s)
            LOGGER.info("%d clips in %s: %s", done.num_clips, duration, _rates(done, elapsed_s))

    def of_device(self) -> Tell:
        """Return what is to be told of one more device."""
        number = len(self._states)
        self._states.append(Advanced(0, 0, 0.0))

        def tell(now: Advanced) -> None:
            with self._showing:
                self._states[number] = now
                done = self._done()
                if done.num_clips:
                    self.update(done.num_clips, _rates(done, self._elapsed_s()))

        return tell

    def _done(self) -> Advanced:
        clips, frames, waits = zip(*(self._states or [Advanced(0, 0, 0.0)]), strict=True)
        # Devices wait side by side: their mean is what the job waits.
        return Advanced(sum(clips), sum(frames), sum(waits) / len(waits))

    def _elapsed_s(self) -> float:
        return max(time.monotonic() - self._started_s, 1e-9)


def _rates(done: Advanced, elapsed_s: float) -> str:
    return (
        f"{done.num_frames} frames, {done.num_frames / elapsed_s:.1f} frames/s, "
        f"waited {100 * done.wait_s / elapsed_s:.0f}% for decoding"
    )
