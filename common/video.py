"""Video streams, and reading and writing of video files: the only module that touches PyAV.

Frames come in the decoder's output order. Sorting by timestamp would scramble the clips of HMDB51
and some of UCF101, whose containers carry non-monotone timestamps.

Shapes: H height, W width in pixels.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol, Self

import av
import av.error
import av.logging
import av.stream
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from ta3n.common.errors import ClipError

# FFmpeg's own log goes through Python and keeps memory; what matters is counted here instead.
av.logging.set_level(None)

# PyAV up to 18 needs this to open clips whose tags are not UTF-8; later ones always do.
_OPEN_OPTIONS: dict[str, Any] = (
    {"metadata_errors": "ignore"} if int(av.__version__.split(".")[0]) < 19 else {}
)
# A clip is one local file. Formats that name other files or addresses (playlists, scripts, image
# sequences) are not opened at all, whatever the file is called.
_ONE_LOCAL_FILE = {
    "protocol_whitelist": "file",
    "format_whitelist": "avi,mov,matroska,webm,gif,mpeg,mpegts,mpegvideo,m4v,h264,hevc,flv,asf,"
    "ogg,ivf,mjpeg,nut,apng,webp_pipe,yuv4mpegpipe,mxf,rm,dv,swf,wtv,av1,obu,vob",
}
# Pixels of a frame beyond which a header is taken for damaged: 8192 by 8192.
_MAX_PIXELS = 2**26
_MAX_DEMUX_ERRORS = 64
# A file cannot hold more packets than bytes; one that seems to would be read for ever.
_SPARE_PACKETS = 4096
# Code points of ITU-T H.273.
_HDR_TRANSFERS = {16: "PQ", 18: "HLG"}
_BT2020_PRIMARIES = 9

RgbImage = NDArray[np.uint8]
"""Pixels [H, W, 3] in RGB."""


def nothing() -> None:
    """Do nothing: the default of callbacks."""


class Frame(Protocol):
    """A decoded frame whose conversion to RGB is put off until it is needed."""

    @property
    def position(self) -> float | None:
        """When it is shown, in intervals of the stream's frame rate; None if unknown."""

    def rgb(self) -> RgbImage:
        """Return the pixels [H, W, 3], turned upright by the container's rotation flag."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamInfo:
    """What a container says of its video stream.

    Attributes:
        codec: Decoder name, such as `mpeg4`.
        pixel_format: Such as `yuv420p`; empty where it is not known before decoding.
        width: Coded width in pixels; `height` likewise.
        frame_rate: Frames per second, or None.
        declared_frames: The container's frame count, or None; often not what decoding gives.
    """

    codec: str
    pixel_format: str
    width: int
    height: int
    frame_rate: float | None
    declared_frames: int | None


def colour_warning(transfer: int, primaries: int) -> str:
    """Return what converting such colours to 8-bit RGB leaves undone, or an empty string.

    Transfer characteristics and colour primaries are numbered as in ITU-T H.273.
    """
    if transfer in _HDR_TRANSFERS:
        return f"HDR ({_HDR_TRANSFERS[transfer]}) colours converted without tone mapping"
    if primaries == _BT2020_PRIMARIES:
        return "BT.2020 colours converted without gamut mapping"
    return ""


@dataclass(slots=True)
class Clock:
    """Chooses, frame by frame, which of a frame's two timestamps tells when it is shown.

    Presentation times are to rise in output order. Where they do so less often than decoding times
    do, the latter are taken, as FFmpeg does; containers without presentation times start there.

    Attributes:
        by_decoding: Whether only decoding times are to be trusted, as in AVI.
    """

    by_decoding: bool = False
    _last: list[int | None] = field(default_factory=lambda: [None, None])
    _faults: list[int] = field(default_factory=lambda: [0, 0])

    def time_of(self, presentation: int | None, decoding: int | None) -> int | None:
        """Return the time of the next frame in output order, in the time base; None if unknown."""
        for which, time in enumerate((presentation, decoding)):
            last = self._last[which]
            if time is not None:
                self._faults[which] += last is not None and time <= last
                self._last[which] = time
        if self.by_decoding or presentation is None:
            return decoding
        if decoding is not None and self._faults[0] > self._faults[1]:
            return decoding
        return presentation


@dataclass(slots=True)
class Damage:
    """What went wrong while a clip was decoded.

    Attributes:
        num_errors: Packets that could not be read or decoded.
        num_corrupt: Packets and frames that FFmpeg flagged as corrupt or concealed.
        no_key_frame: Whether the first packet cannot be decoded without those before it.
        missing_tail_s: Seconds that the container declares after the last packet.
    """

    num_errors: int = 0
    num_corrupt: int = 0
    no_key_frame: bool = False
    missing_tail_s: float = 0.0
    first_error: str = ""

    def record(self, error: Exception) -> None:
        """Count an error and keep the text of the first."""
        self.num_errors += 1
        self.first_error = self.first_error or str(error)

    def describe(self) -> str:
        """Return the damage in words, or an empty string where there is none."""
        parts = []
        if self.num_errors:
            parts.append(f"{self.num_errors} undecodable packets ({self.first_error})")
        if self.num_corrupt:
            parts.append(f"{self.num_corrupt} corrupt packets or frames")
        if self.no_key_frame:
            parts.append("the first key frame is missing")
        if self.missing_tail_s:
            parts.append(f"the last {self.missing_tail_s:.2f} s are missing")
        return ", ".join(parts)


# With several threads bytes depend on how many; and x264's code for AVX2 and AVX-512 differs from
# that for other processors, the latter even from itself.
_REPEATABLE = {"threads": "1", "x264-params": "asm=0"}


@dataclass(slots=True)
class _Coverage:
    """The packets read so far and the span of time they cover, in the stream's time base."""

    num_packets: int = 0
    first: int | None = None
    end: int = 0
    step: int = 1

    def add(self, packet: "av.Packet[VideoStream]") -> None:
        if packet.dts is None:
            return
        self.num_packets += 1
        self.step = packet.duration or self.step
        self.first = packet.dts if self.first is None else min(self.first, packet.dts)
        self.end = max(self.end, packet.dts + self.step)

    def missing(self, stream: VideoStream, container: InputContainer) -> int:
        """Return how much of the declared length no packet covers, 0 within two frames.

        A container may declare more frames than it codes (AVI repeats a frame by an empty
        chunk), so a count is only held against the span of time that the packets cover.
        """
        if self.first is None or stream.time_base is None:
            return 0
        covered, tolerance = self.end - self.first, 2 * self.step
        declared = 0
        if stream.duration:
            declared = stream.duration
        elif container.duration:
            # Matroska declares only the file's length, which a longer audio track may set.
            declared = int(container.duration / av.time_base / stream.time_base)
            tolerance = max(tolerance, declared // 10)
        by_count = stream.frames - max(self.num_packets, covered // self.step)
        missing = max(declared - covered, by_count * self.step)
        return missing if missing > tolerance else 0


@dataclass(frozen=True, slots=True)
class _AvFrame:
    """A decoded frame and the scaler of the reader it came from."""

    frame: VideoFrame
    scaler: VideoReformatter
    position: float | None

    def rgb(self) -> RgbImage:
        frame = self.frame
        full_range = frame.color_range == ColorRange.JPEG
        converted = self.scaler.reformat(
            frame,
            format="rgb24",
            # Untagged frames are left to the scaler's defaults: BT.601, limited range.
            src_color_range=ColorRange.JPEG if full_range else None,
            dst_color_range=ColorRange.JPEG if full_range else None,
            threads=1,
        )
        pixels = np.asarray(converted.to_ndarray(), dtype=np.uint8)
        turns = round(frame.rotation / 90) % 4
        return np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels


@dataclass
class ClipReader:
    """What readers of all formats tell of the clip that they have open.

    Use as a context manager; iterate `frames()` to its end before `damage` says the whole truth.

    Attributes:
        on_packet: Called whenever a packet was read: a sign of life.
        num_decoded: Frames given out so far; `damage` is what went wrong so far.
        rotation: Degrees by which the last decoded frame was turned.
        warning: What to know of frames that were decoded well, once iteration has ended.

    Raises:
        ClipError: On entering, if the file cannot be opened or is not of the reader's kind.
    """

    path: Path
    on_packet: Callable[[], None] = field(default=nothing, repr=False)
    info: StreamInfo = field(init=False)
    damage: Damage = field(init=False, default_factory=Damage)
    num_decoded: int = field(init=False, default=0)
    rotation: int = field(init=False, default=0)
    warning: str = field(init=False, default="")


@dataclass
class VideoReader(ClipReader):
    """One open clip, decoded on the calling thread."""

    _sizes: dict[tuple[int, int], None] = field(init=False, repr=False, default_factory=dict)
    _container: InputContainer = field(init=False, repr=False)
    _stream: VideoStream = field(init=False, repr=False)
    _scaler: VideoReformatter = field(init=False, repr=False, default_factory=VideoReformatter)

    def __enter__(self) -> Self:
        self._container, self._stream = _open(self.path)
        context = self._stream.codec_context
        rate = self._stream.average_rate
        self.info = StreamInfo(
            codec=context.name,
            pixel_format=context.pix_fmt or "",
            width=context.width,
            height=context.height,
            frame_rate=float(rate) if rate else None,
            declared_frames=self._stream.frames or None,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    def frames(self) -> Iterator[Frame]:
        """Yield every frame in output order; a bad packet is counted and skipped.

        Raises:
            ClipError: If no decoder takes what the header says.
        """
        self._open_decoder()
        coverage, first = _Coverage(), True
        # AVI stores no presentation times; those that are shown are guessed from decoding times.
        clock = Clock(by_decoding=self._container.format.name == "avi")
        for packet in self._packets():
            if first and packet.size:
                first = False
                self.damage.no_key_frame = not packet.is_keyframe
            coverage.add(packet)
            self.damage.num_corrupt += packet.is_corrupt
            try:
                decoded = packet.decode()
            except av.error.FFmpegError as error:
                self.damage.record(error)
                continue
            for frame in decoded:
                self.num_decoded += 1
                self.rotation = frame.rotation
                self.damage.num_corrupt += frame.is_corrupt
                self._sizes[frame.width, frame.height] = None
                yield _AvFrame(frame, self._scaler, self._position(frame, clock))
        missing = coverage.missing(self._stream, self._container)
        self.damage.missing_tail_s = float(missing * (self._stream.time_base or 0))
        self.warning = self._find_warnings()

    def _open_decoder(self) -> None:
        """Start the decoder: left to the first packet, PyAV 19 forgets it once it fails."""
        try:
            self._stream.codec_context.open(strict=False)
        except (av.error.FFmpegError, ValueError) as error:
            # By now the decoder is not to be asked for anything: that may crash.
            info = self.info
            raise ClipError(
                f"cannot be opened: {info.codec} of {info.width}x{info.height} pixels: "
                f"{getattr(error, 'strerror', None) or error}"
            ) from error

    def count_packets(self) -> int:
        """Read the file to its end without decoding and return the number of video packets."""
        return sum(1 for packet in self._packets() if packet.size)

    def _position(self, frame: VideoFrame, clock: Clock) -> float | None:
        time = clock.time_of(frame.pts, frame.dts)
        rate, base = self._stream.guessed_rate, self._stream.time_base
        return float(time * base * rate) if time is not None and rate and base else None

    def _find_warnings(self) -> str:
        context = self._stream.codec_context
        parts = [colour_warning(context.color_trc, context.color_primaries)]
        if len(self._sizes) > 1:
            sizes = [f"{width}x{height}" for width, height in self._sizes]
            parts.append(f"frames of {len(sizes)} sizes: {' '.join(sizes[:5])}")
        return ", ".join(filter(None, parts))

    def _packets(self) -> Iterator["av.Packet[VideoStream]"]:
        """Yield packets, going on after a read error until the file ends or errors pile up."""
        failures = 0
        left = self.path.stat().st_size + _SPARE_PACKETS
        while failures < _MAX_DEMUX_ERRORS:
            try:
                for packet in self._container.demux(self._stream):
                    self.on_packet()
                    yield packet
                    left -= 1
                    if left < 0:
                        raise ClipError("holds more packets than bytes")
            except av.error.FFmpegError as error:
                self.damage.record(error)
                failures += 1
            else:
                return


def _open(path: Path) -> tuple[InputContainer, VideoStream]:
    try:
        # The prefix keeps FFmpeg from reading a name such as `http:` as an address.
        container = av.open(f"file:{os.fspath(path)}", options=_ONE_LOCAL_FILE, **_OPEN_OPTIONS)
    except (av.error.FFmpegError, OSError) as error:
        raise ClipError(f"cannot be opened: {getattr(error, 'strerror', None) or error}") from error
    pictures = av.stream.Disposition.attached_pic
    streams = [s for s in container.streams.video if not s.disposition & pictures]
    if not streams or streams[0].codec_context is None:
        container.close()
        raise ClipError("holds no video stream" if not streams else "is in an unknown format")
    stream = streams[0]
    # Frame threads hang on early exit and under fork; clips are decoded side by side instead.
    stream.thread_type = "NONE"
    stream.codec_context.thread_count = 1
    stream.codec_context.options = {"max_pixels": str(_MAX_PIXELS)}
    return container, stream


def write_video(
    path: Path,
    frames: Iterable[RgbImage],
    *,
    frame_rate: float | Fraction,
    codec: str,
    pixel_format: str = "yuv420p",
    options: Mapping[str, str] | None = None,
    container_format: str | None = None,
) -> None:
    """Encode frames into one video file.

    Equal frames and options give equal bytes, whatever the processor and its number of cores.

    Args:
        frames: RGB images [H, W, 3], all of one size, at least one.
        frame_rate: Frames per second.
        codec: FFmpeg's encoder name, such as `mpeg4` or `libx264`.
        pixel_format: Odd sizes need one without chroma subsampling, or VP9.
        container_format: As FFmpeg calls it; None follows the suffix.

    Raises:
        ValueError: If there are no frames.
        TypeError: If the codec is not one for video.
    """
    rate = Fraction(frame_rate).limit_denominator(1001)
    # Without the flag Matroska and WebM get a random number.
    flags = {"fflags": "bitexact"}
    with av.open(str(path), "w", format=container_format, container_options=flags) as container:
        stream = container.add_stream(codec, rate=rate, options=_REPEATABLE | dict(options or {}))
        if not isinstance(stream, VideoStream):
            raise TypeError(f"{codec!r} is not a video encoder")
        stream.pix_fmt = pixel_format
        num_frames = 0
        for pixels in frames:
            if not num_frames:
                stream.height, stream.width = pixels.shape[:2]
            num_frames += 1
            container.mux(stream.encode(VideoFrame.from_ndarray(pixels, format="rgb24")))
        if not num_frames:
            raise ValueError(f"no frames to write to {path}")
        container.mux(stream.encode(None))
