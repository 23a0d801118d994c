"""Frames at a constant rate: repeated over gaps in time and dropped where they crowd.

The rule is that of FFmpeg's `-vsync cfr`, which tools that read videos through a pipe apply without
being asked. The published frame counts of some UCF101 clips are counts of such frames.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ta3n.common.errors import ClipError
from ta3n.common.video import Frame

# A frame more than this late or early against its place is dropped or repeated.
_TOLERANCE = 1.1
# Repeats beyond so many for each decoded frame mean that the timestamps are damaged.
_MAX_REPEATS_A_FRAME, _SPARE_REPEATS = 20, 500


@dataclass(slots=True)
class ConstantRate:
    """Gives frames out at a constant rate, and counts them."""

    num_frames: int = 0
    num_repeated: int = 0
    num_dropped: int = 0
    _origin: float | None = None
    _num_decoded: int = 0

    def frames(self, decoded: Iterable[Frame]) -> Iterator[Frame]:
        """Yield decoded frames so often as a constant rate asks for.

        Raises:
            ClipError: If the timestamps ask for far more frames than there are.
        """
        before: Frame | None = None
        for frame in decoded:
            of_before, of_this = self._copies(frame.position)
            for number in range(of_before + of_this):
                yield before if before is not None and number < of_before else frame
            before = frame

    def describe(self) -> str:
        """Return what was changed, or an empty string."""
        if not self.num_repeated and not self.num_dropped:
            return ""
        changes = f"{self.num_repeated} frames repeated and {self.num_dropped} dropped"
        return f"{changes} for a constant rate"

    def _copies(self, position: float | None) -> tuple[int, int]:
        """Return how often the frame before and the frame at `position` come next."""
        self._num_decoded += 1
        of_before, copies = 0, 1
        if position is not None:
            if self._origin is None:
                self._origin = position - self.num_frames
            early = position - self._origin - self.num_frames
            if early < -1 - _TOLERANCE:
                copies = 0
            elif early + 1 > _TOLERANCE:
                copies = round(early + 1)
                of_before = round(early - 0.6) if early > _TOLERANCE else 0
        self.num_frames += copies
        self.num_repeated += max(copies - 1, 0)
        self.num_dropped += copies == 0
        allowed = _MAX_REPEATS_A_FRAME * self._num_decoded + _SPARE_REPEATS
        if self.num_repeated > allowed:
            raise ClipError(
                f"its timestamps ask for {self.num_repeated} repeats after {self._num_decoded} "
                "frames at a constant rate; use --timing frames for it"
            )
        return of_before, copies - of_before
