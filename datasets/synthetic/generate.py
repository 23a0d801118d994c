"""Write one domain of the synthetic benchmark as real video files with split lists.

The folder looks like any other dataset's:

    <Class>/v_<Class>_gGG_cCC.avi   (or .mp4, .mov)
    splits/trainlist01.txt, splits/testlist01.txt
    synthetic.json                  what the folder was made with

A clip's frames follow from its name and the seed: its random stream says what it shows.
Shapes: H and W are a frame's height and width in pixels.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import joblib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from ta3n.common.device import allowed_cpus, leaving_all_but_sigterm_here
from ta3n.common.errors import DataConflictError, UsageError
from ta3n.common.files import remove_stale_temporaries, replace_file, temporary_beside
from ta3n.common.video import RgbImage, write_video
from ta3n.datasets.reading.folders import quoted
from ta3n.datasets.reading.split_files import Role
from ta3n.datasets.synthetic.dataset import MADE_WITH_NAME, read_made_with
from ta3n.datasets.synthetic.looks import (
    CLIPS_PER_GROUP,
    FREQUENCIES,
    LOOKS,
    MAX_CLIPS_PER_CLASS,
    TAIL_ORDERS,
    TAIL_RATIO,
    VARIATION,
    Colour,
    Domain,
    FrameSize,
    Frequencies,
    Handheld,
    Look,
    Range,
)
from ta3n.datasets.synthetic.motions import MOTIONS, Motion, Pose, Staging, State

# Raise it with every change of what a seed gives, be it a knob or the code that draws.
GENERATOR_VERSION = 2

_Plane = NDArray[np.float32]

# Shapes are drawn this many times larger and averaged down: Pillow's polygons have hard edges.
_SUPERSAMPLE = 4
# Each frame takes its grain from a random place in one field this much larger than the frame.
_NOISE_MARGIN_PX = 32

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
class ClipName:
    """One clip of a domain; together with the seed it says everything about the content.

    Attributes:
        motion: Index into `MOTIONS`.
        group: Number of the group, from 1; odd groups are tested on, even ones trained on.
        clip: Number within the group, from 1.
    """

    domain: Domain
    motion: int
    group: int
    clip: int

    @property
    def path(self) -> str:
        """Path within the dataset's folder, `<Class>/v_<Class>_gGG_cCC.<suffix>`."""
        name = MOTIONS[self.motion].name
        suffix = LOOKS[self.domain].suffix
        return f"{name}/v_{name}_g{self.group:02d}_c{self.clip:02d}{suffix}"


def clip_names(
    domain: Domain, role: Role, clips_per_class: int, frequencies: Frequencies = "balanced"
) -> Iterator[ClipName]:
    """Yield the clips of one role, class by class.

    Groups are numbered so that a clip's role and content do not depend on how many there are.

    Args:
        clips_per_class: Clips of each class, or of a long tail's most frequent one.
        frequencies: Of the training clips; as many clips of each class are tested on.
    """
    counts = [clips_per_class] * len(MOTIONS)
    if frequencies == "long-tail" and role == "train":
        for rank, motion in enumerate(TAIL_ORDERS[domain]):
            share = TAIL_RATIO ** (-rank / (len(MOTIONS) - 1))
            counts[motion] = max(1, round(clips_per_class * share))
    for motion, count in enumerate(counts):
        for index in range(count):
            group, clip = divmod(index, CLIPS_PER_GROUP)
            yield ClipName(domain, motion, 2 * group + (2 if role == "train" else 1), clip + 1)


def write_clip(root: Path, name: ClipName, seed: int) -> None:
    """Render and encode one clip; it has its name when it is complete, and not before.

    Any number of jobs may write the same clip at once: they write the same bytes.

    Raises:
        OSError: The folder cannot be written.
    """
    path = root / name.path
    look, motion = LOOKS[name.domain], MOTIONS[name.motion]
    scene = draw_scene(seed, name.domain, motion, name.group, name.clip)
    with temporary_beside(path) as temporary:
        write_video(
            temporary,
            render(scene, motion, look),
            frame_rate=look.frame_rate,
            codec=look.codec,
            pixel_format=scene.size.pixel_format,
            options=look.codec_options,
            container_format=look.suffix[1:],
        )
        temporary.replace(path)


