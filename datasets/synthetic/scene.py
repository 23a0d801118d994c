"""Draw what a clip shows from its random stream: everything but the order of its frames."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ta3n.datasets.synthetic.looks import (
    LOOKS,
    VARIATION,
    Colour,
    Domain,
    FrameSize,
    Look,
    Range,
)
from ta3n.datasets.synthetic.motions import Motion, Pose, Staging

Outline = NDArray[np.float64]
"""Corners of a shape, [corners, 2] as x, y in radii; y points down."""

# None looks the same after a turn of less than 180 degrees, or a turn's direction would be a guess.
_OUTLINES: tuple[tuple[tuple[float, float], ...], ...] = (
    # arrow
    ((0, -1), (0.8, -0.1), (0.3, -0.1), (0.3, 1), (-0.3, 1), (-0.3, -0.1), (-0.8, -0.1)),
    # letter L
    ((-0.6, -1), (-0.05, -1), (-0.05, 0.45), (0.75, 0.45), (0.75, 1), (-0.6, 1)),
    # letter T
    ((-0.85, -0.9), (0.85, -0.9), (0.85, -0.35), (0.28, -0.35), (0.28, 1), (-0.28, 1)),
    # wedge
    ((0, -1.05), (0.55, 0.9), (-0.55, 0.9)),
    # flag
    ((-0.5, -1), (0.8, -0.6), (0.8, 0), (-0.1, 0.1), (-0.1, 1), (-0.5, 1)),
    # kite
    ((0, -1.1), (0.5, 0.35), (0, 0.9), (-0.5, 0.35)),
)


@dataclass(frozen=True, slots=True)
class Still:
    """A small shape in the background that never moves."""

    outline: Outline
    pose: Pose
    colour: Colour


@dataclass(frozen=True, slots=True)
class Scene:
    """All that a clip's frames follow from.

    Attributes:
        size: frame size.
        num_frames: frames of the clip.
        outline: the moving shape.
        colour: its colour.
        background: base colour behind it.
        texture_seed: what the background's texture is drawn from.
        texture_cells: blobs of that texture along the short side.
        still: a distractor, if any.
        staging: where the motion plays.
        drift: slow shift over the whole clip, x and y.
        hold: parts of the clip before and after the motion.
        progress: the motion's progress at its start and end.
        easing: exponent applied to time.
        blur_px: softness of edges.
        noise: grain, in levels.
        noise_seed: what the grain is drawn from.
    """

    size: FrameSize
    num_frames: int
    outline: Outline
    colour: Colour
    background: Colour
    texture_seed: int
    texture_cells: float
    still: Still | None
    staging: Staging
    drift: tuple[float, float]
    hold: tuple[float, float]
    progress: tuple[float, float]
    easing: float
    blur_px: float
    noise: float
    noise_seed: int


def clip_streams(
    seed: int, domain: Domain, motion: Motion, group: int, clip: int
) -> tuple[np.random.Generator, np.random.Generator]:
    """Return the random streams of a clip's group and of the clip itself.

    Both members of a pair share their groups, so that not even by accident does a member have a
    background of its own.
    """
    place = (list(LOOKS).index(domain), motion.pair)
    group_key = (*place, group)
    clip_key = (*place, group, clip, int(motion.backward))
    return _stream(seed, group_key), _stream(seed, clip_key)


def draw_scene(group: np.random.Generator, clip: np.random.Generator, look: Look) -> Scene:
    """Draw a scene: background and texture from the group, the rest from the clip."""
    texture_seed = int(group.integers(2**63))
    background = _colour(group, look.backgrounds, look.colour_jitter)
    texture_cells = group.uniform(*look.texture_cells)
    low, high = look.num_frames
    drift = VARIATION.drift
    return Scene(
        size=look.sizes[clip.integers(len(look.sizes))],
        num_frames=int(clip.integers(low, high + 1)),
        outline=_outline(clip),
        colour=_colour(clip, look.shapes, look.colour_jitter),
        background=background,
        texture_seed=texture_seed,
        texture_cells=texture_cells,
        still=_still(clip, look),
        staging=_staging(clip),
        drift=_two(clip, (-drift, drift)),
        hold=_two(clip, look.hold),
        progress=(clip.uniform(*VARIATION.start), clip.uniform(*VARIATION.end)),
        easing=clip.uniform(*VARIATION.easing),
        blur_px=clip.uniform(*look.blur_px),
        noise=clip.uniform(*look.noise),
        noise_seed=int(clip.integers(2**63)),
    )


def _stream(seed: int, key: tuple[int, ...]) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=key)))


def _two(rng: np.random.Generator, bounds: Range) -> tuple[float, float]:
    return rng.uniform(*bounds), rng.uniform(*bounds)


def _colour(rng: np.random.Generator, palette: tuple[Colour, ...], jitter: float) -> Colour:
    base = palette[rng.integers(len(palette))]
    red, green, blue = np.clip(np.rint(base + rng.normal(0, jitter, 3)), 0, 255).astype(int)
    return int(red), int(green), int(blue)


def _outline(rng: np.random.Generator) -> Outline:
    corners = np.array(_OUTLINES[rng.integers(len(_OUTLINES))], dtype=np.float64)
    moved: Outline = corners + rng.normal(0, VARIATION.vertex_jitter, corners.shape)
    return moved


def _staging(rng: np.random.Generator) -> Staging:
    x, y = _two(rng, (-VARIATION.centre, VARIATION.centre))
    return Staging(
        x=x,
        y=y,
        size=rng.uniform(*VARIATION.size),
        angle_deg=rng.uniform(-VARIATION.angle_deg, VARIATION.angle_deg),
        reach=rng.uniform(*VARIATION.reach),
    )


def _still(rng: np.random.Generator, look: Look) -> Still | None:
    if rng.random() >= VARIATION.distractor_chance:
        return None
    x, y = _two(rng, (-0.45, 0.45))
    pose = Pose(x, y, rng.uniform(*VARIATION.distractor_size), rng.uniform(0, 360))
    return Still(_outline(rng), pose, _colour(rng, look.shapes, look.colour_jitter))
