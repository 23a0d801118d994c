"""Classify new clips with a run that was trained, from the video files on.

Shapes: F kept frames of a clip, K segments, D cached feature width.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from ta3n.common.errors import DataConflictError, DataMissingError, UsageError
from ta3n.common.records import IMPORTED, PYTHON_PREFIX, USABLE, ClipStatus
from ta3n.common.sampling import FrameSelection
from ta3n.datasets.custom.loose import find_videos
from ta3n.train.data.videos import sampled_among
from ta3n.train.inference.trained import TrainedRun, weights_options
from ta3n.train.methods.heads import columns_of
from ta3n.train.runs.records import feature_differences

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ta3n.extract import ClipFeatures


class ClassProbability(NamedTuple):
    """A class and how likely a model takes it to be, between 0 and 1."""

    name: str
    probability: float


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a run makes of one clip.

    Attributes:
        video: The clip, as it was given.
        status: How decoding ended, as in a manifest; `ok` and `partial` clips are classified.
        reason: Why the status is not `ok`, or empty.
        top: The most likely classes, the likeliest first, with several heads those of each; empty
            where there are no features.
        is_unknown: Whether a run of an open set tells the clip to be of no class that it knows.
    """

    video: Path
    status: ClipStatus
    reason: str
    top: tuple[ClassProbability, ...]
    is_unknown: bool = False


def predict(
    run: TrainedRun,
    videos: str | Path | Sequence[str | Path],
    *,
    top_k: int = 5,
    weights: str | Path | None = None,
) -> list[Prediction]:
    """Classify clips: decode, features as the run's, sample, predict. They count as target videos.

    All happens in this process, and the backbone stays loaded for the next call. A damaged clip has
    its status and the reason and keeps no other from being classified, but one that crashes the
    decoder takes this process with it, see `ta3n.extract.extract_features`.

    Args:
        run: As loaded.
        videos: Files, or folders of which all videos are taken.
        top_k: How many classes to give, at most all.
        weights: File of the backbone's weights; None takes the run's.

    Returns:
        One for each clip in the order given, also for one that is missing.

    Raises:
        UsageError: For a `top_k` below 1.
        DataConflictError: If the run's features were imported, made by a network of the user's own,
            or are made otherwise by now.
        WeightsError: If the backbone's weights are not there, or others.
        Ta3nError: If no features can be made at all.
    """
    if top_k < 1:
        raise UsageError(f"top_k is {top_k}; it must be 1 or above")
    if imported := [made.backbone for made in run.streams if made.profile == IMPORTED]:
        raise DataConflictError(
            f"{run.path} was trained on imported features ({imported[0]}): how clips "
            "become such features is not known here; evaluate it with --target"
        )
    if run.features.backbone.startswith(PYTHON_PREFIX):
        # What a record names is never executed by itself.
        raise DataConflictError(
            f"the features of {run.path} are of a network of your own, {run.features.backbone}: "
            "take those of the clips with ta3n.extract.extract_features, then predict_features"
        )
    given = [Path(video) for video in ([videos] if isinstance(videos, str | Path) else videos)]
    chosen = weights_options(run, run.weights if weights is None else Path(weights))
    clips = list(_clips(given))
    files = [found for _, found in clips if isinstance(found, Path)]
    done = _classify(run, files, chosen, top_k) if files else {}
    return [
        replace(done[str(found)], video=shown)
        if isinstance(found, Path)
        else Prediction(video=shown, status="failed", reason=found, top=())
        for shown, found in clips
    ]


def _clips(given: Sequence[Path]) -> Iterator[tuple[Path, Path | str]]:
    """Yield what each clip is shown as, with its file or the reason why there is none."""
    for path in given:
        try:
            files = find_videos(path)
        except DataMissingError as error:
            yield path, str(error)
            continue
        folder = Path(os.path.realpath(path))
        for file in files:
            yield (path if path.is_file() else path / file.relative_to(folder)), file


def _classify(
    run: TrainedRun, files: Sequence[Path], weights: Sequence[str], top_k: int
) -> dict[str, Prediction]:
    """Return what becomes of each clip, by its absolute path.

    Args:
        weights: Of the backbone of each stream.
    """
    streams = [_extract(run, files, option, n) for n, option in enumerate(weights)]
    clips = streams[0]
    # A clip is decoded alike for every stream.
    usable = [path for path in clips if all(each[path].status in USABLE for each in streams)]
    top: dict[str, tuple[ClassProbability, ...]] = {}
    unknown: dict[str, bool] = {}
    if usable:
        sampled = [[_sampled(each[path], run) for path in usable] for each in streams]
        features = np.concatenate([np.stack(rows) for rows in sampled], axis=-1)
        probabilities = run.predict_features(features)
        for path, row in zip(usable, probabilities.tolist(), strict=True):
            top[path] = tuple(_likeliest(run, row, top_k))
        if run.rejection is not None:
            rejected = run.rejection.rejects(torch.from_numpy(probabilities)).tolist()
            unknown = dict(zip(usable, rejected, strict=True))
    return {
        path: Prediction(
            video=Path(path),
            status=clip.status,
            reason=clip.reason,
            top=top.get(path, ()),
            is_unknown=unknown.get(path, False),
        )
        for path, clip in clips.items()
    }


def _extract(
    run: TrainedRun, files: Sequence[Path], weights: str, stream: int
) -> "dict[str, ClipFeatures]":
    """Return the features of clips in a stream of the run's, by their absolute paths."""
    from ta3n.extract import extract_features

    made = run.streams[stream]
    # Of all frames only those that are sampled.
    sampled = f"segments:{run.num_segments}" if run.num_views == 1 else "all"
    options: dict[str, Any] = {
        "backbone": made.backbone,
        "weights": weights,
        "profile": made.profile,
        "frames": made.frames if FrameSelection.parse(made.frames).is_regular else sampled,
        "timing": made.timing,
        "device": str(run.device),
    }
    if made.window:
        options |= {
            "window": made.window, "window_step": made.window_step, "window_pad": made.window_pad,
        }  # fmt: skip
    clips = extract_features(files, **options)
    first = next(iter(clips.values()))
    if differences := feature_differences(run.config, first.config, stream):
        raise DataConflictError(
            f"this version does not make the run's features: {'; '.join(differences)}"
        )
    return clips


def _likeliest(
    run: TrainedRun, probabilities: Sequence[float], top_k: int
) -> Iterator[ClassProbability]:
    """Yield the likeliest classes, with several heads those of one after another."""
    named = list(zip(run.classes, probabilities, strict=True))
    for columns in columns_of(run.heads).values() or (slice(None),):
        ranked = sorted(named[columns], key=lambda each: -each[1])
        yield from (ClassProbability(*each) for each in ranked[:top_k])


def _sampled(clip: "ClipFeatures", run: TrainedRun) -> "NDArray[np.float32]":
    """Return the rows of the sampled frames of each view, [V, K, D] of [F, D]."""
    selection = FrameSelection.parse(clip.config.frames)
    kept = clip.frame_numbers.tolist()
    frames = kept, selection, clip.num_frames
    views = sampled_among(*frames, run.num_segments, run.num_views)
    return np.stack([clip.features[list(rows)] for rows in views])
