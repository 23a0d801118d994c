"""Small videos that the tests make themselves."""

import io
import struct
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
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


def write_timed(
    path: Path,
    times: Sequence[float],
    *,
    sound_s: float = 0.0,
    ticks: int = 90000,
    bframes: int = 2,
    container_options: dict[str, str] | None = None,
) -> Path:
    """Encode a moving square by H.264, each frame at its time in seconds, and silence beside it."""
    base = Fraction(1, ticks)
    with av.open(str(path), "w", container_options=container_options or {}) as container:
        options = {"threads": "1", "bf": str(bframes), "x264-params": "asm=0"}
        stream = container.add_stream("libx264", rate=24, options=options)
        sound = container.add_stream("flac", rate=8000, layout="mono") if sound_s else None
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.time_base = base
        packets: list[av.Packet[Any]] = []
        for time, pixels in zip(times, moving_square(len(times), 96, 64), strict=True):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = round(time * ticks), base
            packets += stream.encode(frame)
        packets += stream.encode(None)
        if isinstance(sound, av.AudioStream):
            for number in range(round(sound_s * 8)):
                samples = av.AudioFrame.from_ndarray(np.zeros((1, 1000), np.int16), "s16", "mono")
                samples.sample_rate, samples.pts = 8000, 1000 * number
                packets += sound.encode(samples)
            packets += sound.encode(None)
        for packet in sorted(packets, key=lambda p: (p.dts or 0) * (p.time_base or 0)):
            container.mux(packet)
    return path


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
