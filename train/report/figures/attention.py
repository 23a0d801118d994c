"""Domain attention: by part, such as a relation, and class; videos with the highest and lowest.

Legend: N videos, K segments, P parts, C classes, H height, W width in pixels.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray
from PIL import Image

from ta3n.common.errors import ClipError, printable, shorten
from ta3n.common.video import RgbImage, VideoReader
from ta3n.train.encoders.registry import part_names
from ta3n.train.report.data.collect import RunGroup
from ta3n.train.report.data.embed import RunEmbedding, SubsetEmbedding, SubsetFeatures
from ta3n.train.report.figures.look import (
    DPI,
    REFERENCE,
    SOURCE,
    TARGET,
    WIDTH_IN,
    Data,
    Panel,
    Picture,
    draw,
    draw_scale,
    evenly,
    legend_below,
    new_figure,
    picture,
    shown_name,
    write_in_cell,
)
from ta3n.train.report.figures.training import ALIKE, LEAST_ATTENTION, part_of

Side = Literal["source", "target"]

_MOST_CLASSES = 24
_MOST_LYING_NAMES = 6
# Attention goes up to 1: a narrower scale would make noise look like a finding.
_LEAST_TOP = 0.4
_SIDES: tuple[tuple[Side, dict[str, str], float], ...] = (
    ("source", SOURCE, -0.13),
    ("target", TARGET, 0.13),
)

_VIDEOS = 3
_GAP = 8
_MOST_FRAMES = 5
_MOST_PARTS = 5
# After so many clips that are damaged or not there, the rest will be too.
_MOST_FAILURES = 5


def attention_picture(row: RunGroup, runs: Sequence[RunEmbedding], source: str) -> Picture:
    """Draw domain attention by part, and by class where there are not too many.

    `source` says in words which source videos are shown.
    """
    panels, more = [_plot_attention(row, runs)], ["caption"]
    if len(row.classes) <= _MOST_CLASSES:
        panels.append(_plot_class_attention(row, runs))
        more.append("by_class")
    return picture(
        "attention", *panels, more=more, part=_part(row), method=row.method, source=source
    )


def _part(row: RunGroup) -> str:
    part = part_of(row)
    return "n-frame relation" if part == "relation" else part


def _plot_attention(row: RunGroup, runs: Sequence[RunEmbedding]) -> Panel:
    with new_figure(3.9) as (figure, axes):
        means = [
            _draw_side(axes, _by_seed(runs, side), side, look, offset)
            for side, look, offset in _SIDES
        ]
        names = part_names(part_of(row), len(means[0]))
        _name_parts(axes, names, narrow=False)
        axes.axhline(LEAST_ATTENTION, label=ALIKE, **REFERENCE)
        axes.set(xlabel=part_of(row), ylabel="domain attention w (no unit)")
        axes.grid(visible=False, axis="x")
        axes.set_xlim(-0.5, len(names) - 0.5)
        high = axes.get_ylim()[1]
        axes.set_ylim(LEAST_ATTENTION - 0.02, min(1.02, max(high, _LEAST_TOP)))
        legend_below(figure, axes)
        parts = [
            f"{name}: source {source:.2f}, target {target:.2f}"
            for name, source, target in zip(names, *means, strict=True)
        ]
        alt = f"Mean domain attention of {row.method} by {part_of(row)}. {'; '.join(parts)}."
        title = f"Domain attention of {row.method}"
        return draw(figure, "attention", title, alt, _attention_data(row, runs))


def _attention_data(row: RunGroup, runs: Sequence[RunEmbedding]) -> Data:
    """Return what `_plot_attention` draws: a line for each part, all seeds together and each."""
    shares = (5, 25, 75, 95)
    lines: list[tuple[object, ...]] = []
    for side, *_ in _SIDES:
        having = [run for run in runs if getattr(run, side).attention is not None]
        of_seeds = _by_seed(having, side)
        every = np.concatenate(of_seeds)  # [seeds N, P]
        names = part_names(part_of(row), every.shape[1])
        spread = np.percentile(every, shares, axis=0).T  # [P, 4]
        for n, name in enumerate(names):
            lines.append((name, side, "all", float(every[:, n].mean()), *spread[n].tolist()))
            lines += [
                (name, side, run.seed, float(attention[:, n].mean()), *[""] * len(shares))
                for run, attention in zip(having, of_seeds, strict=True)
            ]
    columns = ("domain", "seed", "mean_attention", *(f"percentile_{share}" for share in shares))
    return (part_of(row), *columns), lines


def _draw_side(
    axes: Axes, attention: Sequence[NDArray[np.float32]], side: str, look: Any, offset: float
) -> NDArray[np.float32]:
    """Draw attention [N, P] of each seed, and return the mean [P] over seeds and videos."""
    every = np.concatenate(attention)  # [seeds N, P]
    mean: NDArray[np.float32] = every.mean(axis=0)
    places = np.arange(every.shape[1]) + offset
    lowest, low, high, highest = np.percentile(every, [5, 25, 75, 95], axis=0)
    axes.vlines(places, lowest, highest, color=look["color"], linewidth=1.2, alpha=0.6)
    axes.vlines(places, low, high, color=look["color"], linewidth=6, alpha=0.3)
    seeds = {"linestyle": "none", "marker": "_", "markersize": 8, "color": look["color"]}
    for seed in attention:
        axes.plot(places + 0.8 * offset, seed.mean(axis=0), **seeds)
    means = {"linestyle": "none", "markersize": 8, "markeredgecolor": "white", **look}
    axes.plot(places, mean, label=f"{side}, mean", **means)
    return mean


def _plot_class_attention(row: RunGroup, runs: Sequence[RunEmbedding]) -> Panel:
    classes = row.classes
    tables = {side: _by_class(runs, side, len(classes)) for side, *_ in _SIDES}
    known = np.concatenate([table[~np.isnan(table)] for table in tables.values()])
    limits = {"vmin": LEAST_ATTENTION, "vmax": max(float(known.max()), _LEAST_TOP)}
    with new_figure(1.6 + 0.26 * len(classes), ncols=2, sharey=True) as (figure, both):
        for axes, (side, table) in zip(both, tables.items(), strict=True):
            image = axes.imshow(table, cmap="cividis", aspect="auto", **limits)
            axes.set_title(side)
            _name_parts(axes, part_names(part_of(row), table.shape[1]), narrow=True)
            axes.grid(visible=False)
            axes.tick_params(length=0)
            for (label, part), value in np.ndenumerate(table):
                if not np.isnan(value):
                    colour = "white" if value < sum(limits.values()) / 2 else "black"
                    write_in_cell(axes, part, label, f"{value:.2f}".lstrip("0"), colour)
        both[0].set_yticks(range(len(classes)), [shown_name(name) for name in classes], fontsize=9)
        figure.supxlabel(part_of(row), fontsize=10)
        draw_scale(figure, image, both, "mean attention w (no unit)", aspect=30)
        alt = f"Heat map of mean domain attention by class and {part_of(row)}, from "
        alt += f"{known.min():.2f} to {known.max():.2f}, source beside target."
        title = f"Domain attention of {row.method} by class"
        names = part_names(part_of(row), next(iter(tables.values())).shape[1])
        columns = ("class", "domain", part_of(row), "mean_attention")
        data = (
            (classes[label], side, names[part], float(value))
            for side, table in tables.items()
            for (label, part), value in np.ndenumerate(table)
        )
        return draw(figure, "attention-by-class", title, alt, (columns, data))


def _by_seed(runs: Sequence[RunEmbedding], side: Side) -> list[NDArray[np.float32]]:
    """Return the attention [N, P] of every seed that has any, the last part first."""
    parts: list[SubsetEmbedding] = [getattr(run, side) for run in runs]
    return [part.attention[:, ::-1] for part in parts if part.attention is not None]


def _by_class(runs: Sequence[RunEmbedding], side: Side, num_classes: int) -> NDArray[np.float64]:
    """Return mean attention [C, P] over seeds and videos; NaN for a class without videos."""
    attention = np.concatenate(_by_seed(runs, side))
    labels = np.concatenate([getattr(run, side).labels for run in runs])
    table = np.full((num_classes, attention.shape[1]), np.nan)
    for label in np.unique(labels):
        table[label] = attention[labels == label].mean(axis=0)
    return table


def _name_parts(axes: Axes, names: Sequence[str], *, narrow: bool) -> None:
    upright = narrow or len(names) > _MOST_LYING_NAMES
    axes.set_xticks(range(len(names)), names, fontsize=9)
    axes.tick_params(axis="x", labelrotation=90 if upright else 0)


@dataclass(frozen=True, kw_only=True)
class ShownVideo:
    """A target video to show, with the class that most seeds predict.

    Attributes:
        agreeing: Share of seeds that predict it, such as `4 of 5 seeds`; empty for one seed.
        attention: Of each part, the last (such as the 2-frame relation) first, mean over seeds [P].
        numbers: Frame numbers shown, from 0.
        frames: Pixels of each [H, W, 3].
        part: What a part is called.
    """

    path: str
    label: str
    predicted: str
    agreeing: str
    attention: NDArray[np.float32]
    numbers: tuple[int, ...]
    frames: tuple[RgbImage, ...]
    part: str = "relation"


def frames_pictures(
    row: RunGroup,
    target: SubsetFeatures,
    runs: Sequence[RunEmbedding],
    videos: Path,
    dataset: str,
) -> Iterator[Picture | str]:
    """Draw the target videos with the highest and the lowest attention, as far as they are there.

    `videos` holds the clips of the `dataset`, or a folder for each dataset.
    """
    order = by_attention(runs).tolist()
    panels, failures = [], []
    seen: set[str] = set()
    for which, places in (("highest", order), ("lowest", order[::-1])):
        left = [place for place in places if target.videos[place] not in seen]
        shown, failed = read_videos(
            left, target, row.classes, runs, videos, dataset, part=part_of(row)
        )
        failures += failed
        seen |= {video.path for video in shown}
        if shown:
            title = f"Target videos with the {which} attention"
            panels.append(plot_frames(title, shown, f"frames-{which}"))
    if failures:
        told = shorten(dict.fromkeys(failures), 2)
        yield f"Frames of some target videos, looked for in {videos}: {told}."
    if panels:
        yield picture("frames", *panels, row=row.label, part=part_of(row))


def by_attention(runs: Sequence[RunEmbedding]) -> NDArray[np.int64]:
    """Return the target videos [N] from the highest to the lowest peak over the parts.

    Attention is averaged over seeds first, so that no single seed decides.
    """
    peaks = _mean_attention(runs).max(axis=1)
    return np.asarray(np.argsort(-peaks, kind="stable"), np.int64)


def read_videos(
    order: Sequence[int],
    target: SubsetFeatures,
    classes: Sequence[str],
    runs: Sequence[RunEmbedding],
    videos: Path,
    dataset: str,
    *,
    part: str = "relation",
) -> tuple[list[ShownVideo], list[str]]:
    """Read the first few videos that can be decoded, in the `order` of places in `target`.

    What is wrong with those that could not be shown comes beside them.
    """
    shown: list[ShownVideo] = []
    failures: list[str] = []
    width = int(DPI * WIDTH_IN / _MOST_FRAMES)
    attention = _mean_attention(runs)
    for place in order:
        if len(shown) == _VIDEOS or len(failures) == _MOST_FAILURES:
            break
        sampled = target.frames[place]
        numbers = tuple(sampled[n] for n in evenly(len(sampled), _MOST_FRAMES))
        try:
            if (clip := find_clip(videos, dataset, target.videos[place])) is None:
                raise ClipError("is not there")
            frames = tuple(read_frames(clip, numbers, width))
        except (ClipError, OSError) as error:
            failures.append(f"{printable(target.videos[place])} {error}")
            continue
        votes = Counter(int(run.target.predicted[place]) for run in runs)
        predicted, count = votes.most_common(1)[0]
        shown.append(
            ShownVideo(
                path=target.videos[place],
                label=classes[int(target.labels[place])],
                predicted=classes[predicted],
                agreeing=f"{count} of {len(runs)} seeds" if len(runs) > 1 else "",
                attention=attention[place],
                numbers=numbers,
                frames=frames,
                part=part,
            )
        )
    return shown, failures


def find_clip(videos: Path, dataset: str, path: str) -> Path | None:
    """Return where a clip lies in a folder with a folder for each dataset, or the dataset's own."""
    return next(filter(Path.is_file, (videos / dataset / path, videos / path)), None)


