"""Video streams, and reading and writing of video files: the only module that touches PyAV.

Frames come in the decoder's output order. Sorting by timestamp would scramble the clips of HMDB51
and some of UCF101, whose containers carry non-monotone timestamps.

Shapes: H height, W width in pixels.
"""

import math
import os
import re
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import av
import av.error
import av.logging
import av.stream
import numpy as np
from av.container import InputContainer
from av.sidedata.sidedata import SideData
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from ta3n.common.errors import ClipError
from ta3n.common.sampling import AS_IT_IS, Reading

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
MAX_PIXELS = 2**26
"""Pixels of a frame beyond which a header is taken for damaged: 8192 by 8192."""

_MAX_DEMUX_ERRORS = 64
# A file cannot hold more packets than bytes; one that seems to would be read for ever.
_SPARE_PACKETS = 4096
# Of covers and other pictures beside a film.
_PICTURE_CODECS = {"mjpeg", "png", "apng", "bmp", "gif", "webp", "tiff", "jpeg2000"}
# How the names of pixel formats with transparency start.
_WITH_ALPHA = (
    *("rgba", "argb", "bgra", "abgr", "gbra", "ya8", "ya16", "yaf", "yuva", "pal8"),
    *("ayuv", "vuya", "uyva"),
)
# Lossy coding leaves opaque pixels a little below 255.
_OPAQUE = 250
# Formats that declare no length: FFmpeg finds one in the last packets, or guesses it.
_LENGTH_IS_FOUND = {
    *("mpeg", "mpegts", "mpegvideo", "m4v", "h264", "hevc", "obu", "mjpeg", "ogg", "gif"),
}
# Matroska's tag of a track, such as `00:00:04.250000000`.
_MATROSKA_LENGTH = re.compile(r"(\d{2,}):(\d\d):(\d\d(?:\.\d+)?)")
_LAST_FRAMES = 9
_ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
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
        """Return the pixels [H, W, 3], as the container's display matrix turns and mirrors it."""


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
        num_replaced: Frames that others stand in for.
        others: What else is wrong, in words.
    """

    num_errors: int = 0
    num_corrupt: int = 0
    no_key_frame: bool = False
    missing_tail_s: float = 0.0
    first_error: str = ""
    num_replaced: int = 0
    others: tuple[str, ...] = ()

    def record(self, error: Exception) -> None:
        """Count an error and keep the text of the first."""
        self.num_errors += 1
        self.first_error = self.first_error or str(error)

    @property
    def num_damaged(self) -> int:
        """Packets and frames that something is wrong with."""
        return self.num_errors + self.num_corrupt + self.num_replaced + self.no_key_frame

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
        parts += self.others
        return ", ".join(parts)


# With several threads bytes depend on how many; and x264's code for AVX2 and AVX-512 differs from
# that for other processors, the latter even from itself.
_REPEATABLE = {"threads": "1", "x264-params": "asm=0"}


@dataclass(slots=True)
class _Coverage:
    """When the packets read so far are shown, held against the length that the container declares.

    Attributes:
        clip: What the packets come from; times are in the time base of `film`, its video stream.
        by_decoding: Whether only decoding times are to be trusted, as in AVI.
    """

    clip: InputContainer
    film: VideoStream
    by_decoding: bool
    _shown: list[int] = field(default_factory=list)
    _step: int = 0
    _end: int = 0
    _end_of_others: Fraction = Fraction(0)

    def streams(self) -> list[av.stream.Stream]:
        """Return whose packets to read: the sound's too where it may set the declared length."""
        others = self.clip.streams.audio if self._own_end() is None else ()
        return [self.film, *others]

    def add(self, packet: "av.Packet[Any]") -> None:
        time = packet.dts if self.by_decoding or packet.pts is None else packet.pts
        # What an edit list leaves out is read, but is not shown.
        if time is None or packet.is_discard:
            return
        if packet.stream.index != self.film.index:
            end = (time + (packet.duration or 0)) * (packet.time_base or Fraction(0))
            self._end_of_others = max(self._end_of_others, end)
            return
        self._shown.append(time)
        self._step = packet.duration or self._step
        self._end = max(self._end, time + self._step)

    def missing_s(self) -> float:
        """Return how many declared seconds at the end no packet covers, 0 within two frames."""
        base = self.film.time_base
        if not self._shown or not base or self.clip.format.name in _LENGTH_IS_FOUND:
            return 0.0
        shown = sorted(self._shown)
        # The last frame may be shown as long as any of those before it.
        steps = [after - before for before, after in pairwise(shown[-_LAST_FRAMES:])]
        nominal = 1 / self.film.guessed_rate if self.film.guessed_rate else Fraction(0)
        tolerance = 2 * max(nominal, max(self._step, *steps, 0) * base)
        end = self._end * base
        declared = self._own_end()
        if declared is None:
            end = max(end, self._end_of_others)
            declared = Fraction(self.clip.duration or 0, av.time_base)
            if self.clip.format.name == "asf":
                declared = _asf_length(self.clip.name) or declared
            tolerance = max(tolerance, declared / 10)
        missing = declared - end
        # FFmpeg may take a cut AVI to be shorter than its number of frames tells.
        by_count = (self.film.frames - len(self._shown)) * nominal
        return float(max(missing, by_count)) if missing > tolerance else 0.0

    def _own_end(self) -> Fraction | None:
        """Return when the picture ends by what is declared of it alone, in seconds."""
        film = self.film
        if self.clip.format.name == "asf":
            # Each of its streams is given the length of the file.
            return None
        # Where nothing is known of a stream, FFmpeg gives it the length of the file.
        if film.duration and film.start_time is not None and film.time_base:
            return (film.start_time + film.duration) * film.time_base
        tag = _MATROSKA_LENGTH.fullmatch(film.metadata.get("DURATION", ""))
        if tag is None:
            return None
        hours, minutes, seconds = tag.groups()
        return Fraction(3600 * int(hours) + 60 * int(minutes)) + Fraction(seconds)


