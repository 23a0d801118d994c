"""What is known of a video stream, whatever container it comes in.

Shapes: H height, W width in pixels.
"""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

RgbImage = NDArray[np.uint8]
"""Pixels [H, W, 3] in RGB."""


class Frame(Protocol):
    """A decoded frame whose conversion to RGB is put off until it is needed."""

    @property
    def position(self) -> float | None:
        """When it is shown, in intervals of the stream's frame rate; None if unknown."""
        ...

    def rgb(self) -> RgbImage:
        """Return the pixels [H, W, 3], turned upright by the container's rotation flag."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamInfo:
    """What a container says of its video stream.

    Attributes:
        codec: Decoder name, such as `mpeg4`.
        pixel_format: Such as `yuv420p`; empty where it is not known before decoding.
        width: Coded width in pixels.
        height: Coded height in pixels.
        frame_rate: Frames per second, or None.
        declared_frames: The container's frame count, or None; often not what decoding gives.
    """

    codec: str
    pixel_format: str
    width: int
    height: int
    frame_rate: float | None
    declared_frames: int | None


# Code points of ITU-T H.273.
_HDR_TRANSFERS = {16: "PQ", 18: "HLG"}
_BT2020_PRIMARIES = 9


def colour_warning(transfer: int, primaries: int) -> str:
    """Return what converting such colours to 8-bit RGB leaves undone, or an empty string.

    Args:
        transfer: Transfer characteristics, as ITU-T H.273 numbers them.
        primaries: Colour primaries, likewise.
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


def nothing() -> None:
    """Do nothing: the default of callbacks."""


@dataclass(slots=True)
class Damage:
    """What went wrong while a clip was decoded.

    Attributes:
        num_errors: Packets that could not be read or decoded.
        num_corrupt: Packets and frames that FFmpeg flagged as corrupt or concealed.
        no_key_frame: Whether the first packet cannot be decoded without those before it.
        missing_tail_s: Seconds that the container declares after the last packet.
        first_error: Text of the first error.
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
