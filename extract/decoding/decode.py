"""Decode one clip: every frame counted, the wanted ones cropped, one status with its reason."""

from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from ta3n.common.errors import ClipError
from ta3n.common.records import USABLE, ClipStatus
from ta3n.common.sampling import AS_IT_IS, FrameSelection, Reading, Section, Timing, Window
from ta3n.common.video import ClipReader, Damage, Frame, RgbImage, StreamInfo, nothing
from ta3n.extract.decoding.constant_rate import ConstantRate
from ta3n.extract.decoding.kinds.registry import KINDS
from ta3n.extract.decoding.other_files import describe_other_file
from ta3n.extract.decoding.sections import Moment, SectionPass, SectionRows, status_of
from ta3n.extract.decoding.windows import RollingWindows, WindowsOfSections, stacked
from ta3n.extract.inference.preprocessing import Cropper, crop

H = TypeVar("H")
R = TypeVar("R")

# A container's packet count may miss the decoded count by a few: frames that this uncertainty
# could ask for are held until the end shows which ones are wanted.
_COUNT_SLACK = 2

_FAILURES = (ClipError, MemoryError, OSError)

# Intervals by which frames may be out of order, and by which a place may be off a whole number.
_MAX_BACK, _ROUNDING = 32, 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipOutcome:
    """How decoding a clip ended; what is not told here is as in `ClipRecord`.

    Attributes:
        info: What the container declares; None if it could not be opened.
        frame_numbers: Number of each row's frame in the clip, rising.
        crops: Which crop each row is of, where clips are sections of one video; None if the clip
            has all crops in turn.
    """

    status: ClipStatus
    error: str = ""
    warning: str = ""
    attempts: int = 1
    info: StreamInfo | None = None
    num_frames: int = 0
    rotation: int = 0
    frame_numbers: tuple[int, ...] = ()
    crops: tuple[int, ...] | None = None


def decode_clip(
    path: Path,
    selection: FrameSelection,
    on_packet: Callable[[], None] = nothing,
    *,
    timing: Timing = "frames",
    cropper: Cropper = crop,
    reading: Reading = AS_IT_IS,
    window: Window | None = None,
) -> Generator[RgbImage, None, ClipOutcome]:
    """Yield the crops [224, 224, 3] of the selected frames in time order; return how it ended.

    A clip that fails may have yielded crops before: they are to be dropped. Else the outcome has
    as many frame numbers as there were crops.

    Args:
        on_packet: Called whenever a packet was read: a sign of life.
        cropper: Applied to every frame that is kept; crops are what it returns.
        reading: What neither the clip nor its name tells of it.
        window: Yield the crops of all frames around each selected one, [T, 224, 224, 3]. They are
            of equal size then.
    """

    def open_it() -> _TimedClip:
        return _TimedClip(open_clip(path, on_packet, reading), timing)

    try:
        if selection.num_segments is None:
            return (yield from _decode_as_it_comes(open_it(), selection, cropper, window))
        if window is None:
            return (yield from _decode_segments(open_it, selection, cropper))
        return (yield from _decode_windows_of_segments(open_it, selection, cropper, window))
    except _FAILURES as error:
        return _failed(path, error)


