"""Sections of one video while it is decoded once: which of its frames are rows of which section.

Sections may overlap. What is held of each is a few numbers, never frames: a frame that is kept is
handed on at once, to be a row of every section that keeps it.
"""

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from ta3n.common.records import ClipStatus
from ta3n.common.sampling import FrameSelection, Section

# Floating point: 0.55 s at 100 frames a second are a little more than 55.
_DIGITS = 6
# A list rounds times, and the last frame is shown for a while.
_FRAMES_OF_GRACE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A frame of the video as it comes.

    Attributes:
        index: Its number in the video, from 0.
        place: When it is shown, in intervals of the rate.
        rate: Frames per second, or None.
        num_damaged: Packets and frames that were found damaged, up to this frame.
        num_damaged_before: Those before this frame.
        num_lost_before: Those of them that gave no frame.
    """

    index: int
    place: float
    rate: float | None
    num_damaged: int = 0
    num_damaged_before: int = 0
    num_lost_before: int = 0


@dataclass(slots=True)
class SectionRows:
    """One section of a video that is being decoded.

    Attributes:
        num_frames: Its frames so far.
        crops: Number of the crop that was made of each frame that may be a row, by number in it.
        known_length: Its frames, where they were counted before; None if not.
        error: Why it fails, or empty.
        lost_before: Whether frames before it are lost, so that its numbers may be others'.
        num_damaged: Damaged packets and frames in it.
        is_over: Whether the video went on after it.
    """

    section: Section
    selection: FrameSelection
    known_length: int | None = None
    num_frames: int = 0
    crops: dict[int, int] = field(default_factory=dict)
    error: str = ""
    lost_before: bool = False
    num_damaged: int = 0
    is_over: bool = False
    _first: float = 0.0
    _latest: float = 0.0
    _damaged_before: int = 0
    _wanted: frozenset[int] | None = None

    def bounds(self, rate: float | None) -> tuple[float, float]:
        """Return where it begins and ends, in frames or in intervals of the rate."""
        section = self.section
        if section.unit == "frames":
            return section.start, section.stop
        assert rate is not None, "sections in seconds are of videos with a rate"
        return round(section.start * rate, _DIGITS), round(section.stop * rate, _DIGITS)

    def at(self, moment: Moment) -> float:
        """Return where a frame is, as `bounds` count."""
        return moment.index if self.section.unit == "frames" else moment.place

    def open(self, moment: Moment, expected: int, slack: int) -> None:
        """Begin with the first frame that is not before it.

        Args:
            expected: Frames of the video, `slack` more or less.
        """
        self._first = moment.place
        self._damaged_before = moment.num_damaged_before
        self.lost_before = moment.num_lost_before > 0
        if self.selection.num_segments is None:
            return
        _, stop = self.bounds(moment.rate)
        length = math.ceil(stop - self.at(moment))
        lengths: Iterable[int] = {length}
        if self.known_length is not None:
            lengths = {self.known_length}
        elif moment.index + length > expected - slack:
            left = expected - moment.index
            lengths = {min(length, n) for n in range(left - slack, left + slack + 1)}
        counts = (n for n in lengths if n > 0)
        self._wanted = frozenset(i for n in counts for i in self.selection.indices(n))

    def add(self, moment: Moment, *, is_timed: bool) -> bool:
        """Count a frame of it; return whether that may be a row.

        Args:
            is_timed: Whether frames are shown otherwise than as they are numbered.
        """
        number, before = self.num_frames, self._latest - self._first
        self.num_frames += 1
        self._latest = moment.place
        self.num_damaged = moment.num_damaged - self._damaged_before
        if self.error:
            return False
        if self._wanted is not None:
            return number in self._wanted
        span = (before, moment.place - self._first) if is_timed else None
        return self.selection.keeps(number, moment.rate, span)

    def count_damage(self, num_damaged: int) -> None:
        """Note what was found damaged in the video up to its latest frame."""
        self.num_damaged = num_damaged - self._damaged_before

    def may_keep(self, number: int) -> bool:
        """Say whether a frame of it may be a row, as far as its number tells."""
        if self._wanted is not None:
            return number in self._wanted
        return self.selection.may_keep(number)

    def kept(self) -> list[int]:
        """Return the numbers of its rows' frames, once it is over."""
        if self.selection.num_segments is None:
            return list(self.crops)
        return list(self.selection.indices(self.num_frames))

    @property
    def lacks_rows(self) -> bool:
        """Whether frames that are rows were not kept, as it turned out longer or shorter."""
        return not self.error and not self.crops.keys() >= set(self.kept())


