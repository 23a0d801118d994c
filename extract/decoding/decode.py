"""Decode one clip: every frame counted, the wanted ones cropped, one status with its reason."""

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from ta3n.common.errors import ClipError
from ta3n.common.records import ClipStatus
from ta3n.common.sampling import FrameSelection, Timing, Window
from ta3n.common.video import Damage, Frame, RgbImage, StreamInfo, VideoReader, nothing
from ta3n.extract.decoding.constant_rate import ConstantRate
from ta3n.extract.decoding.norpix import NorpixReader
from ta3n.extract.decoding.other_files import describe_other_file
from ta3n.extract.decoding.windows import RollingWindows, stacked
from ta3n.extract.inference.preprocessing import Cropper, crop

# A container's packet count may miss the decoded count by a few: frames that this uncertainty
# could ask for are held until the end shows which ones are wanted.
_COUNT_SLACK = 2

# Intervals by which frames may be out of order, and by which a place may be off a whole number.
_MAX_BACK, _ROUNDING = 32, 0.1

Reader = VideoReader | NorpixReader
H = TypeVar("H")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipOutcome:
    """How decoding a clip ended; what is not told here is as in `ClipRecord`.

    Attributes:
        info: What the container declares; None if it could not be opened.
        frame_numbers: Number of each crop's frame, rising.
    """

    status: ClipStatus
    error: str = ""
    warning: str = ""
    attempts: int = 1
    info: StreamInfo | None = None
    num_frames: int = 0
    rotation: int = 0
    frame_numbers: tuple[int, ...] = ()


def decode_clip(
    path: Path,
    selection: FrameSelection,
    on_packet: Callable[[], None] = nothing,
    *,
    timing: Timing = "frames",
    cropper: Cropper = crop,
    window: Window | None = None,
) -> Generator[RgbImage, None, ClipOutcome]:
    """Yield the crops [224, 224, 3] of the selected frames in time order; return how it ended.

    A clip that fails may have yielded crops before: they are to be dropped. Else the outcome has
    as many frame numbers as there were crops.

    Args:
        on_packet: Called whenever a packet was read: a sign of life.
        cropper: Applied to every frame that is kept; crops are what it returns.
        window: Yield the crops of all frames around each selected one, [T, 224, 224, 3]. They are
            of equal size then.
    """

    def open_it() -> _TimedClip:
        return _TimedClip(open_clip(path, on_packet), timing)

    try:
        if selection.num_segments is None:
            return (yield from _decode_as_it_comes(open_it(), selection, cropper, window))
        if window is None:
            return (yield from _decode_segments(open_it, selection, cropper))
        return (yield from _decode_windows_of_segments(open_it, selection, cropper, window))
    except ClipError as error:
        what = describe_other_file(path)
        return ClipOutcome(
            status="failed", error=f"cannot be opened: {what}" if what else str(error)
        )
    except MemoryError as error:
        return ClipOutcome(status="failed", error=f"takes more memory than there is: {error}")
    except OSError as error:
        return ClipOutcome(status="failed", error=f"cannot be read: {error.strerror or error}")


def open_clip(path: Path, on_packet: Callable[[], None] = nothing) -> Reader:
    """Return the reader for a clip's container, not opened yet."""
    is_norpix = path.suffix.lower() == ".seq"
    return NorpixReader(path, on_packet) if is_norpix else VideoReader(path, on_packet)


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

    reader: Reader
    timing: Timing
    num_frames: int = 0
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


def _decode_as_it_comes(
    clip: _TimedClip, selection: FrameSelection, cropper: Cropper, window: Window | None
) -> Generator[RgbImage, None, ClipOutcome]:
    """Decode everything, convert only what is kept: each frame's number says whether it is."""
    kept = []
    crop_of = partial(_crop_of, cropper=cropper)
    rolling = None if window is None else RollingWindows(window, selection, crop_of)
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
    with clip.reader:
        expected = clip.expected()
    likely = range(max(expected - _COUNT_SLACK, 1), expected + _COUNT_SLACK + 1)
    clip, held = _hold_frames(open_it(), {i for count in likely for i in used(count)}, held_of)
    wanted = used(clip.num_frames)
    if not held.keys() >= wanted:
        clip, held = _hold_frames(open_it(), wanted, held_of)
        if not held.keys() >= used(clip.num_frames):
            raise ClipError("changed while it was read")
    return clip, held


def _hold_frames(
    clip: _TimedClip, wanted: set[int], held_of: Callable[[Frame, int], H]
) -> tuple[_TimedClip, dict[int, H]]:
    with clip.reader:
        held = {i: held_of(frame, i) for i, frame in enumerate(clip.frames()) if i in wanted}
    return clip, held


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
