"""Windows of frames, put together while a clip is decoded: each frame is cropped once.

Legend: T frames of a window, S side of a crop.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np

from ta3n.common.sampling import FrameSelection, Window
from ta3n.common.video import RgbImage

F = TypeVar("F")


def stacked(numbers: Sequence[int | None], crops: Mapping[int, RgbImage]) -> RgbImage:
    """Return the crops [S, S, 3] of some frames as one window [T, S, S, 3]; None is a black one."""
    any_crop = next(crops[number] for number in numbers if number is not None)
    black = np.zeros_like(any_crop)
    return np.stack([black if number is None else crops[number] for number in numbers])


@dataclass
class RollingWindows(Generic[F]):
    """Gives the windows of kept frames as soon as they are whole; holds the latest crops alone.

    Args:
        selection: Which frames are kept; not of segments, whose frames depend on the end.
        crop: Makes the crop of a frame, given with its number.
    """

    window: Window
    selection: FrameSelection
    crop: Callable[[F, int], RgbImage]
    _crops: dict[int, RgbImage] = field(default_factory=dict)
    _waiting: deque[int] = field(default_factory=deque)
    _latest: tuple[F, int] | None = None

    @property
    def num_held(self) -> int:
        """Crops that are held."""
        return len(self._crops)

    def add(self, frame: F, number: int, *, is_kept: bool) -> Iterator[RgbImage]:
        """Take the next frame, from 0, and yield the windows [T, S, S, 3] that end with it."""
        self._latest = frame, number
        if is_kept:
            self._waiting.append(number)
        if is_kept or self._may_be_used(number):
            self._crops[number] = self.crop(frame, number)
        last = self.window.offsets[-1]
        while self._waiting and self._waiting[0] + last <= number:
            yield self._next(number + 1)
        # What comes next is kept at the earliest after this frame.
        first_used = min(self._waiting, default=number + 1) + self.window.offsets[0]
        for old in [n for n in self._crops if n < first_used]:
            del self._crops[old]

    def finish(self) -> Iterator[RgbImage]:
        """Yield the windows that reach beyond the end of the clip."""
        if self._latest is None:
            return
        frame, number = self._latest
        if self._waiting and number not in self._crops:
            # The one that is repeated.
            self._crops[number] = self.crop(frame, number)
        while self._waiting:
            yield self._next(number + 1)

    def _next(self, num_frames: int) -> RgbImage:
        """Return the window that has waited longest; `num_frames` have come so far."""
        numbers = self.window.frames(self._waiting.popleft(), num_frames)
        return stacked(numbers, self._crops)

    def _may_be_used(self, number: int) -> bool:
        """Say whether a frame may be in a window, as far as numbers tell."""
        every = self.selection.every
        return every is None or any((number - o) % every == 0 for o in self.window.offsets)