class SectionPass:
    """All sections of a video, opened and closed as its frames come."""

    def __init__(self, every: Iterable[SectionRows], expected: int, slack: int) -> None:
        self._expected, self._slack = expected, slack
        self._active: list[SectionRows] = []
        by_start = sorted(every, key=lambda each: each.section.start)
        # Those of frames and those of seconds begin in an order of their own.
        self._waiting = {
            unit: deque(each for each in by_start if each.section.unit == unit)
            for unit in ("frames", "seconds")
        }

    @property
    def is_over(self) -> bool:
        """Whether no section needs another frame."""
        return not self._active and not any(self._waiting.values())

    def at(self, moment: Moment) -> list[SectionRows]:
        """Return the sections that a frame belongs to."""
        for waiting in self._waiting.values():
            while waiting and waiting[0].at(moment) >= waiting[0].bounds(moment.rate)[0]:
                opened = waiting.popleft()
                opened.open(moment, self._expected, self._slack)
                self._active.append(opened)
        going_on = []
        for each in self._active:
            each.is_over = each.at(moment) >= each.bounds(moment.rate)[1]
            if not each.is_over:
                going_on.append(each)
        self._active = going_on
        return going_on


def _missing_at_end(rows: SectionRows, last: Moment) -> str:
    """Say what a video lacks of a section that it does not go on after, or nothing."""
    if rows.is_over:
        return ""
    _, stop = rows.bounds(last.rate)
    grace = 0 if rows.section.unit == "frames" else _FRAMES_OF_GRACE
    if stop - (rows.at(last) + 1) <= grace:
        return ""
    return f"the video ends {_place(last)}"


def _place(last: Moment) -> str:
    seconds = f", {(last.place + 1) / last.rate:.2f} s" if last.rate else ""
    return f"after {last.index + 1} frames{seconds}"


def status_of(
    rows: SectionRows, last: Moment | None, *, is_numbered: bool
) -> tuple[ClipStatus, str]:
    """Return how a section of a decoded video ended: its status, and the reason if not `ok`.

    Args:
        last: The last frame that was looked at; None if there was none.
        is_numbered: Whether frames are numbered by themselves, so that lost ones move no others.
    """
    section = rows.section
    if rows.error or rows.lacks_rows:
        return "failed", rows.error or "changed while it was read"
    if last is None:
        return "empty", "no frame of the video could be decoded"
    if rows.num_frames == 0:
        what = "no frame of the video is in it" if rows.is_over else _missing_at_end(rows, last)
        return "empty", f"{section}: {what or f'the video ends {_place(last)}'}"
    parts = [_missing_at_end(rows, last)]
    wanted = section.stop - section.start
    if section.unit == "frames" and is_numbered and not parts[0] and rows.num_frames < wanted:
        parts.append(f"{wanted - rows.num_frames:g} frames are missing")
    if rows.num_damaged:
        parts.append(f"{rows.num_damaged} packets or frames in it are damaged")
    if rows.lost_before and section.unit == "frames" and not is_numbered:
        parts.append("frames before it are lost, so that its own may be others")
    found = ", ".join(filter(None, parts))
    if found:
        return "partial", f"{rows.num_frames} frames decoded of {section}: {found}"
    return "ok", ""