def read_frames(path: Path, numbers: Sequence[int], width: int) -> list[RgbImage]:
    """Decode some frames of a clip, scaled to a width W: K images [H, W, 3].

    Of the K frame numbers, which count from 0 and rise, one may occur several times.

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
    """Draw the frames of some videos, each with its class, prediction and attention."""
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
            axes.set_title(f"{about}\nattention: {_parts(video)}", fontsize=9)
            axes.set_anchor("N")
        alt = f"{title}. {' '.join(map(_told, videos))}"
        part = videos[0].part if videos else "part"
        columns = ("video", "class", "predicted", "agreeing", "frames", part, "attention")
        data = (
            (
                v.path,
                v.label,
                v.predicted,
                v.agreeing,
                " ".join(map(str, v.numbers)),
                name,
                float(w),
            )
            for v in videos
            for name, w in zip(part_names(v.part, len(v.attention)), v.attention, strict=True)
        )
        return draw(figure, name, title, alt, (columns, data))


def _strip(frames: Sequence[RgbImage]) -> RgbImage:
    """Return frames [H, W, 3] side by side, with white between them."""
    gap = np.full((frames[0].shape[0], _GAP, 3), 255, np.uint8)
    parts = [part for frame in frames for part in (gap, frame)]
    return np.concatenate(parts[1:], axis=1)


def _mean_attention(runs: Sequence[RunEmbedding]) -> NDArray[np.float32]:
    """Return target attention [N, P], mean over seeds."""
    mean: NDArray[np.float32] = np.mean(_by_seed(runs, "target"), axis=0)
    return mean


def _judged(video: ShownVideo) -> str:
    seeds = f" ({video.agreeing})" if video.agreeing else ""
    if video.predicted == video.label:
        return f"predicted right{seeds}"
    return f"taken for {shown_name(video.predicted, 24)}{seeds}"


def _parts(video: ShownVideo) -> str:
    names = part_names(video.part, len(video.attention))
    if len(names) > _MOST_PARTS:
        peak = int(video.attention.argmax())
        mean = video.attention.mean()
        return f"highest {video.attention[peak]:.3f} ({names[peak]}), mean {mean:.3f}"
    pairs = zip(names, video.attention, strict=True)
    return ", ".join(f"{name} {value:.3f}".replace(" 0.", " .") for name, value in pairs)


def _told(video: ShownVideo) -> str:
    return (
        f"{printable(video.path)}: {printable(video.label)}, {_judged(video)}, "
        f"attention {_parts(video)}."
    )
