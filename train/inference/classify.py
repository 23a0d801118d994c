"""Classify new clips with a run that was trained, from the video files on.

Shapes: F kept frames of a clip, K segments, D cached feature width.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ta3n.common.errors import DataConflictError, DataMissingError, UsageError
from ta3n.common.records import IMPORTED, USABLE, ClipStatus
from ta3n.common.sampling import FrameSelection, segment_indices
from ta3n.datasets.custom.loose import find_videos
from ta3n.train.inference.trained import TrainedRun, feature_differences, weights_option

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ta3n.extract import ClipFeatures


class ClassProbability(NamedTuple):
    """A class and how likely a model takes it to be.

    Attributes:
        name: Of the class.
        probability: Between 0 and 1.
    """

    name: str
    probability: float


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a run makes of one clip.

    Attributes:
        video: The clip, as it was given.
        status: How decoding ended, as in a manifest; `ok` and `partial` clips are classified.
        reason: Why the status is not `ok`, or empty.
        top: The most likely classes, the likeliest first; empty where there are no features.
    """

    video: Path
    status: ClipStatus
    reason: str
    top: tuple[ClassProbability, ...]


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
        DataConflictError: If the run's features were imported, or are made otherwise by now.
        WeightsError: If the backbone's weights are not there, or others.
        Ta3nError: If no features can be made at all.
    """
    if top_k < 1:
        raise UsageError(f"top_k is {top_k}; it must be 1 or above")
    if run.features.profile == IMPORTED:
        raise DataConflictError(
            f"{run.path} was trained on imported features ({run.features.backbone}): how clips "
            "become such features is not known here; evaluate it with --target"
        )
    given = [Path(video) for video in ([videos] if isinstance(videos, str | Path) else videos)]
    option = weights_option(run, run.weights if weights is None else Path(weights))
    clips = list(_clips(given))
    files = [clip.file for clip in clips if clip.file is not None]
    done = _classify(run, files, option) if files else {}
    return [_prediction(run.classes, clip, done, top_k) for clip in clips]


class _Clip(NamedTuple):
    """A clip to classify: what it is shown as, its file or why there is none."""

    shown: Path
    file: Path | None
    reason: str = ""


def _clips(given: Sequence[Path]) -> Iterator[_Clip]:
    for path in given:
        try:
            files = find_videos(path)
        except DataMissingError as error:
            yield _Clip(path, None, str(error))
            continue
        if path.is_file():
            yield _Clip(path, files[0])
            continue
        folder = Path(os.path.realpath(path))
        for file in files:
            yield _Clip(path / file.relative_to(folder), file)


class _Classified(NamedTuple):
    """The features of a clip, and the probabilities of all classes if there are any."""

    clip: "ClipFeatures"
    probabilities: Sequence[float]


def _classify(run: TrainedRun, files: Sequence[Path], weights: str) -> dict[str, _Classified]:
    """Return what becomes of each clip, by its absolute path."""
    from ta3n.extract import extract_features

    made = run.features
    # Of all frames only those that are sampled.
    sampled = f"segments:{run.num_segments}"
    options: dict[str, Any] = {
        "backbone": made.backbone,
        "weights": weights,
        "profile": made.profile,
        "frames": made.frames if FrameSelection.parse(made.frames).is_regular else sampled,
        "timing": made.timing,
        "device": str(run.device),
    }
    clips = extract_features(files, **options)
    if differences := feature_differences(run, next(iter(clips.values())).config):
        raise DataConflictError(
            f"this version does not make the run's features: {'; '.join(differences)}"
        )
    usable = [path for path, clip in clips.items() if clip.status in USABLE]
    probabilities: dict[str, Sequence[float]] = {}
    if usable:
        features = np.stack([_sampled(clips[path], run.num_segments) for path in usable])
        rows = run.predict_features(features).tolist()
        probabilities = dict(zip(usable, rows, strict=True))
    return {path: _Classified(clip, probabilities.get(path, ())) for path, clip in clips.items()}


def _sampled(clip: "ClipFeatures", num_segments: int) -> "NDArray[np.float32]":
    """Return the rows of the sampled frames, [K, D] of [F, D]."""
    if FrameSelection.parse(clip.config.frames).is_regular:
        # Frames that were kept at a fixed distance are a clip themselves, which is sampled.
        return clip.features[segment_indices(len(clip.features), num_segments)]
    frames = segment_indices(clip.num_frames, num_segments)
    return clip.features[np.searchsorted(clip.frame_numbers, frames)]


def _prediction(
    classes: Sequence[str], clip: _Clip, done: Mapping[str, _Classified], top_k: int
) -> Prediction:
    if clip.file is None:
        return Prediction(video=clip.shown, status="failed", reason=clip.reason, top=())
    features, found = done[str(clip.file)]
    order = sorted(range(len(found)), key=lambda label: -found[label])
    return Prediction(
        video=clip.shown,
        status=features.status,
        reason=features.reason,
        top=tuple(ClassProbability(classes[n], found[n]) for n in order[:top_k]),
    )
