"""Turn a scene into frames.

Shapes: H and W are a frame's height and width in pixels.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from ta3n.datasets.synthetic.looks import FrameSize, Look
from ta3n.datasets.synthetic.motions import Motion, Pose, State
from ta3n.datasets.synthetic.scene import Outline, Scene

Frame = NDArray[np.uint8]
_Plane = NDArray[np.float32]

# Shapes are drawn this many times larger and averaged down: Pillow's polygons have hard edges.
_SUPERSAMPLE = 4
# Each frame takes its grain from a random place in one field this much larger than the frame.
_NOISE_MARGIN_PX = 32


def render(scene: Scene, motion: Motion, look: Look) -> Iterator[Frame]:
    """Yield a clip's frames in playing order, uint8 [H, W, 3] RGB.

    A backward motion yields exactly the frames of its partner on the same scene, last one first.
    """
    background = _background(scene, look)
    grain = _Grain(scene)
    colour = np.array(scene.colour, dtype=np.float32)
    order = range(scene.num_frames)
    for index in reversed(order) if motion.backward else order:
        state = state_at(scene, motion, index)
        cover = _cover(scene, state)[..., None]  # [H, W, 1]
        frame = background + cover * (colour - background) + grain.at(index)
        yield np.clip(np.rint(frame), 0, 255).astype(np.uint8)


def state_at(scene: Scene, motion: Motion, index: int) -> State:
    """Return what the shapes do at a frame of the forward clip."""
    time = index / (scene.num_frames - 1)
    before, after = scene.hold
    moving = min(max((time - before) / (1 - before - after), 0.0), 1.0) ** scene.easing
    start, end = scene.progress
    drift_x, drift_y = (shift * (time - 0.5) for shift in scene.drift)
    at = replace(scene.staging, x=scene.staging.x + drift_x, y=scene.staging.y + drift_y)
    return motion.progress(start + (end - start) * moving, at)


class _Grain:
    """Sensor noise: one field a clip, seen through a window that jumps with every frame."""

    def __init__(self, scene: Scene) -> None:
        rng = np.random.Generator(np.random.PCG64(scene.noise_seed))
        self._height, self._width = scene.size.height_px, scene.size.width_px
        shape = (self._height + _NOISE_MARGIN_PX, self._width + _NOISE_MARGIN_PX, 3)
        self._field = rng.standard_normal(shape, dtype=np.float32) * np.float32(scene.noise)
        self._corners = rng.integers(0, _NOISE_MARGIN_PX + 1, (scene.num_frames, 2))

    def at(self, index: int) -> _Plane:
        top, left = self._corners[index]
        return self._field[top : top + self._height, left : left + self._width]


def _background(scene: Scene, look: Look) -> _Plane:
    """Return base colour, texture and the still shape, float32 [H, W, 3]."""
    base = np.array(scene.background, dtype=np.float32)
    plane: _Plane = base + _texture(scene, look)
    if scene.still is not None:
        still = scene.still
        cover = _mask(scene.size, still.outline, (still.pose,), scene.blur_px)[..., None]
        plane = plane + cover * (np.array(still.colour, dtype=np.float32) - plane)
    return plane


def _texture(scene: Scene, look: Look) -> _Plane:
    """Return smooth coloured blobs of zero mean and the look's contrast, float32 [H, W, 3]."""
    size = scene.size
    rng = np.random.Generator(np.random.PCG64(scene.texture_seed))
    cell_px = min(size.width_px, size.height_px) / scene.texture_cells
    grid = (round(size.height_px / cell_px) + 1, round(size.width_px / cell_px) + 1)
    grey = rng.standard_normal((*grid, 1), dtype=np.float32)
    tint = rng.standard_normal((*grid, 3), dtype=np.float32)
    coarse = (1 - look.texture_colour) * grey + look.texture_colour * tint
    channels = [_enlarge(coarse[..., channel], size) for channel in range(3)]
    plane = np.stack(channels, axis=-1)
    plane -= plane.mean(axis=(0, 1))
    scaled: _Plane = plane * np.float32(look.texture_contrast / plane.std())
    return scaled


def _enlarge(coarse: _Plane, size: FrameSize) -> _Plane:
    target = (size.width_px, size.height_px)
    return np.asarray(Image.fromarray(coarse).resize(target, Image.Resampling.BICUBIC))


def _cover(scene: Scene, state: State) -> _Plane:
    mask = _mask(scene.size, scene.outline, state.poses, scene.blur_px)
    return mask * np.float32(state.opacity)


def _mask(size: FrameSize, outline: Outline, poses: tuple[Pose, ...], blur_px: float) -> _Plane:
    """Return how much of each pixel the shapes cover, float32 [H, W] in 0..1."""
    large = (size.width_px * _SUPERSAMPLE, size.height_px * _SUPERSAMPLE)
    image = Image.new("L", large)
    draw = ImageDraw.Draw(image)
    for pose in poses:
        draw.polygon(_corners(outline, pose, large), fill=255)
    image = image.reduce(_SUPERSAMPLE)
    if blur_px > 0:
        image = image.filter(ImageFilter.GaussianBlur(blur_px))
    return np.asarray(image, dtype=np.float32) / np.float32(255)


def _corners(outline: Outline, pose: Pose, large: tuple[int, int]) -> list[tuple[float, float]]:
    """Place an outline on the enlarged canvas."""
    width, height = large
    short = min(large)
    angle = np.deg2rad(pose.angle_deg)
    # With y pointing down, this turns clockwise on the screen.
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    placed = outline @ turn * (pose.size * short)
    placed += (width / 2 + pose.x * short, height / 2 + pose.y * short)
    return [(float(x), float(y)) for x, y in placed]