@dataclass(frozen=True, slots=True)
class _Orientation:
    """How a picture is to be shown: mirrored at its diagonal, then flipped.

    Attributes:
        rotation: Degrees by which it is turned, once what is mirrored was so from left to right.
    """

    transposed: bool = False
    flipped_rows: bool = False
    flipped_columns: bool = False
    rotation: int = 0

    @classmethod
    def of(cls, frame: VideoFrame) -> "_Orientation":
        """Read a frame's display matrix, taken to the nearest quarter turn."""
        matrix = frame.side_data.get("DISPLAYMATRIX")
        if not isinstance(matrix, SideData):
            return cls()
        # A pixel (x, y) is shown at (a x + c y, b x + d y).
        a, b, _, c, d, *_ = (int(each) for each in np.frombuffer(bytes(matrix), np.int32))
        transposed = abs(b) > abs(a)
        mirrored = a * d - b * c < 0
        turned_by = math.atan2(-b, -a) if mirrored else math.atan2(b, a)
        return cls(
            transposed,
            flipped_rows=(b if transposed else d) < 0,
            flipped_columns=(c if transposed else a) < 0,
            rotation=round(-math.degrees(turned_by)) if mirrored else frame.rotation,
        )

    def apply(self, pixels: RgbImage) -> RgbImage:
        """Return the picture [H, W, 3] as it is to be shown."""
        shown = pixels.transpose(1, 0, 2) if self.transposed else pixels
        shown = shown[::-1] if self.flipped_rows else shown
        return np.ascontiguousarray(shown[:, ::-1] if self.flipped_columns else shown)


@dataclass(frozen=True, slots=True)
class _AvFrame:
    """A decoded frame and the scaler of the reader it came from."""

    frame: VideoFrame
    scaler: VideoReformatter
    orientation: _Orientation
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
        return self.orientation.apply(pixels)


@dataclass
class ClipReader(ABC):
    """Reads one clip, however its frames are stored, and tells of it what it has found.

    Use as a context manager; iterate `frames()` to its end before `damage` says the whole truth.

    Attributes:
        on_packet: Called whenever a packet was read: a sign of life.
        position_rate: Intervals a second in which the frames' positions count, or None.
        is_numbered: Whether every frame's number in the clip, from 0, is known before any is
            decoded: it is the position then, and some are left out where frames are missing.
        reading: What neither the clip nor its name tells of it.
        num_decoded: Frames given out so far; `damage` is what went wrong so far.
        rotation: Degrees by which the last decoded frame was turned.
        warning: What to know of frames that were decoded well, once iteration has ended.

    Raises:
        ClipError: On entering, if the file cannot be opened or is not of the reader's kind.
    """

    path: Path
    on_packet: Callable[[], None] = field(default=nothing, repr=False)
    reading: Reading = AS_IT_IS
    info: StreamInfo = field(init=False)
    position_rate: float | None = field(init=False, default=None)
    damage: Damage = field(init=False, default_factory=Damage)
    num_decoded: int = field(init=False, default=0)
    rotation: int = field(init=False, default=0)
    warning: str = field(init=False, default="")
    is_numbered: ClassVar[bool] = False

    @abstractmethod
    def __enter__(self) -> Self:
        """Open the clip and read what it declares."""

    @abstractmethod
    def __exit__(self, *_: object) -> None:
        """Close it. Frames that were given out can still be converted."""

    @abstractmethod
    def frames(self) -> Iterator[Frame]:
        """Yield every frame in the order in which they are shown; damaged ones are counted."""

    @abstractmethod
    def count_packets(self) -> int:
        """Return about how many frames there are, without decoding any."""


