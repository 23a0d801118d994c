"""Windows of frames, put together while a clip is decoded: each frame is cropped once.

Legend: T frames of a window, S side of a crop.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Generic, TypeAlias, TypeVar

import numpy as np

from ta3n.common.errors import ClipError
from ta3n.common.sampling import Window
from ta3n.common.video import Damage, Frame, RgbImage
from ta3n.extract.decoding.sections import Moment, SectionPass, SectionRows

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
        may_keep: Says whether a frame of a number may be kept, as far as that is known.
        crop: Makes the crop of a frame, given with its number.

    Attributes:
        centre: Number of the kept frame that the latest window is around.
        numbers: Those of the latest window's frames; None for a black one.
    """

    window: Window
    may_keep: Callable[[int], bool]
    crop: Callable[[F, int], RgbImage]
    centre: int = -1
    numbers: Sequence[int | None] = ()
    _crops: dict[int, RgbImage] = field(default_factory=dict)
    _waiting: deque[int] = field(default_factory=deque)
    _latest: tuple[F, int] | None = None

    def add(self, frame: F, number: int, *, is_kept: bool) -> Iterator[RgbImage]:
        """Take the next frame, from 0, and yield the windows [T, S, S, 3] that end with it."""
        self._latest = frame, number
        offsets = self.window.offsets
        if is_kept:
            self._waiting.append(number)
        if is_kept or any(self.may_keep(number - offset) for offset in offsets):
            self._crops[number] = self.crop(frame, number)
        while self._waiting and self._waiting[0] + offsets[-1] <= number:
            yield self._next(number + 1)
        # What comes next is kept at the earliest after this frame.
        first_used = min(self._waiting, default=number + 1) + offsets[0]
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
        self.centre = self._waiting.popleft()
        self.numbers = self.window.frames(self.centre, num_frames)
        return stacked(self.numbers, self._crops)


_Crop: TypeAlias = Callable[[], RgbImage]
"""Gives the crop of a frame, made when it is first asked for."""


@dataclass
class _SectionWindows:
    """A section that is being decoded; `first` is the place of its first frame in the video."""

    rows: SectionRows
    first: int
    rolling: RollingWindows[_Crop]


@dataclass
class WindowsOfSections:
    """The windows of all sections of a video; one that several sections have is made once.

    Args:
        crop: Makes the crop of a frame, given with its number.
        damage: What was found damaged in the video so far.
        num_made: Windows that were made before.
    """

    window: Window
    crop: Callable[[Frame, int], RgbImage]
    damage: Damage
    num_made: int
    _running: dict[int, _SectionWindows] = field(default_factory=dict)

    def over(
        self, moments: Iterable[tuple[Moment, Frame]], running: SectionPass, *, is_timed: bool
    ) -> Iterator[RgbImage]:
        """Go over the frames of a video until its last section is over; yield its windows."""
        for place, (moment, frame) in enumerate(moments):
            belonging = running.at(moment)
            yield from self._end(belonging)
            if running.is_over:
                return
            crop = cache(partial(self.crop, frame, moment.index))
            made: dict[tuple[int | None, ...], int] = {}
            for rows in belonging:
                yield from self._add(rows, place, moment, crop, made, is_timed=is_timed)
        yield from self._end(())

    def _add(
        self,
        rows: SectionRows,
        place: int,
        moment: Moment,
        crop: _Crop,
        made: dict[tuple[int | None, ...], int],
        *,
        is_timed: bool,
    ) -> Iterator[RgbImage]:
        is_kept = rows.add(moment, is_timed=is_timed)
        if rows.error:
            return
        number = rows.num_frames - 1
        if not number:
            rolling = RollingWindows[_Crop](self.window, rows.may_keep, lambda crop, _: crop())
            self._running[id(rows)] = _SectionWindows(rows, place, rolling)
        section = self._running[id(rows)]
        yield from self._hand_on(section, section.rolling.add(crop, number, is_kept=is_kept), made)
        rows.count_damage(self.damage.num_damaged)

    def _end(self, going_on: Collection[SectionRows]) -> Iterator[RgbImage]:
        """Yield what is left of the sections that do not go on."""
        kept = {id(rows) for rows in going_on}
        made: dict[tuple[int | None, ...], int] = {}
        for key in [key for key in self._running if key not in kept]:
            section = self._running.pop(key)
            if not section.rows.error:
                yield from self._hand_on(section, section.rolling.finish(), made)

    def _hand_on(
        self,
        section: _SectionWindows,
        windows: Iterator[RgbImage],
        made: dict[tuple[int | None, ...], int],
    ) -> Iterator[RgbImage]:
        """Yield those windows of a section that no other one has; note the number of each.

        Args:
            made: Numbers of the windows that end with the latest frame, by their frames' places.
        """
        rolling = section.rolling
        try:
            for window in windows:
                places = tuple(None if n is None else section.first + n for n in rolling.numbers)
                if places not in made:
                    made[places] = self.num_made
                    self.num_made += 1
                    yield window
                section.rows.crops[rolling.centre] = made[places]
        except ClipError as error:
            section.rows.error = str(error)
