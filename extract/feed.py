"""Clips decoded ahead in threads, handed out in plan order.

FFmpeg and Pillow release the interpreter lock, so threads decode side by side. The order of frames
never depends on timing: batches, and so features, are the same in every run.
"""

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Generic, Self, TypeVar

from ta3n.common.streams import RgbImage
from ta3n.extract.decode import ClipOutcome

K = TypeVar("K")

Decoder = Callable[[K], Generator[RgbImage, None, ClipOutcome]]

_CROPS_AHEAD_PER_CLIP = 128
_SECONDS_BETWEEN_STOP_CHECKS = 0.2


class ClipFeed(Generic[K]):
    """An iterator over clips whose decoding runs ahead in threads.

    Use as a context manager, which stops the threads. Memory is bounded by the clips ahead (one
    more than threads) times 128 crops.

    Args:
        clips: What to decode, in order.
        decode: Yields a clip's crops and returns its outcome.
        num_threads: Clips decoded side by side.

    Attributes:
        wait_s: Seconds that the consumer waited for crops.
    """

    def __init__(self, clips: Iterable[K], decode: Decoder[K], *, num_threads: int) -> None:
        self._clips = iter(clips)
        self._decode = decode
        self._num_ahead = num_threads + 1
        self._pool = ThreadPoolExecutor(num_threads, thread_name_prefix="decode")
        self._stop = threading.Event()
        self.wait_s = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._pool.shutdown(cancel_futures=True)

    def __iter__(self) -> Iterator[tuple[K, "ClipCrops"]]:
        """Yield every clip with its crops, which are to be used up before the next clip."""
        ahead: deque[tuple[K, ClipCrops]] = deque()
        for clip in self._clips:
            crops = ClipCrops(self)
            self._pool.submit(self._run, clip, crops)
            ahead.append((clip, crops))
            if len(ahead) == self._num_ahead:
                yield ahead.popleft()
        yield from ahead

    def _run(self, clip: K, crops: "ClipCrops") -> None:
        """Decode one clip on a thread. Whatever happens, the consumer gets an outcome."""
        try:
            outcome = drain(self._decode(clip), lambda item: self._put(crops, item))
        except _StoppedError:
            return
        except Exception as error:  # noqa: BLE001  one clip must not end the job
            outcome = ClipOutcome(
                status="failed", error=f"unexpected {type(error).__name__}: {error}"
            )
        self._put(crops, outcome, stopped_is_fine=True)

    def _put(
        self, crops: "ClipCrops", item: RgbImage | ClipOutcome, *, stopped_is_fine: bool = False
    ) -> None:
        while not self._stop.is_set():
            try:
                crops.items.put(item, timeout=_SECONDS_BETWEEN_STOP_CHECKS)
            except queue.Full:
                continue
            return
        if not stopped_is_fine:
            raise _StoppedError


class ClipCrops:
    """The crops of one clip as they come.

    Attributes:
        items: Crops, then the outcome.
        outcome: Set once iteration has ended.
    """

    def __init__(self, feed: ClipFeed[K]) -> None:
        self.items: queue.Queue[RgbImage | ClipOutcome] = queue.Queue(_CROPS_AHEAD_PER_CLIP)
        self.outcome: ClipOutcome
        self._feed = feed

    def __iter__(self) -> Iterator[RgbImage]:
        """Yield crops [224, 224, 3] until the clip ends."""
        while True:
            started = time.perf_counter()
            item = self.items.get()
            self._feed.wait_s += time.perf_counter() - started
            if isinstance(item, ClipOutcome):
                self.outcome = item
                return
            yield item


class _StoppedError(Exception):
    """The consumer is gone."""


def drain(
    crops: Generator[RgbImage, None, ClipOutcome], sink: Callable[[RgbImage], None]
) -> ClipOutcome:
    """Hand every crop to `sink` and return the generator's outcome."""
    try:
        while True:
            sink(next(crops))
    except StopIteration as end:
        outcome: ClipOutcome = end.value
        return outcome
    finally:
        crops.close()
