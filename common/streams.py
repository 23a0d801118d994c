"""What is known of a video stream, whatever container it comes in.

Shapes: H height, W width in pixels.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

RgbImage = NDArray[np.uint8]
"""Pixels [H, W, 3] in RGB."""


class Frame(Protocol):
    """A decoded frame whose conversion to RGB is put off until it is needed."""

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
