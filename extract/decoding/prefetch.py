"""Clips decoded ahead in threads, handed out in plan order.

FFmpeg and Pillow release the interpreter lock, so threads decode side by side. The order of frames
never depends on timing: batches, and so features, are the same in every run.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Generic, Self, TypeVar

from ta3n.common.video import RgbImage

K = TypeVar("K")
R = TypeVar("R")

Decoder = Callable[[K], Generator[RgbImage, None, R]]

# Crops of 224 by 224 for five clips of average length, so that no thread stands still behind them.
_BYTES_AHEAD = 128 * 2**20
# The clip that is being used up may always be so many frames ahead, or nothing would move.
_MIN_FRAMES_AHEAD = 8
# Clips of which few frames are kept are decoded far ahead.
_CLIPS_AHEAD_PER_THREAD = 4


@dataclass(frozen=True, slots=True)
class _End(Generic[R]):
    """What comes behind the last crop of a clip."""

    outcome: R


class ClipFeed(Generic[K, R]):
    """An iterator over clips, or whatever is decoded at once, whose decoding runs ahead in threads.

    Use as a context manager, which stops the threads. Memory is bounded by the bytes of the frames
    that wait, whatever their size and that of their clips.

    Attributes:
        wait_s: Seconds that the consumer waited for crops.
        full_s: Seconds that decoding threads waited for room, all threads together.
        held_bytes: Of the frames that wait.
    """

    def __init__(
        self,
        clips: Iterable[K],
        decode: Decoder[K, R],
        *,
        num_threads: int,
        max_bytes: int = _BYTES_AHEAD,
    ) -> None:
        self._clips = iter(clips)
        self._decode = decode
        self._num_ahead = 1 + _CLIPS_AHEAD_PER_THREAD * num_threads
        self._pool = ThreadPoolExecutor(num_threads, thread_name_prefix="decode")
        self._max_bytes = max_bytes
        self.held_bytes = 0
        self._current: ClipCrops[R] | None = None
        self._stopped = False
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)
        self._items = threading.Condition(self._lock)
        self.wait_s = self.full_s = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._stopped = True
            self._room.notify_all()
        self._pool.shutdown(cancel_futures=True)

    def check(self) -> None:
        """Raise `CancelledError` if the consumer is gone: to be called while decoding."""
        if self._stopped:
            raise CancelledError

    def __iter__(self) -> Iterator[tuple[K, "ClipCrops[R]"]]:
        """Yield every clip with its crops, which are to be used up before the next clip."""
        ahead: deque[tuple[K, ClipCrops[R]]] = deque()
        while True:
            for clip in islice(self._clips, self._num_ahead - len(ahead)):
                crops: ClipCrops[R] = ClipCrops(self._take)
                self._pool.submit(self._run, clip, crops)
                ahead.append((clip, crops))
            if not ahead:
                return
            clip, crops = ahead.popleft()
            with self._lock:
                self._current = crops
                self._room.notify_all()
            yield clip, crops

    def _run(self, clip: K, crops: "ClipCrops[R]") -> None:
        """Decode one clip on a thread. Whatever happens, the consumer gets an outcome or an error.

        What a clip is to blame for is in its outcome; any other error is ours, and not one to be
        told of every clip.
        """
        outcome: _End[R] | Exception
        try:
            outcome = _End(drain(self._decode(clip), lambda pixels: self._put(crops, pixels)))
        except CancelledError:
            return
        except Exception as error:  # noqa: BLE001  it is raised where the clip is taken
            outcome = error
        with self._lock:
            crops.items.append(outcome)
            self._items.notify()

    def _put(self, crops: "ClipCrops[R]", pixels: RgbImage) -> None:
        with self._lock:
            if not self._has_room(crops):
                started = time.perf_counter()
                self._room.wait_for(lambda: self._has_room(crops))
                self.full_s += time.perf_counter() - started
            self.check()
            crops.items.append(pixels)
            self.held_bytes += pixels.nbytes
            self._items.notify()

    def _has_room(self, crops: "ClipCrops[R]") -> bool:
        if self._stopped or self.held_bytes < self._max_bytes:
            return True
        return crops is self._current and len(crops.items) < _MIN_FRAMES_AHEAD

    def _take(self, crops: "ClipCrops[R]") -> RgbImage | _End[R] | Exception:
        with self._lock:
            if not crops.items:
                started = time.perf_counter()
                self._items.wait_for(lambda: bool(crops.items))
                self.wait_s += time.perf_counter() - started
            item = crops.items.popleft()
            if not isinstance(item, _End | Exception):
                self.held_bytes -= item.nbytes
                # Not for every frame: each call wakes all threads that wait.
                if self.held_bytes < 0.9 * self._max_bytes or not crops.items:
                    self._room.notify_all()
            return item


class ClipCrops(Generic[R]):
    """The crops [224, 224, 3] of one clip as they come; `outcome` is set once they have ended."""

    def __init__(self, take: "Callable[[ClipCrops[R]], RgbImage | _End[R] | Exception]") -> None:
        self.items: deque[RgbImage | _End[R] | Exception] = deque()
        self.outcome: R
        self._take = take

    def __iter__(self) -> Iterator[RgbImage]:
        """Yield crops until the clip ends; an error that is not the clip's is raised here."""
        while True:
            item = self._take(self)
            if isinstance(item, Exception):
                raise item
            if isinstance(item, _End):
                self.outcome = item.outcome
                return
            yield item


def drain(crops: Generator[RgbImage, None, R], sink: Callable[[RgbImage], None]) -> R:
    """Hand every crop to `sink` and return the generator's outcome."""
    try:
        while True:
            sink(next(crops))
    except StopIteration as end:
        outcome: R = end.value
        return outcome
    finally:
        crops.close()
