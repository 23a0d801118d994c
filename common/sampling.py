"""Which frames are used: the paper's segments, what stage one keeps of a clip, and windows."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from ta3n.common.errors import ClipError, UsageError

Timing = Literal["frames", "cfr"]
"""How frames are counted: as decoded, or at the stream's constant rate with repeats and drops."""

WindowPad = Literal["repeat", "zero"]
"""What stands for frames beyond a clip: its first or last frame again, or black ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How clips of a dataset are read, where neither their files nor their names tell.

    Attributes:
        frames: Pattern of the names of frames in folders and archives, such as
            `frame_%010d.jpg`; empty where the names tell.
        frame_rate: Frames per second of such clips; None if nobody knows.
        first_frame: Number that lists of sections give the first frame of a video.
        stop_frame: Whether the frame that they name last is in a section.
    """

    frames: str = ""
    frame_rate: float | None = None
    first_frame: Literal[0, 1] | None = None
    stop_frame: Literal["included", "excluded"] | None = None


AS_IT_IS = Reading()
"""Nothing more is known than files and names tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of a video that is a clip: from `start` on, up to `stop` but not that.

    Attributes:
        unit: `frames` counts from 0, `seconds` from when the first frame is shown.
    """

    start: float
    stop: float
    unit: Literal["frames", "seconds"]

    def __str__(self) -> str:
        if self.unit == "seconds":
            return f"{self.start:g} to {self.stop:g} s"
        return f"frames {self.start:.0f} to {self.stop - 1:.0f} (from 0)"

    def overlaps(self, other: "Section") -> bool:
        """Tell whether it has a frame in common with another one of the same unit and video."""
        return max(self.start, other.start) < min(self.stop, other.stop)

    @property
    def fault(self) -> tuple[Literal["empty", "failed"], str] | None:
        """How it ends before any video is looked at, and why; None if it may hold frames."""
        if self.start < 0 or self.stop < 0:
            return "failed", f"{self}: starts before the video"
        if self.stop < self.start:
            return "failed", f"{self}: ends before it starts"
        if self.stop == self.start:
            return "empty", f"{self}: starts where it ends, so that no frame is in it"
        return None


_RATE = re.compile(r"[0-9]{1,4}(\.[0-9]{1,6})?")


def segment_indices(num_frames: int, num_segments: int) -> list[int]:
    """Return the K zero-based frame numbers that stand for K equal parts of a clip, in time order.

    The centre of each part, the same in training and testing: `int(n/K/2 + i*n/K)` of n frames. A
    clip with fewer frames than segments gives all its frames and repeats the last (official recipe
    of Chen et al. 2019).

    Raises:
        ValueError: If either count is below 1.
    """
    if num_frames < 1 or num_segments < 1:
        raise ValueError(f"num_frames={num_frames} and num_segments={num_segments} must be >= 1")
    if num_frames < num_segments:
        return [min(i, num_frames - 1) for i in range(num_segments)]
    part = num_frames / num_segments
    return [int(part / 2 + part * i) for i in range(num_segments)]


