"""Several feature folders of one dataset, joined clip by clip and moment by moment. No torch here.

Legend: K segments, V views.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ta3n.common.errors import DataConflictError, DataMissingError, UsageError, shorten
from ta3n.common.log import LOGGER
from ta3n.common.sampling import FrameSelection, view_indices
from ta3n.datasets.benchmarks.benchmark import Benchmark, BenchmarkRole
from ta3n.train.data.videos import DomainVideos, Video, load_videos
from ta3n.train.recipe.recipes import Sampling

MOST_LACKING = 15
"""Frames by which a stream may be shorter: optical flow has one less, 16-frame windows 15."""

_NAMED = 3


def load_streams(
    features: Path | Sequence[Path],
    benchmark: Benchmark,
    dataset: str,
    *,
    num_segments: int,
    allow_missing: bool,
    num_views: int = 1,
    sampling: Sampling = "centre",
) -> DomainVideos:
    """Read a dataset's videos from one folder or several, see `load_videos`.

    Args:
        features: Folders that stage one wrote, each with a folder for each dataset.

    Returns:
        The videos of the first folder that all have, with those of the others beside them.

    Raises:
        As `load_videos`; and UsageError: If a folder is given twice.
        DataMissingError: If a stream lacks clips that another has, and may not.
        DataConflictError: If streams have other moments or other labels of a clip.
    """
    folders = [features] if isinstance(features, Path) else list(features)
    if twice := [folder for n, folder in enumerate(folders) if folder in folders[:n]]:
        raise UsageError(f"--features {twice[0]} is given twice; each folder is a stream")
    sides = [
        load_videos(
            folder,
            benchmark,
            dataset,
            num_segments=num_segments,
            allow_missing=allow_missing,
            num_views=num_views,
            sampling=sampling,
        )
        for folder in folders
    ]
    if len(sides) == 1:
        return sides[0]
    _check_selections(sides, sampling)
    _report_lacking(sides, allow_missing=allow_missing)
    shape = num_segments, num_views
    train = _joined(sides, "train", shape)
    val = train if sides[0].val is sides[0].train else _joined(sides, "val", shape)
    first, *others = (
        replace(side, train=train[place], val=val[place]) for place, side in enumerate(sides)
    )
    return replace(first, others=tuple(others))


def _check_selections(sides: Sequence[DomainVideos], sampling: Sampling) -> None:
    """Refuse frames that are numbered in other ways, or cannot be drawn together."""
    first, *others = [side.config for side in sides]
    for side, config in zip(sides[1:], others, strict=True):
        where = f"{sides[0].folder} holds {{}}, {side.folder} {{}}"
        if config.timing != first.timing:
            told = where.format(f"frames counted by {first.timing}", config.timing)
            raise DataConflictError(f"{told}: streams count alike; extract one of them again")
        if config.frames == first.frames:
            continue
        told = where.format(f"frames {first.frames}", config.frames)
        if sampling == "random":
            raise DataConflictError(
                f"{told}: frames are drawn of streams that hold the same; extract one of them again"
            )
        if "fps" in config.frames + first.frames:
            raise DataConflictError(
                f"{told}: which moments those are cannot be told; extract one of them again"
            )


def _report_lacking(sides: Sequence[DomainVideos], *, allow_missing: bool) -> None:
    for part in ("train", "val"):
        known = [{video.clip.path for video in side.videos(part)} for side in sides]
        for side, paths in zip(sides, known, strict=True):
            lacking = sorted(set().union(*known) - paths)
            if not lacking:
                continue
            message = (
                f"{side.dataset}: {side.folder} lacks {len(lacking)} {part} clips that another "
                f"stream has: {shorten(lacking, _NAMED)}"
            )
            if not allow_missing:
                raise DataMissingError(f"{message}; --allow-missing leaves them out")
            LOGGER.warning("%s; they are left out", message)


def _joined(
    sides: Sequence[DomainVideos], part: BenchmarkRole, shape: tuple[int, int]
) -> list[tuple[Video, ...]]:
    """Return the videos that all streams have, stream by stream, in the order of the first."""
    known = [{video.clip.path: video for video in side.videos(part)} for side in sides]
    paths = [path for path in known[0] if all(path in videos for videos in known)]
    selections = [FrameSelection.parse(side.config.frames) for side in sides]
    joined, shorter, apart = [], [], []
    for path in paths:
        videos = [each[path] for each in known]
        if len({video.label for video in videos}) > 1:
            raise DataConflictError(
                f"{path} has another class in {sides[0].folder} than in another stream; extract "
                "one of them again"
            )
        aligned = _aligned(videos, selections, shape)
        if aligned is None:
            apart.append(path)
            continue
        shorter += [path] if aligned != videos else []
        joined.append(aligned)
    folders = " and ".join(str(side.folder) for side in sides)
    if apart:
        raise DataConflictError(
            f"{folders} hold other moments of {len(apart)} clips ({shorten(apart, _NAMED)}); "
            "streams are joined where their frames are the same: extract one of them again"
        )
    if shorter:
        LOGGER.info(
            "%s: %d clips have up to %d frames less in one stream, and end with the shortest: %s",
            *(folders, len(shorter), MOST_LACKING, shorten(shorter, _NAMED)),
        )
    return [tuple(videos[place] for videos in joined) for place in range(len(sides))]


def _aligned(
    videos: list[Video], selections: Sequence[FrameSelection], shape: tuple[int, int]
) -> list[Video] | None:
    """Return a clip's videos such that their rows are of the same moments; None if there are none.

    A clip that is a little shorter in one stream ends there in all of them.
    """
    first = selections[0]
    if all(selection == first for selection in selections):
        lengths = [video.clip.length for video in videos]
        if len(set(lengths)) == 1:
            # Frames of segments depend on how many there were.
            counts = {video.clip.num_frames for video in videos}
            return videos if first.num_segments is None or len(counts) == 1 else None
        if first.num_segments is not None or max(lengths) - min(lengths) > MOST_LACKING:
            return None
        rows, *views = map(tuple, view_indices(min(lengths), shape[0], 1))
        if shape[1] > 1:
            views = [tuple(view) for view in view_indices(min(lengths), *shape)]
        return [replace(video, rows=rows, views=tuple(views)) for video in videos]
    pairs = zip(videos, selections, strict=True)
    moments = {_moments(video, selection) for video, selection in pairs}
    return videos if len(moments) == 1 else None


def _moments(video: Video, selection: FrameSelection) -> tuple[tuple[int, ...], ...]:
    """Return the numbers of the frames that are sampled, at the centres and of all views."""
    kept = selection.indices(video.clip.num_frames)
    return tuple(tuple(kept[row] for row in rows) for rows in (video.rows, *video.views))