def decode_sections(
    path: Path,
    sections: Sequence[Section],
    selection: FrameSelection,
    on_packet: Callable[[], None] = nothing,
    *,
    timing: Timing = "frames",
    cropper: Cropper = crop,
    reading: Reading = AS_IT_IS,
    window: Window | None = None,
) -> Generator[RgbImage, None, tuple[ClipOutcome, ...]]:
    """Decode a video once for all its sections; return how each ended, with the crops it has.

    A frame that several sections keep is one crop. No frame is held, but those of one window:
    memory does not depend on how many sections there are, nor on their length or the video's.
    Which frames stand for segments is known before, but where a container's count or rate is
    wrong: such sections are decoded again. Windows end where their section does.

    Args:
        path: The video; the rest is as for `decode_clip`.
    """

    def open_it() -> _TimedClip:
        return _TimedClip(open_clip(path, on_packet, reading), timing)

    outcomes: dict[int, ClipOutcome] = {}
    rows: dict[int, SectionRows] = {}
    for number, section in enumerate(sections):
        if section.fault is not None:
            status, error = section.fault
            outcomes[number] = ClipOutcome(status=status, error=error)
        else:
            rows[number] = SectionRows(section, selection)
    num_crops = 0
    while rows:
        expected, failure = 0, None
        try:
            clip = open_it()
            if selection.num_segments is not None:
                counted = open_it()
                with counted.reader:
                    expected = counted.expected()
            with clip.reader:
                num_crops = yield from _pass_over(
                    clip, rows.values(), expected, cropper, num_crops, window
                )
        except _FAILURES as error:
            failure = _failed(path, error)
        again = {}
        for number, each in rows.items():
            if failure is not None and not each.is_over:
                outcomes[number] = failure
            elif each.lacks_rows and each.known_length is None and failure is None:
                length = each.num_frames
                again[number] = SectionRows(each.section, selection, known_length=length)
            else:
                outcomes[number] = clip.outcome_of(each)
        rows = again
    return tuple(outcomes[number] for number in range(len(sections)))


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


def _failed(path: Path, error: Exception) -> ClipOutcome:
    """Return the outcome of a clip that cannot be decoded for one of `_FAILURES`."""
    if isinstance(error, MemoryError):
        return ClipOutcome(status="failed", error=f"takes more memory than there is: {error}")
    if isinstance(error, OSError):
        return ClipOutcome(status="failed", error=f"cannot be read: {error.strerror or error}")
    what = describe_other_file(path)
    return ClipOutcome(status="failed", error=f"cannot be opened: {what}" if what else str(error))


def open_clip(
    path: Path, on_packet: Callable[[], None] = nothing, reading: Reading = AS_IT_IS
) -> ClipReader:
    """Return the reader for the kind of clip that a path is, not opened yet."""
    kind = next(kind for kind in KINDS.all().values() if kind.reads(path))
    return kind.reader(path, on_packet, reading)


@dataclass(slots=True)
class _Places:
    """When frames are shown, in intervals of the rate that their positions count in, from 0."""

    latest: float = -1.0
    _origin: float | None = None

    def span(self, position: float | None) -> tuple[float, float]:
        """Return when the latest frame so far and the one at `position` are shown."""
        before, place = self.latest, self.latest + 1
        if position is not None:
            origin = position - place if self._origin is None else self._origin
            # Times that start again go on from where they were.
            origin = position - place if position - origin < before - _MAX_BACK else origin
            self._origin, place = origin, position - origin
            # Containers round times, Matroska to milliseconds.
            place = round(place) if abs(place - round(place)) < _ROUNDING else place
        self.latest = max(before, place)
        return before, place


