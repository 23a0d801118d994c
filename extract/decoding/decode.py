"""Decode one clip: every frame counted, the wanted ones cropped, one status with its reason."""

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ta3n.common.errors import ClipError
from ta3n.common.records import ClipStatus
from ta3n.common.sampling import AS_IT_IS, FrameSelection, Reading, Timing
from ta3n.common.video import ClipReader, Damage, Frame, RgbImage, StreamInfo, nothing
from ta3n.extract.decoding.constant_rate import ConstantRate
from ta3n.extract.decoding.kinds.registry import KINDS
from ta3n.extract.decoding.other_files import describe_other_file
from ta3n.extract.inference.preprocessing import Cropper, crop

# A container's packet count may miss the decoded count by a few: frames that this uncertainty
# could ask for are held until the end shows which ones are wanted.
_COUNT_SLACK = 2

# Intervals by which frames may be out of order, and by which a place may be off a whole number.
_MAX_BACK, _ROUNDING = 32, 0.1


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
    reading: Reading = AS_IT_IS,
) -> Generator[RgbImage, None, ClipOutcome]:
    """Yield the crops [224, 224, 3] of the selected frames in time order; return how it ended.

    A clip that fails may have yielded crops before: they are to be dropped. Else the outcome has
    as many frame numbers as there were crops.

    Args:
        on_packet: Called whenever a packet was read: a sign of life.
        cropper: Applied to every frame that is kept; crops are what it returns.
        reading: What neither the clip nor its name tells of it.
    """

    def open_it() -> _TimedClip:
        return _TimedClip(open_clip(path, on_packet, reading), timing)

    try:
        if selection.num_segments is None:
            return (yield from _decode_as_it_comes(open_it(), selection, cropper))
        return (yield from _decode_segments(open_it, selection, cropper))
    except ClipError as error:
        what = describe_other_file(path)
        return ClipOutcome(
            status="failed", error=f"cannot be opened: {what}" if what else str(error)
        )
    except MemoryError as error:
        return ClipOutcome(status="failed", error=f"takes more memory than there is: {error}")
    except OSError as error:
        return ClipOutcome(status="failed", error=f"cannot be read: {error.strerror or error}")


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
    _rate: ConstantRate = field(default_factory=ConstantRate)

    def frames(self) -> Iterator[Frame]:
        decoded = self.reader.frames()
        for frame in decoded if self.timing == "frames" else self._rate.frames(decoded):
            self.num_frames += 1
            yield frame

    def kept(self, selection: FrameSelection) -> Iterator[tuple[int, Frame]]:
        """Yield the frames that a selection other than of segments keeps, with their numbers."""
        places = _Places()
        for number, frame in enumerate(self.frames()):
            # At a constant rate frames are shown as they are numbered.
            span = places.span(frame.position) if self.timing == "frames" else None
            if selection.keeps(number, self.reader.position_rate, span):
                yield number, frame

    def hold(self, wanted: set[int]) -> dict[int, Frame]:
        """Go through all frames; return those that are wanted by number, unconverted."""
        return {i: frame for i, frame in enumerate(self.frames()) if i in wanted}

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
    clip: _TimedClip, selection: FrameSelection, cropper: Cropper
) -> Generator[RgbImage, None, ClipOutcome]:
    """Decode everything, convert only what is kept: each frame's number says whether it is."""
    kept = []
    with clip.reader:
        for number, frame in clip.kept(selection):
            yield _crop_of(frame, number, cropper)
            kept.append(number)
        return clip.outcome(tuple(kept))


def _decode_segments(
    open_it: Callable[[], _TimedClip], selection: FrameSelection, cropper: Cropper
) -> Generator[RgbImage, None, ClipOutcome]:
    """Decode everything, convert only what is kept: the true count is known at the end alone."""
    clip = open_it()
    held: dict[int, Frame] = {}
    with clip.reader:
        expected = clip.expected()
        slack = 0 if clip.reader.is_numbered else _COUNT_SLACK
        likely = range(max(expected - slack, 1), expected + slack + 1)
        wanted = {i for count in likely for i in selection.indices(count)}
        if clip.reader.is_numbered:
            held = clip.hold(wanted)
    if not clip.reader.is_numbered:
        clip, held = _hold(open_it(), wanted)
    kept = selection.indices(clip.num_frames)
    if not held.keys() >= set(kept):
        clip, held = _hold(open_it(), set(kept))
        if not held.keys() >= set(kept):
            raise ClipError("changed while it was read")
    for number in kept:
        yield _crop_of(held[number], number, cropper)
    return clip.outcome(tuple(kept))


def _hold(clip: _TimedClip, wanted: set[int]) -> tuple[_TimedClip, dict[int, Frame]]:
    """Decode a clip to its end and keep the wanted frames, unconverted."""
    with clip.reader:
        return clip, clip.hold(wanted)


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
