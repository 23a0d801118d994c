"""A decoder that only takes its time. It is imported where decoders are, which need no torch."""

import os
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass

import numpy as np

from ta3n.common.video import RgbImage
from ta3n.extract.decoding.decode import ClipOutcome
from ta3n.extract.decoding.passes import Outcomes, Pass


@dataclass(frozen=True)
class SimulatedDecoding:
    """Decodes clips of as many frames as their files have bytes.

    Args:
        shape: Of a frame.
        seconds: That each takes.
        crashes: Numbers of clips that crash the process half way.
    """

    shape: tuple[int, ...]
    seconds: float
    crashes: frozenset[int] = frozenset()

    def __call__(
        self, clips: Pass, on_packet: Callable[[], None]
    ) -> Generator[RgbImage, None, Outcomes]:
        """Yield frames, each after its time."""
        (clip,) = clips
        pixels = np.full(self.shape, clip.id % 256, np.uint8)
        for number in range(clip.size_bytes):
            if clip.id in self.crashes and 2 * number >= clip.size_bytes:
                os.abort()
            if self.seconds:
                time.sleep(self.seconds)
            on_packet()
            yield pixels
        numbers = tuple(range(clip.size_bytes))
        return (ClipOutcome(status="ok", num_frames=len(numbers), frame_numbers=numbers),)
