"""The twelve classes: six motions, each played forwards and backwards.

Both members of a pair show the same states in opposite order, so neither one frame nor all frames
without their order tell them apart. Which pair it is, the frames do tell.

Lengths are fractions of the frame's short side, from the middle of the frame, x to the right and
y down. The middle of every shape stays within the middle square, which is what a centre crop keeps.
"""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pose:
    """One shape at one moment: its middle, radius and clockwise tilt."""

    x: float
    y: float
    size: float
    angle_deg: float


@dataclass(frozen=True, slots=True)
class Staging(Pose):
    """Where and how large a clip plays its motion, constant over the clip."""

    reach: float  # length of a movement relative to its nominal one


@dataclass(frozen=True, slots=True)
class State:
    """All shapes at one moment, and how opaque they are, 0 to 1."""

    poses: tuple[Pose, ...]
    opacity: float = 1.0


Course = Callable[[float, Staging], State]
"""From the motion's progress, 0 to 1, and a staging to a state."""


@dataclass(frozen=True, slots=True)
class Motion:
    """One class; the course is common to both members of a pair, one plays it backwards."""

    name: str
    pair: int
    course: Course
    backward: bool


def _grow(p: float, at: Staging) -> State:
    smallest = 1 - 0.7 * min(at.reach, 1.1)
    return State((Pose(at.x, at.y, at.size * (smallest + (1.15 - smallest) * p), at.angle_deg),))


def _move_right(p: float, at: Staging) -> State:
    return State((Pose(at.x + 0.7 * at.reach * (p - 0.5), at.y, at.size, at.angle_deg),))


def _rise(p: float, at: Staging) -> State:
    return State((Pose(at.x, at.y - 0.7 * at.reach * (p - 0.5), at.size, at.angle_deg),))


def _turn_clockwise(p: float, at: Staging) -> State:
    # At most 143 degrees in all: five samples are then less than a quarter turn apart.
    return State((Pose(at.x, at.y, at.size, at.angle_deg + 130 * at.reach * (p - 0.5)),))


def _appear(p: float, at: Staging) -> State:
    return State((Pose(at.x, at.y, at.size, at.angle_deg),), opacity=p)


def _merge(p: float, at: Staging) -> State:
    apart = 0.33 * at.reach * (1 - p)
    size = 0.65 * at.size
    left = Pose(at.x - apart, at.y, size, at.angle_deg)
    return State((left, Pose(at.x + apart, at.y, size, at.angle_deg)))


_PAIRS: tuple[tuple[str, str, Course], ...] = (
    ("Grow", "Shrink", _grow),
    ("MoveRight", "MoveLeft", _move_right),
    ("Rise", "Fall", _rise),
    ("TurnClockwise", "TurnCounterclockwise", _turn_clockwise),
    ("Appear", "Vanish", _appear),
    ("Merge", "Split", _merge),
)

MOTIONS: tuple[Motion, ...] = tuple(
    Motion(name, pair, course, backward)
    for pair, (forward_name, backward_name, course) in enumerate(_PAIRS)
    for name, backward in ((forward_name, False), (backward_name, True))
)