@dataclass
class _TimedClip:
    """A clip whose frames come as decoded, or at a constant rate; its reader is to be opened."""

    reader: ClipReader
    timing: Timing
    num_frames: int = 0
    last: Moment | None = None
    _rate: ConstantRate = field(default_factory=ConstantRate)

    def frames(self) -> Iterator[Frame]:
        decoded = self.reader.frames()
        for frame in decoded if self.timing == "frames" else self._rate.frames(decoded):
            self.num_frames += 1
            yield frame

    def marked(self, selection: FrameSelection) -> Iterator[tuple[int, Frame, bool]]:
        """Yield frames with their numbers, and whether a selection keeps them; not of segments."""
        places = _Places()
        for number, frame in enumerate(self.frames()):
            # At a constant rate frames are shown as they are numbered.
            span = places.span(frame.position) if self.timing == "frames" else None
            yield number, frame, selection.keeps(number, self.reader.position_rate, span)

    def moments(self) -> Generator[tuple[Moment, Frame], None, None]:
        """Yield frames with where in the clip they are; the `last` one is kept."""
        reader, places, damage = self.reader, _Places(), self.reader.damage
        first = num_damaged = num_lost = 0
        for number, frame in enumerate(self.frames()):
            if reader.is_numbered and not number:
                first = int(frame.position or 0)
            index: int = first + number
            place: float = index
            if self.timing == "frames" and reader.is_numbered:
                place = index = int(frame.position or 0)
            elif self.timing == "frames":
                places.span(frame.position)
                place = places.latest
            self.last = Moment(
                index=index,
                place=place,
                rate=reader.position_rate,
                num_damaged=damage.num_damaged,
                # Pictures are found damaged when they are converted, packets before.
                num_damaged_before=damage.num_damaged if reader.is_numbered else num_damaged,
                num_lost_before=num_lost,
            )
            yield self.last, frame
            num_damaged, num_lost = damage.num_damaged, damage.num_errors

    def hold(self, wanted: set[int], held_of: Callable[[Frame, int], H]) -> dict[int, H]:
        """Go through all frames; return what is to be held of those wanted, by number."""
        return {i: held_of(frame, i) for i, frame in enumerate(self.frames()) if i in wanted}

    def expected(self) -> int:
        """Return about how many frames will come, without decoding them."""
        num_packets = self.reader.count_packets()
        # Where a container repeats frames to keep its rate, it declares the repeats too.
        declared = self.reader.info.declared_frames
        return declared if declared and self.timing == "cfr" else num_packets

    def outcome(self, frame_numbers: tuple[int, ...]) -> ClipOutcome:
        reader = self.reader
        status, error = _status(reader.num_decoded, reader.info, reader.damage)
        return ClipOutcome(
            status=status,
            error=error,
            warning=", ".join(filter(None, (reader.warning, self._rate.describe()))),
            info=reader.info,
            num_frames=self.num_frames,
            rotation=reader.rotation,
            frame_numbers=frame_numbers,
        )

    def outcome_of(self, rows: SectionRows) -> ClipOutcome:
        """Return how a section of it ended."""
        reader, section = self.reader, rows.section
        status, error = status_of(rows, self.last, is_numbered=reader.is_numbered)
        kept = rows.kept() if status in USABLE else []
        listed = int(section.stop - section.start) if section.unit == "frames" else None
        found = reader.damage.describe()
        # Frames that a damaged file lost unseen would have moved those after them.
        doubt = f"the video is damaged: {found}" if found and status == "ok" else ""
        return ClipOutcome(
            status=status,
            error=error,
            warning=", ".join(filter(None, (reader.warning, self._rate.describe(), doubt))),
            info=replace(reader.info, declared_frames=listed),
            num_frames=rows.num_frames,
            rotation=reader.rotation,
            frame_numbers=tuple(kept),
            crops=tuple(rows.crops[number] for number in kept),
        )


def _pass_over(
    clip: _TimedClip,
    sections: Collection[SectionRows],
    expected: int,
    cropper: Cropper,
    num_crops: int,
    window: Window | None,
) -> Generator[RgbImage, None, int]:
    """Decode an open video until its last section is over, and yield what any of them keeps.

    Args:
        expected: About how many frames it has.
        num_crops: Crops that were made before; returned with those that are yielded.
    """
    is_timed = clip.timing == "frames"
    running = _begin(clip, sections, expected)
    if window is not None:
        crop_of = partial(_crop_of, cropper=cropper)
        windows = WindowsOfSections(window, crop_of, clip.reader.damage, num_crops)
        with closing(clip.moments()) as moments:
            yield from windows.over(moments, running, is_timed=is_timed)
        return windows.num_made
    with closing(clip.moments()) as moments:
        for moment, frame in moments:
            belonging = running.at(moment)
            if running.is_over:
                break
            shown = [each for each in belonging if each.add(moment, is_timed=is_timed)]
            if not shown:
                continue
            try:
                pixels = _crop_of(frame, moment.index, cropper)
            except ClipError as error:
                for each in shown:
                    each.error = str(error)
                continue
            yield pixels
            for each in shown:
                each.crops[each.num_frames - 1] = num_crops
                each.count_damage(clip.reader.damage.num_damaged)
            num_crops += 1
    return num_crops


def _begin(clip: _TimedClip, sections: Collection[SectionRows], expected: int) -> SectionPass:
    if clip.reader.position_rate is None:
        for each in sections:
            if each.section.unit == "seconds":
                each.error = f"{each.section}: the video declares no frame rate"
    slack = 0 if clip.reader.is_numbered else _COUNT_SLACK
    return SectionPass((e for e in sections if not e.error), expected, slack)


