"""Which frames of a clip are used: the paper's segments, and what stage one keeps of a clip."""

from collections.abc import Sequence
from dataclasses import dataclass

from ta3n.common.errors import UsageError


def segment_indices(num_frames: int, num_segments: int) -> list[int]:
    """Return the frames that stand for `num_segments` equal parts of a clip.

    The centre of each part, the same in training and testing: `int(n/K/2 + i*n/K)`. A clip with
    fewer frames than segments gives all its frames and repeats the last (official recipe of
    Chen et al. 2019).

    Args:
        num_frames: n, frames in the clip, at least 1.
        num_segments: K, at least 1.

    Returns:
        K zero-based frame numbers in time order.

    Raises:
        ValueError: If either count is below 1.
    """
    if num_frames < 1 or num_segments < 1:
        raise ValueError(f"num_frames={num_frames} and num_segments={num_segments} must be >= 1")
    if num_frames < num_segments:
        return [min(i, num_frames - 1) for i in range(num_segments)]
    part = num_frames / num_segments
    return [int(part / 2 + part * i) for i in range(num_segments)]


@dataclass(frozen=True, slots=True)
class FrameSelection:
    """The frames of a clip that stage one keeps: all of them, or those of K segments.

    Attributes:
        num_segments: K, or None for every frame.
    """

    num_segments: int | None = None

    @classmethod
    def parse(cls, text: str) -> "FrameSelection":
        """Read `all` or `segments:K`.

        Raises:
            UsageError: If the text is neither.
        """
        if text == "all":
            return cls()
        kind, _, count = text.partition(":")
        if kind == "segments" and count.isascii() and count.isdigit() and int(count) >= 1:
            return cls(int(count))
        raise UsageError(f"frames {text!r} is not known; use 'all' or 'segments:K', K at least 1")

    def __str__(self) -> str:
        return "all" if self.num_segments is None else f"segments:{self.num_segments}"

    def indices(self, num_frames: int) -> Sequence[int]:
        """Return the kept frame numbers of a clip of `num_frames` frames, rising, each once."""
        if self.num_segments is None or num_frames == 0:
            return range(num_frames)
        return sorted(set(segment_indices(num_frames, self.num_segments)))
