"""Reader of Norpix sequences (`.seq`), the format of the Olympic Sports download.

FFmpeg does not know it. The layout follows Piotr Dollar's toolbox (seqIo): a header of 1024 bytes,
then frames. Compressed frames are JPEG files, each after a 4-byte length that counts itself and
before a timestamp of 6 bytes and some padding.
"""

import io
import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
from PIL import Image

from ta3n.common.errors import ClipError
from ta3n.common.video import ClipReader, Frame, RgbImage, StreamInfo
from ta3n.extract.decoding.kinds.registry import KINDS, Kind

_MAGIC = 0xFEED
_HEADER_BYTES = 1024
_JPEG_FORMATS = {102, 201}
_JPEG_START = b"\xff\xd8"
_MAX_PADDING = 64


@dataclass(frozen=True, slots=True)
class _JpegFrame:
    data: bytes
    position: float | None = None

    def rgb(self) -> RgbImage:
        """See `ta3n.common.video.Frame`."""
        with Image.open(io.BytesIO(self.data)) as image:
            return np.asarray(image.convert("RGB"))


class NorpixReader(ClipReader):
    """One open sequence of JPEG frames; the format knows neither rotation nor warnings."""

    _data: mmap.mmap

    def __enter__(self) -> Self:
        try:
            with self.path.open("rb") as file:
                self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise ClipError(f"cannot be opened: {error}") from error
        try:
            self.info = _parse_header(self._data)
        except ClipError:
            self._data.close()
            raise
        self.position_rate = self.info.frame_rate
        return self

    def __exit__(self, *_: object) -> None:
        self._data.close()

    def frames(self) -> Iterator[Frame]:
        """Yield every frame in file order; a damaged one is counted and skipped."""
        for data in _jpegs(self._data):
            self.on_packet()
            try:
                with Image.open(io.BytesIO(data)) as image:
                    image.load()
            except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
                self.damage.record(error)
                continue
            self.num_decoded += 1
            yield _JpegFrame(data)
        declared = self.info.declared_frames or 0
        missing = declared - self.num_decoded - self.damage.num_errors
        if missing > 0:
            self.damage.missing_tail_s = missing / (self.info.frame_rate or 1.0)

    def count_packets(self) -> int:
        """Return the number of frames without decoding them."""
        return sum(1 for _ in _jpegs(self._data))


def _parse_header(data: mmap.mmap) -> StreamInfo:
    if len(data) < _HEADER_BYTES:
        raise ClipError(f"is no Norpix sequence: {len(data)} bytes are less than its header")
    (magic,) = struct.unpack_from("<I", data, 0)
    if magic != _MAGIC:
        raise ClipError(f"is no Norpix sequence: it starts with {magic:#x}, not {_MAGIC:#x}")
    width, height, *_, image_format, num_frames = struct.unpack_from("<7I", data, 548)
    (frame_rate,) = struct.unpack_from("<d", data, 584)
    if image_format not in _JPEG_FORMATS:
        raise ClipError(
            f"is a Norpix sequence of image format {image_format}; only JPEG (102, 201) is read"
        )
    return StreamInfo(
        codec="mjpeg",
        pixel_format="",
        width=width,
        height=height,
        frame_rate=frame_rate if 0 < frame_rate < 1e4 else None,
        declared_frames=num_frames or None,
    )


def _jpegs(data: mmap.mmap) -> Iterator[bytes]:
    """Yield the JPEG files in turn; the padding between them varies, so it is searched."""
    position = _HEADER_BYTES
    while position + 6 <= len(data):
        (length,) = struct.unpack_from("<I", data, position)
        starts_jpeg = data[position + 4 : position + 6] == _JPEG_START
        if not starts_jpeg or length <= 6:
            return
        yield data[position + 4 : position + length]
        end = position + length
        # The next frame's length stands right before its JPEG marker.
        marker = data.find(_JPEG_START, end + 4, end + 4 + _MAX_PADDING)
        if marker < 0:
            return
        position = marker - 4


KINDS.register(
    Kind(
        name="norpix",
        reads=lambda path: path.suffix.lower() == ".seq",
        reader=NorpixReader,
        rank=10,
    )
)