def _decode_as_it_comes(
    clip: _TimedClip, selection: FrameSelection, cropper: Cropper, window: Window | None
) -> Generator[RgbImage, None, ClipOutcome]:
    """Decode everything, convert only what is kept: each frame's number says whether it is."""
    kept = []
    crop_of = partial(_crop_of, cropper=cropper)
    rolling = None if window is None else RollingWindows(window, selection.may_keep, crop_of)
    with clip.reader:
        for number, frame, is_kept in clip.marked(selection):
            if rolling is not None:
                yield from rolling.add(frame, number, is_kept=is_kept)
            elif is_kept:
                yield crop_of(frame, number)
            if is_kept:
                kept.append(number)
        if rolling is not None:
            yield from rolling.finish()
        return clip.outcome(tuple(kept))


def _decode_segments(
    open_it: Callable[[], _TimedClip], selection: FrameSelection, cropper: Cropper
) -> Generator[RgbImage, None, ClipOutcome]:
    """Decode everything, convert only what is kept."""
    clip, held = _hold(open_it, lambda count: set(selection.indices(count)), lambda frame, _: frame)
    kept = selection.indices(clip.num_frames)
    for number in kept:
        yield _crop_of(held[number], number, cropper)
    return clip.outcome(tuple(kept))


def _decode_windows_of_segments(
    open_it: Callable[[], _TimedClip], selection: FrameSelection, cropper: Cropper, window: Window
) -> Generator[RgbImage, None, ClipOutcome]:
    """Decode everything, convert only what windows hold: as crops, which take less memory."""

    def used(count: int) -> set[int]:
        windows = (window.frames(centre, count) for centre in selection.indices(count))
        return {number for numbers in windows for number in numbers if number is not None}

    clip, crops = _hold(open_it, used, partial(_crop_of, cropper=cropper))
    kept = selection.indices(clip.num_frames)
    for centre in kept:
        yield stacked(window.frames(centre, clip.num_frames), crops)
    return clip.outcome(tuple(kept))


def _hold(
    open_it: Callable[[], _TimedClip],
    used: Callable[[int], set[int]],
    held_of: Callable[[Frame, int], H],
) -> tuple[_TimedClip, dict[int, H]]:
    """Decode a clip to its end and hold what is used: the true count is known at the end alone.

    Args:
        used: Returns the frames that are used of a clip of so many.
        held_of: Returns what is to be held of a frame, given with its number.
    """
    clip = open_it()
    held: dict[int, H] = {}
    with clip.reader:
        expected = clip.expected()
        slack = 0 if clip.reader.is_numbered else _COUNT_SLACK
        likely = range(max(expected - slack, 1), expected + slack + 1)
        wanted = {i for count in likely for i in used(count)}
        if clip.reader.is_numbered:
            held = clip.hold(wanted, held_of)
    if not clip.reader.is_numbered:
        clip, held = _hold_anew(open_it(), wanted, held_of)
    needed = used(clip.num_frames)
    if not held.keys() >= needed:
        clip, held = _hold_anew(open_it(), needed, held_of)
        if not held.keys() >= used(clip.num_frames):
            raise ClipError("changed while it was read")
    return clip, held


def _hold_anew(
    clip: _TimedClip, wanted: set[int], held_of: Callable[[Frame, int], H]
) -> tuple[_TimedClip, dict[int, H]]:
    with clip.reader:
        return clip, clip.hold(wanted, held_of)


def _crop_of(frame: Frame, number: int, cropper: Cropper) -> RgbImage:
    try:
        pixels = frame.rgb()
    except (OSError, ValueError) as error:
        raise ClipError(f"frame {number} cannot be converted: {error}") from error
    return cropper(pixels)


def _status(num_frames: int, info: StreamInfo, damage: Damage) -> tuple[ClipStatus, str]:
    declared = "unknown" if info.declared_frames is None else str(info.declared_frames)
    found = damage.describe()
    if num_frames == 0:
        return "empty", f"no frame could be decoded, {declared} declared" + (found and f": {found}")
    if found:
        return "partial", f"{num_frames} frames decoded, {declared} declared: {found}"
    return "ok", ""