@dataclass
class VideoReader(ClipReader):
    """One open clip, decoded on the calling thread."""

    _transparent: bool = field(init=False, repr=False, default=False)
    _sizes: dict[tuple[int, int], None] = field(init=False, repr=False, default_factory=dict)
    _container: InputContainer = field(init=False, repr=False)
    _films: list[VideoStream] = field(init=False, repr=False)
    _stream: VideoStream = field(init=False, repr=False)
    _scaler: VideoReformatter = field(init=False, repr=False, default_factory=VideoReformatter)

    def __enter__(self) -> Self:
        self._container, self._films = _open(self.path)
        self._stream = self._films[0]
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
        guessed = self._stream.guessed_rate
        self.position_rate = float(guessed) if guessed else self.info.frame_rate
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    def frames(self) -> Iterator[Frame]:
        """Yield every frame in output order; a bad packet is counted and skipped.

        Raises:
            ClipError: If no decoder takes what the header says.
        """
        self._open_decoder()
        # AVI stores no presentation times; those that are shown are guessed from decoding times.
        by_decoding = self._container.format.name == "avi"
        coverage = _Coverage(self._container, self._stream, by_decoding)
        try:
            yield from self._decoded(coverage, Clock(by_decoding))
        finally:
            # Whoever has seen enough is to know them too.
            self.warning = self._find_warnings()

    def _decoded(self, coverage: _Coverage, clock: Clock) -> Iterator[Frame]:
        first = True
        for packet in self._packets(coverage.streams()):
            coverage.add(packet)
            if packet.stream.index != self._stream.index:
                continue
            if first and packet.size:
                first = False
                self.damage.no_key_frame = not packet.is_keyframe
            self.damage.num_corrupt += packet.is_corrupt
            try:
                decoded = packet.decode()
            except av.error.FFmpegError as error:
                self.damage.record(error)
                continue
            for frame in decoded:
                self.num_decoded += 1
                orientation = _Orientation.of(frame)
                self.rotation = orientation.rotation
                self.damage.num_corrupt += frame.is_corrupt
                self._transparent = self._transparent or self._is_transparent(frame)
                self._sizes[frame.width, frame.height] = None
                position = self._position(frame, clock)
                yield _AvFrame(frame, self._scaler, orientation, position)
        self.damage.missing_tail_s = coverage.missing_s()

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
        packets = self._packets([self._stream])
        return sum(1 for packet in packets if packet.size and not packet.is_discard)

    def _position(self, frame: VideoFrame, clock: Clock) -> float | None:
        time = clock.time_of(frame.pts, frame.dts)
        rate, base = self._stream.guessed_rate, self._stream.time_base
        return float(time * base * rate) if time is not None and rate and base else None

    def _is_transparent(self, frame: VideoFrame) -> bool:
        """Say whether a frame has pixels that are not opaque."""
        if not frame.format.name.startswith(_WITH_ALPHA):
            return False
        converted = self._scaler.reformat(frame, format="rgba", threads=1)
        return bool((converted.to_ndarray()[..., 3] < _OPAQUE).any())

    def _find_warnings(self) -> str:
        context = self._stream.codec_context
        parts = [colour_warning(context.color_trc, context.color_primaries)]
        aspect = self._stream.sample_aspect_ratio
        if aspect and aspect != 1:
            parts.append(f"pixels of {aspect.numerator}:{aspect.denominator} are taken as square")
        # FFmpeg's own decoders of VP8 and VP9 leave transparency out.
        if self._transparent or self._stream.metadata.get("alpha_mode") == "1":
            parts.append("transparent pixels are taken as opaque")
        if len(self._films) > 1:
            parts.append(
                f"holds {len(self._films)} video streams, of which number {self._stream.index} of "
                f"{context.width}x{context.height} is used"
            )
        if len(self._sizes) > 1:
            sizes = [f"{width}x{height}" for width, height in self._sizes]
            parts.append(f"frames of {len(sizes)} sizes: {' '.join(sizes[:5])}")
        return ", ".join(filter(None, parts))

    def _packets(self, streams: list[av.stream.Stream]) -> Iterator["av.Packet[Any]"]:
        """Yield packets, going on after a read error until the file ends or errors pile up."""
        failures = 0
        left = self.path.stat().st_size + _SPARE_PACKETS
        while failures < _MAX_DEMUX_ERRORS:
            try:
                for packet in self._container.demux(streams):
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


