"""What folders and archives of frames have in common: pictures that are decoded when asked for.

Which frames there are is told by their names; their pixels are read when a frame is converted, so
that those which a selection leaves out cost nothing.
"""

import io
import os
import struct
import zlib
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from stat import S_ISREG
from typing import ClassVar, NamedTuple, Self

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ta3n.common.errors import ClipError, printable
from ta3n.common.video import MAX_PIXELS, ClipReader, Frame, RgbImage, StreamInfo
from ta3n.datasets.reading.frame_files import missing_numbers

_MOST_BYTES = 2**28
_MOST_FRAMES = 2**22
# A frame that cannot be decoded is shown as the nearest that can, as FFmpeg does; not farther off.
_FARTHEST = 8
_OPAQUE = 250
_UNDECODABLE = (
    *(OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, EOFError, OverflowError),
    *(struct.error, zlib.error, NotImplementedError, Image.DecompressionBombError),
)
# What Pillow cuts to 8 bits instead of scaling.
_DEEP = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")


class StoredFrame(NamedTuple):
    """A frame by its number: `size` bytes from `offset` in a file, or all of it without a size."""

    number: int
    name: str
    path: Path
    offset: int = 0
    size: int | None = None


@dataclass(frozen=True, slots=True)
class _SeriesFrame:
    series: "FrameSeriesReader"
    place: int
    position: float | None

    def rgb(self) -> RgbImage:
        """See `ta3n.common.video.Frame`."""
        return self.series.pixels(self.place)


@dataclass
class FrameSeriesReader(ClipReader):
    """Frames that are pictures of their own; positions are the numbers in their names.

    Numbers count from 0 where one is 0, else from 1.

    Attributes:
        fault: What was wrong where the frames were looked for, though some were found.
    """

    is_numbered: ClassVar[bool] = True
    fault: str = field(init=False, default="")
    _stored: Sequence[StoredFrame] = field(init=False, repr=False, default=())
    _first: int = field(init=False, repr=False, default=0)
    _missing: str = field(init=False, repr=False, default="")
    _bad: dict[str, str] = field(init=False, repr=False, default_factory=dict)
    _sizes: dict[tuple[int, int], None] = field(init=False, repr=False, default_factory=dict)
    _transparent: bool = field(init=False, repr=False, default=False)

    @abstractmethod
    def find_frames(self) -> Sequence[StoredFrame]:
        """Return all frames by number.

        Raises:
            ClipError: If there are none, or they cannot be told apart.
            OSError: If they cannot be looked for.
        """

    def __enter__(self) -> Self:
        try:
            self._stored = self.find_frames()
        except OSError as error:
            raise ClipError(f"cannot be opened: {error.strerror or error}") from error
        if len(self._stored) > _MOST_FRAMES:
            raise ClipError(f"holds {len(self._stored)} frames, and {_MOST_FRAMES} are the most")
        for one, other in pairwise(self._stored):
            if one.number == other.number:
                names = " and ".join(printable(repr(frame.name)) for frame in (one, other))
                raise ClipError(f"holds frame {one.number} twice: {names}")
        numbers = [frame.number for frame in self._stored]
        self._first = min(numbers[0], 1)
        self._missing = missing_numbers(numbers)
        self._tell()
        self.info = self._info(declared=numbers[-1] - numbers[0] + 1)
        self.position_rate = self.info.frame_rate
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open between two frames."""

    def frames(self) -> Iterator[Frame]:
        """Yield every frame that is there; whether it can be decoded turns out when it is."""
        for place, frame in enumerate(self._stored):
            self.on_packet()
            self.num_decoded += 1
            yield _SeriesFrame(self, place, float(frame.number - self._first))

    def count_packets(self) -> int:
        """Return the number of frames."""
        return len(self._stored)

    def pixels(self, place: int) -> RgbImage:
        """Return a frame's pixels [H, W, 3], those of the nearest one where it is damaged.

        Raises:
            ClipError: If none nearby can be decoded.
        """
        before = range(place, max(place - _FARTHEST, 0) - 1, -1)
        after = range(place + 1, min(place + _FARTHEST + 1, len(self._stored)))
        for near in (*before, *after):
            frame = self._stored[near]
            try:
                pixels, is_transparent = decode_picture(_read(frame))
            except _UNDECODABLE as error:
                reason = "no picture" if isinstance(error, UnidentifiedImageError) else error
                self._bad.setdefault(frame.name, f"{printable(frame.name)}: {reason}")
                continue
            height, width, _ = pixels.shape
            self._sizes[width, height] = None
            self._transparent = self._transparent or is_transparent
            self._tell()
            return pixels
        raise ClipError(
            f"no picture near frame {self._stored[place].number} can be decoded: "
            f"{self._bad[self._stored[place].name]}"
        )

    def _tell(self) -> None:
        """Say what is known by now of frames that are missing, damaged or out of the ordinary."""
        damaged = warning = ""
        if self._bad:
            damaged = (
                f"{len(self._bad)} frames are damaged and shown as the nearest one, such as "
                f"{next(iter(self._bad.values()))}"
            )
        self.damage.num_replaced = len(self._bad)
        self.damage.others = tuple(filter(None, (self.fault, self._missing, damaged)))
        first = self._stored[0].number
        if first > 1:
            warning = f"its frames are numbered from {first}"
        sizes = [f"{width}x{height}" for width, height in self._sizes]
        several = f"frames of {len(sizes)} sizes: {' '.join(sizes[:5])}" if len(sizes) > 1 else ""
        opaque = "transparent pixels are taken as opaque" if self._transparent else ""
        self.warning = ", ".join(filter(None, (warning, several, opaque)))

    def _info(self, declared: int) -> StreamInfo:
        codec, width, height = "", 0, 0
        try:
            with Image.open(io.BytesIO(_read(self._stored[0]))) as image:
                codec, (width, height) = (image.format or "").lower(), image.size
        except _UNDECODABLE:
            pass
        return StreamInfo(
            codec=codec,
            pixel_format="",
            width=width,
            height=height,
            frame_rate=self.reading.frame_rate,
            declared_frames=declared,
        )


def decode_picture(data: bytes) -> tuple[RgbImage, bool]:
    """Return the pixels [H, W, 3] of a picture, turned as it is to be shown.

    Returns:
        Those, and whether some are transparent.

    Raises:
        Exception: One of many kinds, for a picture that is damaged or none.
    """
    with Image.open(io.BytesIO(data)) as image:
        if image.width * image.height > MAX_PIXELS:
            raise ValueError(f"{image.width}x{image.height} pixels are too many")
        if image.mode in _DEEP:
            raise ValueError(f"pixels of more than 8 bits (mode {image.mode})")
        turned = ImageOps.exif_transpose(image)
        alpha = turned.getchannel("A").getextrema() if "A" in turned.getbands() else None
        is_transparent = isinstance(alpha, tuple) and float(alpha[0]) < _OPAQUE  # type: ignore[arg-type]
        return np.asarray(turned.convert("RGB")), is_transparent


def _read(frame: StoredFrame) -> bytes:
    """Return the bytes of a frame; pipes and devices of that name are not waited for."""
    descriptor = os.open(frame.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not S_ISREG(status.st_mode):
            raise ValueError("no file")
        size = status.st_size if frame.size is None else frame.size
        if size > _MOST_BYTES:
            raise ValueError(f"{size} bytes are too many")
        file.seek(frame.offset)
        return file.read(size)