def view_indices(num_frames: int, num_segments: int, num_views: int) -> list[list[int]]:
    """Return V sets of K frames that are spread evenly over the K parts, V times `segment_indices`.

    View v is at (2v + 1) / 2V of each part, so that one view is the centres, and so is the middle
    one of an odd number. A clip with fewer frames than segments has but one view, V times.

    Raises:
        ValueError: If a count is below 1.
    """
    if num_views < 1:
        raise ValueError(f"num_views={num_views} must be >= 1")
    centres, whole = segment_indices(num_frames, num_segments), num_views * num_segments
    if num_frames < num_segments:
        return [centres] * num_views
    finer = [(2 * place + 1) * num_frames // (2 * whole) for place in range(whole)]
    views = [finer[view::num_views] for view in range(num_views)]
    if num_views % 2:
        # As the centres are rounded everywhere else.
        views[num_views // 2] = centres
    return views


@dataclass(frozen=True, slots=True)
class FrameSelection:
    """The frames of a clip that stage one keeps; at most one of the attributes is set.

    Attributes:
        num_segments: K, only the frames that training on K segments uses.
        every: N, every N-th frame from the first.
        fps: F, the first frame of every 1/F seconds, by the times at which frames are shown.
    """

    num_segments: int | None = None
    every: int | None = None
    fps: float | None = None

    @classmethod
    def parse(cls, text: str) -> "FrameSelection":
        """Read `all`, `segments:K`, `every:N` or `fps:F`.

        Raises:
            UsageError: If the text is none of these.
        """
        if text == "all":
            return cls()
        kind, _, number = text.partition(":")
        if kind in ("segments", "every") and re.fullmatch("[0-9]{1,9}", number) and int(number):
            return cls(num_segments=int(number)) if kind == "segments" else cls(every=int(number))
        if kind == "fps" and _RATE.fullmatch(number) and float(number) > 0:
            return cls(fps=float(number))
        raise UsageError(
            f"frames {text[:40]!r} is not known; use 'all', 'segments:K' or 'every:N' with a whole "
            "number from 1 to 999999999, or 'fps:F' with a rate above 0"
        )

    def __str__(self) -> str:
        if self.num_segments is not None:
            return f"segments:{self.num_segments}"
        if self.every is not None:
            return f"every:{self.every}"
        return "all" if self.fps is None else f"fps:{self.fps:g}"

    @property
    def is_regular(self) -> bool:
        """Whether it keeps frames at a fixed distance, so that what it keeps is a clip again."""
        return self.every is not None or self.fps is not None

    def may_keep(self, number: int) -> bool:
        """Say whether a frame may be kept, as far as its number tells; not for segments."""
        return self.every is None or number % self.every == 0

    def keeps(
        self, number: int, frame_rate: float | None, span: tuple[float, float] | None = None
    ) -> bool:
        """Say whether frame `number`, from 0, of any clip of that rate is kept; not for segments.

        Args:
            span: When the frame before and this one are shown, in intervals of the rate; None if
                that is as they are numbered.

        Raises:
            ClipError: If the rate is needed and not known.
        """
        assert self.num_segments is None, "which frames segments keep depends on the clip's length"
        if self.every is not None:
            return number % self.every == 0
        if self.fps is None:
            return True
        if not frame_rate:
            raise ClipError(f"declares no frame rate, which frames fps:{self.fps:g} need")
        step = self.fps / frame_rate
        before, shown = span or (number - 1, number)
        return number == 0 or step >= 1 or int(shown * step) > int(before * step)

    def indices(self, num_frames: int, frame_rate: float | None = None) -> Sequence[int]:
        """Return the kept frame numbers of a clip of `num_frames` frames, rising, each once.

        For `fps:F` they are those of a clip whose rate is constant.

        Raises:
            ClipError: If the frame rate is needed and not known.
        """
        if self.num_segments is None:
            return [n for n in range(num_frames) if self.keeps(n, frame_rate)]
        return sorted(set(segment_indices(num_frames, self.num_segments))) if num_frames else []


@dataclass(frozen=True, slots=True)
class Window:
    """The frames around a kept one that its row is a feature of.

    Of T frames, T // 2 come before the kept one: 16 are those from 8 before it to 7 after it.

    Attributes:
        length: T, frames in a window.
        step: Only every so many frames of the clip are in it; the kept one always is.
        pad: What stands for frames that the clip does not have.

    Raises:
        ValueError: If length or step is below 1, or the padding is not known.
    """

    length: int
    step: int = 1
    pad: WindowPad = "repeat"

    def __post_init__(self) -> None:
        if self.length < 1 or self.step < 1:
            raise ValueError(f"length={self.length} and step={self.step} must be >= 1")
        if self.pad not in get_args(WindowPad):
            raise ValueError(f"pad={self.pad!r} must be one of {', '.join(get_args(WindowPad))}")

    def __str__(self) -> str:
        every = f", every {self.step} frames" if self.step > 1 else ""
        return f"{self.length} frames{every}, {self.pad} beyond the ends"

    @property
    def offsets(self) -> range:
        """Where its frames are from the kept one, in frames of the clip."""
        first = -(self.length // 2) * self.step
        return range(first, first + self.length * self.step, self.step)

    def frames(self, centre: int, num_frames: int) -> list[int | None]:
        """Return the T frame numbers of the window around a frame; None where a black one is."""
        numbers = (centre + offset for offset in self.offsets)
        if self.pad == "repeat":
            return [min(max(number, 0), num_frames - 1) for number in numbers]
        return [number if 0 <= number < num_frames else None for number in numbers]