def _asf_length(url: str) -> Fraction:
    """Return the seconds that an ASF or WMV file declares, 0 if none: FFmpeg hides those of a cut.

    The layout is that of the file properties object in Microsoft's specification of ASF.
    """
    with Path(url.removeprefix("file:")).open("rb") as file:
        header = file.read(2**16)
    at = header.find(_ASF_PROPERTIES)
    if at < 0 or len(header) < at + 92:
        return Fraction(0)
    length, _, preroll, flags = struct.unpack_from("<QQQI", header, at + 64)
    is_broadcast = flags & 1
    seconds = Fraction(length, 10**7) - Fraction(preroll, 1000)
    return Fraction(0) if is_broadcast else max(seconds, Fraction(0))


def _open(path: Path) -> tuple[InputContainer, list[VideoStream]]:
    """Open a clip; return it with its video streams, of which the first is the film."""
    try:
        # The prefix keeps FFmpeg from reading a name such as `http:` as an address.
        container = av.open(f"file:{os.fspath(path)}", options=_ONE_LOCAL_FILE, **_OPEN_OPTIONS)
    except (av.error.FFmpegError, OSError) as error:
        raise ClipError(f"cannot be opened: {getattr(error, 'strerror', None) or error}") from error
    films = _films(container)
    if not films:
        container.close()
        known = container.streams.video
        raise ClipError("is in an unknown format" if known else "holds no video stream")
    stream = films[0]
    # Frame threads hang on early exit and under fork; clips are decoded side by side instead.
    stream.thread_type = "NONE"
    stream.codec_context.thread_count = 1
    stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
    return container, films


def _films(container: InputContainer) -> list[VideoStream]:
    """Return the video streams that may be the film, the one that FFmpeg would take first.

    That is the one marked as default, then the largest, then the first. Pictures that go with a
    film, such as its cover, are left out, also where they are not marked as such.
    """
    marks = av.stream.Disposition
    pictures = marks.attached_pic | marks.timed_thumbnails | marks.still_image
    streams = [s for s in container.streams.video if s.codec_context is not None]
    films = [s for s in streams if not s.disposition & pictures]
    if len(films) > 1:
        films = [s for s in films if not _is_cover(s, container.name)] or films
    return sorted(
        films,
        key=lambda s: (
            not s.disposition & marks.default,
            -s.codec_context.width * s.codec_context.height,
        ),
    )


def _is_cover(stream: VideoStream, url: str) -> bool:
    """Say whether a stream is a single picture."""
    if stream.codec_context.name not in _PICTURE_CODECS:
        return False
    if stream.frames:
        return stream.frames == 1
    try:
        with av.open(url, options=_ONE_LOCAL_FILE, **_OPEN_OPTIONS) as again:
            packets = again.demux(again.streams[stream.index])
            return sum(1 for _ in islice((p for p in packets if p.size), 2)) < 2
    except av.error.FFmpegError:
        return False


@contextmanager
def _plain_os_errors() -> Iterator[None]:
    """Raise Python's own for PyAV's, which can neither be given a file name nor be pickled."""
    try:
        yield
    except av.error.FFmpegError as error:
        if isinstance(error, OSError):
            raise OSError(error.errno, error.strerror) from error
        raise


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
        OSError: If the file cannot be written.
    """
    rate = Fraction(frame_rate).limit_denominator(1001)
    # Without the flag Matroska and WebM get a random number.
    flags = {"fflags": "bitexact"}
    with (
        _plain_os_errors(),
        av.open(str(path), "w", format=container_format, container_options=flags) as container,
    ):
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
