"""Every knob of the synthetic benchmark's difficulty: what sets its domains apart, what varies.

A `Look` is all that a domain may differ in; classes and motions are common to all. `VARIATION`
holds for every domain alike. The values are chosen once and are the same for every seed: changing
any of them changes the benchmark, so raise `GENERATOR_VERSION` in `generate.py` with it.

Colours are RGB in 0..255. Ranges are (low, high), drawn uniformly. Lengths are fractions of a
frame's short side unless the name ends in `_px`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Domain = Literal["a", "b", "c"]
Frequencies = Literal["balanced", "long-tail"]
"""How many training clips the classes have: all the same number, or ever fewer."""

FREQUENCIES: tuple[Frequencies, ...] = ("balanced", "long-tail")
TAIL_RATIO = 10
"""Training clips of a long tail's first class for each one of its last."""
TAIL_ORDERS: Mapping[Domain, tuple[int, ...]] = {
    "a": (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11),
    "b": (11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
    "c": (5, 6, 4, 7, 3, 8, 2, 9, 1, 10, 0, 11),
}
"""The classes of a long tail by how frequent they are; c's has little to do with either other."""

CLIPS_PER_GROUP = 4
# Group numbers have two digits in the names, as UCF101's, and every other one is of this role.
MAX_CLIPS_PER_CLASS = 49 * CLIPS_PER_GROUP
"""The most clips of one class and role."""

Colour = tuple[int, int, int]
Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class FrameSize:
    """A frame size and the pixel format that can hold it in the domain's codec."""

    width_px: int
    height_px: int
    pixel_format: str = "yuv420p"


@dataclass(frozen=True, slots=True, kw_only=True)
class Handheld:
    """How far a camera in somebody's hands may move; either direction of each is as likely."""

    pan: float  # largest shift of the view over the clip, along either axis
    zoom: float  # largest natural logarithm of its enlargement over the clip
    shake: float  # standard deviation of its tremor, along either axis
    shake_frames: int  # frames between two independent values of the tremor

    @property
    def margin(self) -> float:
        """How much of the scene beyond every edge of a frame the view can reach."""
        return self.pan / 2 + 3 * self.shake + self.zoom / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How one domain looks, plays and is encoded."""

    backgrounds: tuple[Colour, ...]  # base colours
    shapes: tuple[Colour, ...]
    colour_jitter: float  # standard deviation added to each channel of either, in levels
    texture_contrast: float  # standard deviation of the background's texture, in levels; 0 is plain
    texture_colour: float  # how much of the texture is colour (1) rather than brightness (0)
    texture_cells: Range  # blobs of the texture along a frame's short side
    blur_px: Range  # standard deviation of the Gaussian that softens the shapes' edges
    noise: Range  # standard deviation of the grain of each frame, in levels
    hold: Range  # part of a clip, at either end, during which nothing moves
    num_frames: tuple[int, int]  # both ends included
    frame_rate: int  # frames a second
    sizes: tuple[FrameSize, ...]  # drawn with equal chances
    suffix: str  # file name ending, which names the container
    codec: str  # name of FFmpeg's encoder
    codec_options: Mapping[str, str] = field(hash=False)
    texture_octaves: int = 1  # each has blobs of half the size and half the contrast of the last
    stroke: Range | None = None  # width of the outlines in radii of the shape; None is all inside
    inside: float = 1.0  # opacity of what the outlines enclose
    camera: Handheld | None = None  # None stands still


@dataclass(frozen=True, slots=True, kw_only=True)
class Variation:
    """What differs from clip to clip in every domain, so that no single clue is enough."""

    centre: float = 0.05  # largest shift of the whole motion from the middle, along either axis
    size: Range = (0.2, 0.27)  # radius of the shape
    angle_deg: float = 10.0  # largest tilt of the shape from upright
    reach: Range = (0.85, 1.1)  # length of a movement relative to its nominal one
    drift: float = 0.04  # largest slow shift over the clip, which says nothing of the class
    start: Range = (0.0, 0.1)  # progress of the motion at the first frame
    end: Range = (0.9, 1.0)  # progress of the motion at the last frame
    easing: Range = (0.75, 1.35)  # exponent applied to time; 1 is constant speed
    vertex_jitter: float = 0.05  # standard deviation of each corner of a shape, in radii
    distractor_chance: float = 0.3  # chance of a small still shape in the background
    distractor_size: Range = (0.04, 0.07)  # its radius


VARIATION = Variation()

LOOKS: Mapping[Domain, Look] = {
    "a": Look(
        backgrounds=((240, 240, 236), (226, 232, 238), (238, 230, 218), (228, 236, 226)),
        shapes=((28, 28, 36), (62, 26, 26), (22, 54, 36), (30, 36, 84), (66, 48, 20)),
        colour_jitter=6.0,
        texture_contrast=0.0,
        texture_colour=0.0,
        texture_cells=(4.0, 8.0),
        blur_px=(0.0, 0.0),
        noise=(0.0, 1.0),
        hold=(0.0, 0.05),
        num_frames=(32, 48),
        frame_rate=25,
        sizes=(FrameSize(160, 120), FrameSize(160, 128), FrameSize(161, 121)),
        suffix=".avi",
        codec="mpeg4",
        codec_options={"qscale": "3", "flags": "+qscale+bitexact"},
    ),
    "b": Look(
        backgrounds=((196, 208, 190), (188, 200, 216), (216, 202, 190), (206, 196, 214)),
        shapes=((120, 30, 44), (28, 72, 96), (76, 40, 108), (30, 80, 48), (108, 64, 20)),
        colour_jitter=8.0,
        texture_contrast=5.0,
        texture_colour=0.4,
        texture_cells=(5.0, 10.0),
        blur_px=(0.3, 0.8),
        noise=(1.0, 3.0),
        hold=(0.0, 0.15),
        num_frames=(24, 36),
        frame_rate=30,
        sizes=(FrameSize(176, 144), FrameSize(160, 120), FrameSize(161, 121, "yuv444p")),
        suffix=".mp4",
        codec="libx264",
        codec_options={"crf": "20", "preset": "veryfast"},
    ),
    "c": Look(
        backgrounds=((104, 116, 140), (132, 100, 112), (98, 128, 116), (136, 124, 96)),
        shapes=((252, 226, 96), (130, 240, 250), (252, 166, 206), (180, 250, 150)),
        colour_jitter=10.0,
        texture_contrast=9.0,
        texture_colour=0.5,
        texture_cells=(2.0, 4.0),
        texture_octaves=5,
        blur_px=(0.2, 0.6),
        noise=(1.0, 4.0),
        hold=(0.05, 0.2),
        num_frames=(16, 24),
        frame_rate=12,
        sizes=(
            FrameSize(192, 108, "yuvj422p"),
            FrameSize(120, 160, "yuvj422p"),
            FrameSize(161, 121, "yuvj444p"),
        ),
        suffix=".mov",
        codec="mjpeg",
        codec_options={"qscale": "5", "flags": "+qscale+bitexact", "dct": "int"},
        stroke=(0.2, 0.3),
        inside=0.7,
        camera=Handheld(pan=0.12, zoom=0.12, shake=0.01, shake_frames=4),
    ),
}
