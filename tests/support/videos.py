"""Small videos that the tests make themselves."""

import io
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from ta3n.common.video import RgbImage

WriteClip = Callable[..., Path]
"""Encodes a clip under a path, with optional length, size, seed and codec; returns the path."""


def moving_square(num_frames: int, width: int, height: int, seed: int = 0) -> Iterator[RgbImage]:
    """Yield frames [height, width, 3] of a square that crosses a textured background."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 200, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
    background = coarse.repeat(8, axis=0).repeat(8, axis=1)[:height, :width]
    colour = rng.integers(150, 256, 3)
    side = min(width, height) // 3
    for number in range(num_frames):
        frame = background.copy()
        left = (width - side) * number // max(num_frames - 1, 1)
        frame[height // 3 : height // 3 + side, left : left + side] = colour
        yield frame


def write_seq(
    path: Path, num_frames: int = 6, *, padding: int = 8, image_format: int = 102, declared: int = 0
) -> Path:
    """Write a sequence as Piotr Dollar's toolbox lays it out."""
    header = bytearray(1024)
    struct.pack_into("<I", header, 0, 0xFEED)
    header[4:24] = "Norpix seq".encode("utf-16-le")
    struct.pack_into("<ii", header, 28, 3, 1024)
    struct.pack_into("<7I", header, 548, 96, 64, 24, 8, 0, image_format, declared or num_frames)
    struct.pack_into("<d", header, 584, 30.0)
    body = b""
    for pixels in moving_square(num_frames, 96, 64):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG", quality=95)
        jpeg = buffer.getvalue()
        body += struct.pack("<I", len(jpeg) + 4) + jpeg + struct.pack("<IH", 7, 8) + bytes(padding)
    path.write_bytes(bytes(header) + body)
    return path


def clips_of_all_kinds(root: Path, write_clip: WriteClip, count: int) -> list[str]:
    """Return names of so many clips: good ones, damaged ones, and files that are no video."""
    for name, codec in (("a.avi", "mpeg4"), ("b.mp4", "libx264"), ("c.mkv", "libx264")):
        write_clip(root / name, 5, codec=codec)
    cut = write_clip(root / "d.avi", 30)
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size * 6 // 10])
    (root / "e.avi").write_bytes(b"no video")
    kinds = sorted(path.name for path in root.iterdir())
    return [kinds[number % len(kinds)] for number in range(count)]
