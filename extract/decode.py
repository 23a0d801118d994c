"""Decode one clip: every frame counted, the wanted ones cropped, one status with its reason."""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

from ta3n.common.errors import ClipError
from ta3n.common.records import ClipStatus
from ta3n.common.sampling import FrameSelection
from ta3n.common.streams import Damage, Frame, RgbImage, StreamInfo, nothing
from ta3n.common.video import VideoReader
from ta3n.extract.norpix import NorpixReader
from ta3n.extract.pixels import crop

# A container's packet count may miss the decoded count by a few: frames that this uncertainty
# could ask for are held until the end shows which ones are wanted.
_COUNT_SLACK = 2

Reader = VideoReader | NorpixReader


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipOutcome:
    """How decoding a clip ended.

    Attributes:
        status: One of `ClipStatus`.
        error: The reason where it is not `ok`.
        warning: What to know of frames that were decoded well.
        attempts: How often it was tried.
        info: What the container declares; None if it could not be opened.
        num_frames: Frames decoded.
        rotation: Degrees by which frames were turned upright.
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
    path: Path, selection: FrameSelection, on_packet: Callable[[], None] = nothing
) -> Generator[RgbImage, None, ClipOutcome]:
    """Yield the crops of the selected frames in time order; return how it ended.

    A clip that fails may have yielded crops before: they are to be dropped.

    Args:
        path: The clip.
        selection: Which frames to keep.
        on_packet: Called whenever a packet was read: a sign of life.

    Yields:
        Crops [224, 224, 3].

    Returns:
        The outcome, with as many frame numbers as there were crops unless it failed.
    """
    try:
        if selection.num_segments is None:
            return (yield from _decode_all(open_clip(path, on_packet)))
        return (yield from _decode_sampled(path, selection, on_packet))
    except ClipError as error:
        return ClipOutcome(status="failed", error=str(error))


def open_clip(path: Path, on_packet: Callable[[], None] = nothing) -> Reader:
    """Return the reader for a clip's container, not opened yet."""
    is_norpix = path.suffix.lower() == ".seq"
    return NorpixReader(path, on_packet) if is_norpix else VideoReader(path, on_packet)


def _decode_all(clip: Reader) -> Generator[RgbImage, None, ClipOutcome]:
    with clip as reader:
        for frame in reader.frames():
            yield _crop_of(frame, reader.num_decoded - 1)
        return _outcome(reader, tuple(range(reader.num_decoded)))


def _decode_sampled(
    path: Path, selection: FrameSelection, on_packet: Callable[[], None]
) -> Generator[RgbImage, None, ClipOutcome]:
    """Decode everything, convert only what is kept: the true count is known at the end alone."""
    with open_clip(path, on_packet) as reader:
        expected = reader.count_packets()
    likely = range(max(expected - _COUNT_SLACK, 1), expected + _COUNT_SLACK + 1)
    wanted = {i for count in likely for i in selection.indices(count)}
    reader, held = _hold(open_clip(path, on_packet), wanted)
    kept = selection.indices(reader.num_decoded)
    if not held.keys() >= set(kept):
        reader, held = _hold(open_clip(path, on_packet), set(kept))
        if not held.keys() >= set(kept):
            raise ClipError("changed while it was read")
    for number in kept:
        yield _crop_of(held[number], number)
    return _outcome(reader, tuple(kept))


def _hold(clip: Reader, wanted: set[int]) -> tuple[Reader, dict[int, Frame]]:
    """Decode a clip to its end and keep the wanted frames, unconverted."""
    with clip as reader:
        held = {i: frame for i, frame in enumerate(reader.frames()) if i in wanted}
    return reader, held


def _crop_of(frame: Frame, number: int) -> RgbImage:
    try:
        return crop(frame.rgb())
    except (OSError, ValueError) as error:
        raise ClipError(f"frame {number} cannot be converted: {error}") from error


def _outcome(reader: Reader, frame_numbers: tuple[int, ...]) -> ClipOutcome:
    status, error = _status(reader.num_decoded, reader.info, reader.damage)
    return ClipOutcome(
        status=status,
        error=error,
        warning=reader.warning,
        info=reader.info,
        num_frames=reader.num_decoded,
        rotation=reader.rotation,
        frame_numbers=frame_numbers,
    )


def _status(num_frames: int, info: StreamInfo, damage: Damage) -> tuple[ClipStatus, str]:
    declared = "unknown" if info.declared_frames is None else str(info.declared_frames)
    found = damage.describe()
    if num_frames == 0:
        return "empty", f"no frame could be decoded, {declared} declared" + (found and f": {found}")
    if found:
        return "partial", f"{num_frames} frames decoded, {declared} declared: {found}"
    return "ok", ""
