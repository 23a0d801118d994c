"""Sampled frames of the target videos with the highest and the lowest attention.

Legend: N videos, K segments, H height, W width in pixels.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ta3n.common.errors import ClipError
from ta3n.common.names import printable, shorten
from ta3n.common.video import RgbImage, VideoReader
from ta3n.train.report.data.collect import RunGroup
from ta3n.train.report.data.embed import RunEmbedding, SubsetFeatures
from ta3n.train.report.figures.look import (
    DPI,
    WIDTH_IN,
    Panel,
    Picture,
    draw,
    new_figure,
    picture,
    shown_name,
)
from ta3n.train.report.figures.training import relation_names

_VIDEOS = 3
_GAP = 8
_MOST_FRAMES = 5
_MOST_RELATIONS = 5
# After so many clips that are damaged or not there, the rest will be too.
_MOST_FAILURES = 5


@dataclass(frozen=True, kw_only=True)
class ShownVideo:
    """A target video to show.

    Attributes:
        path: Within the dataset.
        label: Name of its class.
        predicted: Class that most seeds predict.
        agreeing: Share of seeds that predict it, such as `4 of 5 seeds`; empty for one seed.
        attention: Of each relation, the 2-frame one first, mean over seeds [K-1].
        numbers: Frame numbers shown, from 0.
        frames: Pixels of each [H, W, 3].
    """

    path: str
    label: str
    predicted: str
    agreeing: str
    attention: NDArray[np.float32]
    numbers: tuple[int, ...]
    frames: tuple[RgbImage, ...]


def frames_pictures(
    row: RunGroup,
    target: SubsetFeatures,
    runs: Sequence[RunEmbedding],
    videos: Path,
    dataset: str,
) -> list[Picture | str]:
    """Draw the target videos with the highest and the lowest attention, as far as they are there.

    Args:
        row: Whose attention.
        target: Target validation videos.
        runs: What the row's models make of them, with attention.
        videos: Folder with the clips.
        dataset: Full name of the target.
    """
    order = by_attention(runs).tolist()
    panels, failures = [], []
    seen: set[str] = set()
    for which, places in (("highest", order), ("lowest", order[::-1])):
        left = [place for place in places if target.videos[place] not in seen]
        shown, failed = read_videos(left, target, row.classes, runs, videos, dataset)
        failures += failed
        seen |= {video.path for video in shown}
        if shown:
            title = f"Target videos with the {which} attention"
            panels.append(plot_frames(title, shown, f"frames-{which}"))
    found: list[Picture | str] = []
    if failures:
        told = shorten(dict.fromkeys(failures), 2)
        found.append(f"Frames of some target videos, looked for in {videos}: {told}.")
    if panels:
        found.append(picture("frames", *panels, row=row.label))
    return found


def by_attention(runs: Sequence[RunEmbedding]) -> NDArray[np.int64]:
    """Return the target videos [N] from the highest to the lowest peak over the relations.

    Attention is averaged over seeds first, so that no single seed decides.
    """
    peaks = _attention(runs).max(axis=1)
    return np.asarray(np.argsort(-peaks, kind="stable"), np.int64)


def read_videos(
    order: Sequence[int],
    target: SubsetFeatures,
    classes: Sequence[str],
    runs: Sequence[RunEmbedding],
    videos: Path,
    dataset: str,
) -> tuple[list[ShownVideo], list[str]]:
    """Read the first few videos of an order that can be decoded.

    Args:
        order: Places of videos in `target`.
        target: Target validation videos.
        classes: Names by label.
        runs: Of the row's seeds, with attention.
        videos: Folder with the clips.
        dataset: Full name of the target.

    Returns:
        The videos, and what is wrong with those that could not be shown.
    """
    shown: list[ShownVideo] = []
    failures: list[str] = []
    width = int(DPI * WIDTH_IN / _MOST_FRAMES)
    for place in order:
        if len(shown) == _VIDEOS or len(failures) == _MOST_FAILURES:
            break
        numbers = _thinned(target.frames[place])
        name = printable(target.videos[place])
        clip = find_clip(videos, dataset, target.videos[place])
        if clip is None:
            failures.append(f"{name} is not there")
            continue
        try:
            frames = tuple(read_frames(clip, numbers, width))
        except (ClipError, OSError) as error:
            failures.append(f"{name} {error}")
            continue
        shown.append(_described(place, target, classes, runs, numbers, frames))
    return shown, failures


def find_clip(videos: Path, dataset: str, path: str) -> Path | None:
    """Return where a clip lies, or None.

    Args:
        videos: Folder with a folder for each dataset, or the dataset's own.
        dataset: Full name.
        path: As the manifest has it.
    """
    places = (videos / dataset / path, videos / path)
    return next((place for place in places if place.is_file()), None)


def read_frames(path: Path, numbers: Sequence[int], width: int) -> list[RgbImage]:
    """Decode some frames of a clip: K images [H, W, 3].

    Args:
        path: The clip.
        numbers: K frame numbers from 0, in rising order; one may occur several times.
        width: W of the images; H follows.

    Raises:
        ClipError: If the clip cannot be decoded so far.
    """
    found: dict[int, RgbImage] = {}
    with VideoReader(path) as reader:
        for number, frame in enumerate(reader.frames()):
            if number in numbers:
                found[number] = _scaled(frame.rgb(), width)
            if number >= numbers[-1]:
                break
    if numbers[-1] not in found:
        raise ClipError(f"gives no frame {numbers[-1]}")
    return [found[number] for number in numbers]


def _scaled(pixels: RgbImage, width: int) -> RgbImage:
    height = max(1, round(pixels.shape[0] * width / pixels.shape[1]))
    image = Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(image, np.uint8)


def plot_frames(title: str, videos: Sequence[ShownVideo], name: str) -> Panel:
    """Draw the frames of some videos, each with its class, prediction and attention.

    Args:
        title: Of the picture.
        videos: At least one.
        name: Stem of the files.
    """
    strips = [_strip(video.frames) for video in videos]
    shares = [strip.shape[0] / strip.shape[1] for strip in strips]
    height = 0.5 + sum(0.97 * WIDTH_IN * share + 0.6 for share in shares)
    grid = {"nrows": len(videos), "squeeze": False, "height_ratios": shares}
    with new_figure(height, **grid) as (figure, cells):
        for axes, video, strip in zip(cells[:, 0], videos, strips, strict=True):
            # In SVG the pixels are kept as they are, and not scaled down.
            axes.imshow(strip, interpolation="none")
            step = video.frames[0].shape[1] + _GAP
            places = [(number + 0.5) * step for number in range(len(video.frames))]
            axes.set_xticks(places, [f"frame {n}" for n in video.numbers], fontsize=8)
            axes.set_yticks([])
            axes.tick_params(length=0, pad=2)
            axes.grid(visible=False)
            axes.spines[:].set_visible(False)
            about = f"{shown_name(video.label, 24)}, {_judged(video)}"
            axes.set_title(f"{about}\nattention: {_relations(video)}", fontsize=9)
            axes.set_anchor("N")
        return draw(figure, name, title, f"{title}. {' '.join(map(_told, videos))}")


def _strip(frames: Sequence[RgbImage]) -> RgbImage:
    """Return frames [H, W, 3] side by side, with white between them."""
    gap = np.full((frames[0].shape[0], _GAP, 3), 255, np.uint8)
    parts = [part for frame in frames for part in (gap, frame)]
    return np.concatenate(parts[1:], axis=1)


def _described(
    place: int,
    target: SubsetFeatures,
    classes: Sequence[str],
    runs: Sequence[RunEmbedding],
    numbers: tuple[int, ...],
    frames: tuple[RgbImage, ...],
) -> ShownVideo:
    votes = Counter(int(run.target.predicted[place]) for run in runs)
    predicted, count = votes.most_common(1)[0]
    return ShownVideo(
        path=target.videos[place],
        label=classes[int(target.labels[place])],
        predicted=classes[predicted],
        agreeing=f"{count} of {len(runs)} seeds" if len(runs) > 1 else "",
        attention=_attention(runs)[place],
        numbers=numbers,
        frames=frames,
    )


def _attention(runs: Sequence[RunEmbedding]) -> NDArray[np.float32]:
    """Return target attention [N, K-1], mean over seeds, the 2-frame relation first."""
    every = [run.target.attention for run in runs if run.target.attention is not None]
    mean: NDArray[np.float32] = np.mean(every, axis=0)[:, ::-1]
    return mean


def _thinned(numbers: tuple[int, ...]) -> tuple[int, ...]:
    places = np.linspace(0, len(numbers) - 1, min(len(numbers), _MOST_FRAMES)).round().astype(int)
    return tuple(numbers[place] for place in places)


def _judged(video: ShownVideo) -> str:
    seeds = f" ({video.agreeing})" if video.agreeing else ""
    if video.predicted == video.label:
        return f"predicted right{seeds}"
    return f"taken for {shown_name(video.predicted, 24)}{seeds}"


def _relations(video: ShownVideo) -> str:
    names = relation_names(len(video.attention))
    if len(names) > _MOST_RELATIONS:
        peak = int(video.attention.argmax())
        mean = video.attention.mean()
        return f"highest {video.attention[peak]:.3f} ({names[peak]}), mean {mean:.3f}"
    return ", ".join(_pairs(names, video.attention))


def _pairs(names: Sequence[str], values: NDArray[np.float32]) -> Iterator[str]:
    for name, value in zip(names, values, strict=True):
        yield f"{name} {value:.3f}".replace(" 0.", " .")


def _told(video: ShownVideo) -> str:
    return (
        f"{printable(video.path)}: {printable(video.label)}, {_judged(video)}, "
        f"attention {_relations(video)}."
    )