def generate(
    root: Path,
    *,
    domain: Domain,
    seed: int,
    clips_per_class_train: int = 40,
    clips_per_class_test: int = 20,
    class_frequencies: Frequencies = "balanced",
    jobs: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Make a domain complete in `root`: write what is missing, leave what is there.

    Killed at any moment, the same call goes on where it stopped. The split lists come last, so
    a folder that has them is complete.

    Args:
        seed: What all content follows from, 0 or more.
        clips_per_class_train: Training clips of each class, or of the most frequent one.
        clips_per_class_test: Test clips of each class, of other groups than the training clips.
        class_frequencies: "long-tail" leaves ever fewer training clips to the classes, down to a
            tenth, in an order of the domain's own: a's last class is b's first.
        jobs: Processes that render; None takes one for each CPU that this process may use.
        progress: Called after each clip with the clips that are there and those there shall be.

    Raises:
        UsageError: A seed, domain or count that makes no sense.
        DataConflictError: The folder was made with another seed, domain, count, frequencies or
            generator.
        OSError: The folder cannot be written.
    """
    counts: dict[Role, int] = {"train": clips_per_class_train, "test": clips_per_class_test}
    _check(domain, seed, counts, class_frequencies)
    record = {
        "generator_version": GENERATOR_VERSION,
        "domain": domain,
        "seed": seed,
        "clips_per_class": dict(counts),
        "class_frequencies": class_frequencies,
    }
    _claim(root, record)
    for motion in MOTIONS:
        remove_stale_temporaries(root / motion.name)
    clips = {
        role: list(clip_names(domain, role, count, class_frequencies))
        for role, count in counts.items()
    }
    wanted = [clip for of_role in clips.values() for clip in of_role]
    missing = [clip for clip in wanted if not (root / clip.path).is_file()]
    num_there = len(wanted) - len(missing)
    for num_written, _ in enumerate(_write(root, missing, seed, jobs), start=1):
        if progress is not None:
            progress(num_there + num_written, len(wanted))
    for role, of_role in clips.items():
        lines = "".join(f"{clip.path}\n" for clip in of_role)
        replace_file(root / "splits" / f"{role}list01.txt", lines.encode())


def _check(domain: str, seed: int, counts: dict[Role, int], frequencies: str) -> None:
    if domain not in LOOKS:
        raise UsageError(f"domain {domain!r} of the synthetic dataset is not one of {list(LOOKS)}")
    if frequencies not in FREQUENCIES:
        raise UsageError(f"class_frequencies {frequencies!r} is not one of {list(FREQUENCIES)}")
    if seed < 0:
        raise UsageError(f"seed {seed} is below 0")
    for role, count in counts.items():
        if not 1 <= count <= MAX_CLIPS_PER_CLASS:
            raise UsageError(
                f"clips_per_class_{role} is {count}, must be 1 to {MAX_CLIPS_PER_CLASS}"
            )


def _claim(root: Path, record: Mapping[str, object]) -> None:
    """Record what the folder is made with before the first clip, or find that it fits."""
    made_with = read_made_with(root)
    if made_with is None:
        replace_file(root / MADE_WITH_NAME, f"{json.dumps(record, indent=2)}\n".encode())
        return
    # Folders were all balanced before there was a choice.
    made_with = {"class_frequencies": "balanced", **made_with}
    for key, value in record.items():
        if made_with.get(key) != value:
            raise DataConflictError(
                f"{quoted(root)} was made with {key} {made_with.get(key)}, not {value}: "
                "choose another folder or remove this one"
            )


def _write(root: Path, clips: list[ClipName], seed: int, jobs: int | None) -> Iterator[None]:
    """Write clips in any order, yielding after each."""
    processes = min(allowed_cpus() if jobs is None else jobs, len(clips))
    if processes <= 1:
        for clip in clips:
            write_clip(root, clip, seed)
            yield
        return
    parallel = joblib.Parallel(n_jobs=processes, return_as="generator_unordered")
    with leaving_all_but_sigterm_here():
        written = parallel(joblib.delayed(write_clip)(root, clip, seed) for clip in clips)
    yield from written


@dataclass(frozen=True, slots=True)
class Still:
    """A small shape in the background that never moves."""

    outline: Outline
    pose: Pose
    colour: Colour


@dataclass(frozen=True, slots=True)
class View:
    """What the camera looks at in one frame: its middle, and how much larger it shows things."""

    x: float
    y: float
    zoom: float

    def seen(self, pose: Pose) -> Pose:
        """Return where and how large a shape stands in the frame."""
        x, y = self.zoom * (pose.x - self.x), self.zoom * (pose.y - self.y)
        return replace(pose, x=x, y=y, size=self.zoom * pose.size)


@dataclass(frozen=True, slots=True)
class Scene:
    """All that a clip's frames follow from; what `Look` and `Variation` name is drawn from theirs.

    Attributes:
        outline: the moving shape.
        still: a distractor, if any.
        drift: slow shift over the whole clip, x and y.
        progress: the motion's progress at its start and end.
        stroke: width of the shapes' outlines in their radii; None draws none.
        inside: opacity of what the outlines enclose.
        camera: what it looks at in each frame of the forward clip; None stands still.
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
    stroke: float | None
    inside: float
    camera: tuple[View, ...] | None


def draw_scene(seed: int, domain: Domain, motion: Motion, group: int, clip: int) -> Scene:
    """Draw what a clip shows: background and texture from its group, the rest from itself.

    Both members of a pair share their groups, so that not even by accident does a member have a
    background of its own.
    """
    look = LOOKS[domain]
    place = (list(LOOKS).index(domain), motion.pair, group)
    of_group = _stream(seed, place)
    of_clip = _stream(seed, (*place, clip, int(motion.backward)))
    texture_seed = int(of_group.integers(2**63))
    background = _colour(of_group, look.backgrounds, look.colour_jitter)
    texture_cells = of_group.uniform(*look.texture_cells)
    low, high = look.num_frames
    drift = VARIATION.drift
    size = look.sizes[of_clip.integers(len(look.sizes))]
    num_frames = int(of_clip.integers(low, high + 1))
    return Scene(
        size=size,
        num_frames=num_frames,
        outline=_outline(of_clip),
        colour=_colour(of_clip, look.shapes, look.colour_jitter),
        background=background,
        texture_seed=texture_seed,
        texture_cells=texture_cells,
        still=_still(of_clip, look),
        staging=_staging(of_clip),
        drift=_two(of_clip, (-drift, drift)),
        hold=_two(of_clip, look.hold),
        progress=(of_clip.uniform(*VARIATION.start), of_clip.uniform(*VARIATION.end)),
        easing=of_clip.uniform(*VARIATION.easing),
        blur_px=of_clip.uniform(*look.blur_px),
        noise=of_clip.uniform(*look.noise),
        noise_seed=int(of_clip.integers(2**63)),
        stroke=None if look.stroke is None else of_clip.uniform(*look.stroke),
        inside=look.inside,
        camera=None if look.camera is None else _views(of_clip, look.camera, num_frames),
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


def _views(rng: np.random.Generator, camera: Handheld, num_frames: int) -> tuple[View, ...]:
    """Return what a camera looks at that pans, zooms and trembles, for each frame."""
    pan = np.array(_two(rng, (-camera.pan, camera.pan)))
    zoom = rng.uniform(-camera.zoom, camera.zoom)
    num_values = 2 + (num_frames - 1) // camera.shake_frames
    tremor = rng.normal(0, camera.shake, (num_values, 2)).clip(-3 * camera.shake, 3 * camera.shake)
    at = np.arange(num_frames) / camera.shake_frames
    shake = np.stack([np.interp(at, np.arange(num_values), axis) for axis in tremor.T], axis=1)
    time = np.arange(num_frames) / (num_frames - 1) - 0.5
    middles = time[:, None] * pan + shake  # [frames, 2]
    return tuple(
        View(float(x), float(y), float(z))
        for (x, y), z in zip(middles, np.exp(time * zoom), strict=True)
    )


def _still(rng: np.random.Generator, look: Look) -> Still | None:
    if rng.random() >= VARIATION.distractor_chance:
        return None
    x, y = _two(rng, (-0.45, 0.45))
    pose = Pose(x, y, rng.uniform(*VARIATION.distractor_size), rng.uniform(0, 360))
    return Still(_outline(rng), pose, _colour(rng, look.shapes, look.colour_jitter))


def render(scene: Scene, motion: Motion, look: Look) -> Iterator[RgbImage]:
    """Yield a clip's frames in playing order, uint8 [H, W, 3] RGB.

    A backward motion yields exactly the frames of its partner on the same scene, last one first.
    """
    backdrop = _Backdrop(scene, look)
    grain = _Grain(scene)
    colour = np.array(scene.colour, dtype=np.float32)
    order = range(scene.num_frames)
    for index in reversed(order) if motion.backward else order:
        state = state_at(scene, motion, index)
        background = backdrop.at(index)
        mask = _mask(scene, scene.outline, state.poses, index)
        cover = (mask * np.float32(state.opacity))[..., None]  # [H, W, 1]
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
    return motion.course(start + (end - start) * moving, at)


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


class _Backdrop:
    """Base colour, texture and the still shape, as the camera sees them."""

    def __init__(self, scene: Scene, look: Look) -> None:
        self._scene = scene
        size = scene.size
        margin = 0.0 if look.camera is None else look.camera.margin
        self._margin_px = math.ceil(margin * min(size.width_px, size.height_px))
        wide = replace(
            size,
            width_px=size.width_px + 2 * self._margin_px,
            height_px=size.height_px + 2 * self._margin_px,
        )
        base = np.array(scene.background, dtype=np.float32)
        self._plane: _Plane = base + _texture(scene, look, wide)
        if scene.camera is None:
            self._plane = self._with_still(self._plane, 0)

    def at(self, index: int) -> _Plane:
        """Return the background of a frame of the forward clip, float32 [H, W, 3]."""
        if self._scene.camera is None:
            return self._plane
        view, size = self._scene.camera[index], self._scene.size
        width, height, short = size.width_px, size.height_px, min(size.width_px, size.height_px)
        left = self._margin_px + width / 2 + view.x * short - width / 2 / view.zoom
        top = self._margin_px + height / 2 + view.y * short - height / 2 / view.zoom
        affine = (1 / view.zoom, 0, left, 0, 1 / view.zoom, top)
        seen = (
            Image.fromarray(self._plane[..., channel]).transform(
                (width, height), Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR
            )
            for channel in range(3)
        )
        return self._with_still(np.stack([np.asarray(image) for image in seen], axis=-1), index)

    def _with_still(self, plane: _Plane, index: int) -> _Plane:
        still = self._scene.still
        if still is None:
            return plane
        cover = _mask(self._scene, still.outline, (still.pose,), index)[..., None]
        return plane + cover * (np.array(still.colour, dtype=np.float32) - plane)


def _texture(scene: Scene, look: Look, size: FrameSize) -> _Plane:
    """Return smooth coloured blobs of zero mean and the look's contrast, float32 [H, W, 3]."""
    rng = np.random.Generator(np.random.PCG64(scene.texture_seed))
    short = min(scene.size.width_px, scene.size.height_px)
    octaves = (
        _blobs(rng, look, size, short / (scene.texture_cells * 2**octave)) / np.float32(2**octave)
        for octave in range(look.texture_octaves)
    )
    plane = sum(octaves, start=np.float32(0))
    plane -= plane.mean(axis=(0, 1))
    scaled: _Plane = plane * np.float32(look.texture_contrast / plane.std())
    return scaled


def _blobs(rng: np.random.Generator, look: Look, size: FrameSize, cell_px: float) -> _Plane:
    """Return smooth random values, one independent value every `cell_px`, float32 [H, W, 3]."""
    grid = (round(size.height_px / cell_px) + 1, round(size.width_px / cell_px) + 1)
    grey = rng.standard_normal((*grid, 1), dtype=np.float32)
    tint = rng.standard_normal((*grid, 3), dtype=np.float32)
    coarse = (1 - look.texture_colour) * grey + look.texture_colour * tint
    target = (size.width_px, size.height_px)
    images = (Image.fromarray(coarse[..., channel]) for channel in range(3))
    enlarged = (image.resize(target, Image.Resampling.BICUBIC) for image in images)
    plane: _Plane = np.stack([np.asarray(image) for image in enlarged], axis=-1)
    return plane


def _mask(scene: Scene, outline: Outline, poses: tuple[Pose, ...], index: int) -> _Plane:
    """Return how much of each pixel of a frame the shapes cover, float32 [H, W] in 0..1."""
    size, blur_px = scene.size, scene.blur_px
    large = (size.width_px * _SUPERSAMPLE, size.height_px * _SUPERSAMPLE)
    image = Image.new("L", large)
    draw = ImageDraw.Draw(image)
    for pose in poses:
        seen = pose if scene.camera is None else scene.camera[index].seen(pose)
        corners = _corners(outline, seen, large)
        draw.polygon(corners, fill=round(255 * scene.inside))
        if scene.stroke is not None:
            # The first side again, or the first corner would not be joined.
            width = max(1, round(scene.stroke * seen.size * min(large)))
            draw.line([*corners, *corners[:2]], fill=255, width=width, joint="curve")
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
