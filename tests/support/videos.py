"""Small videos that the tests make themselves."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

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
