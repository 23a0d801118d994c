"""Classify new clips with a run that was trained, from the video files on.

Stage one runs as its own command; its manifest and shards are the only link.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from ta3n.common.errors import DataConflictError, DataMissingError, FeatureStoreError, UsageError
from ta3n.common.records import (
    IMPORTED,
    MANIFEST_NAME,
    USABLE,
    ClipRecord,
    ClipStatus,
    Manifest,
    read_record,
)
from ta3n.common.sampling import FrameSelection
from ta3n.datasets.custom.loose import VIDEOS, find_videos, scan_videos
from ta3n.train.data.features import load_features
from ta3n.train.data.videos import Video, sampled_rows
from ta3n.train.inference.loaded import TrainedRun, feature_differences, weights_option
from ta3n.train.inference.stage_one import run_extract

_NO_LABEL = -1


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
        status: How decoding ended, as in the manifest; `ok` and `partial` clips are classified.
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
    show_progress: bool = False,
) -> list[Prediction]:
    """Classify clips: decode, features as the run's, sample, predict. They count as target videos.

    Args:
        run: As loaded.
        videos: Files, or folders of which all videos are taken.
        top_k: How many classes to give, at most all.
        weights: File of the backbone's weights; None takes the run's.
        show_progress: Show the log of stage one on standard error.

    Returns:
        One for each clip in the order given. A clip that is missing or damaged has its status and
        the reason; it keeps no other from being classified.

    Raises:
        UsageError: For a `top_k` below 1.
        DataConflictError: If the run's features were imported.
        WeightsError: If the backbone's weights are not there, or others.
        Ta3nError: If stage one cannot run at all.
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
    there = list(dict.fromkeys(clip.given for clip in clips if clip.file is not None))
    done = _classify(run, there, option, show_progress=show_progress) if there else {}
    return [_prediction(run.classes, clip, done, top_k) for clip in clips]


class _Clip(NamedTuple):
    """A clip to classify: what was given, what it is shown as, its file or why there is none."""

    given: Path
    shown: Path
    file: Path | None
    reason: str = ""


def _clips(given: Sequence[Path]) -> Iterator[_Clip]:
    for path in given:
        try:
            files = find_videos(path)
        except DataMissingError as error:
            yield _Clip(path, path, None, str(error))
            continue
        if path.is_file():
            yield _Clip(path, path, files[0])
            continue
        folder = Path(os.path.realpath(path))
        for file in files:
            yield _Clip(path, path / file.relative_to(folder), file)


class _Classified(NamedTuple):
    """What stage one made of a clip, and the probabilities of all classes if it has features."""

    clip: ClipRecord
    probabilities: Sequence[float]


def _classify(
    run: TrainedRun, videos: Sequence[Path], weights: str, *, show_progress: bool
) -> dict[Path, _Classified]:
    """Return what becomes of each clip, by its absolute path."""
    root = scan_videos(videos).root
    with TemporaryDirectory(prefix="ta3n-") as temporary:
        arguments = _arguments(run, videos, weights, Path(temporary))
        run_extract(arguments, show_progress=show_progress)
        folder = Path(temporary) / VIDEOS
        manifest = read_record(Manifest, folder / MANIFEST_NAME)
        _check_made_alike(run, manifest)
        found = _probabilities(run, folder, manifest)
    return {
        root / clip.path: _Classified(clip, found.get(clip.path, ())) for clip in manifest.clips
    }


def _probabilities(run: TrainedRun, folder: Path, manifest: Manifest) -> dict[str, Sequence[float]]:
    """Return the probabilities of all classes for each clip with features."""
    selection = FrameSelection.parse(manifest.config.frames)
    usable = [
        Video(clip, _NO_LABEL, sampled_rows(clip, selection, run.num_segments, folder))
        for clip in manifest.clips
        if clip.status in USABLE
    ]
    if not usable:
        return {}
    features = load_features(folder, usable, manifest.config.feature_dim)
    rows = run.predict_features(features).tolist()
    return {video.clip.path: row for video, row in zip(usable, rows, strict=True)}


def _prediction(
    classes: Sequence[str], clip: _Clip, done: Mapping[Path, _Classified], top_k: int
) -> Prediction:
    if clip.file is None:
        return Prediction(video=clip.shown, status="failed", reason=clip.reason, top=())
    record, found = done[clip.file]
    order = sorted(range(len(found)), key=lambda label: -found[label])
    return Prediction(
        video=clip.shown,
        status=record.status,
        reason=record.error,
        top=tuple(ClassProbability(classes[n], found[n]) for n in order[:top_k]),
    )


def _arguments(run: TrainedRun, videos: Sequence[Path], weights: str, temporary: Path) -> list[str]:
    """Return the command line that makes features as the run's."""
    made = run.features
    # A settings file of its own: what lies in the present folder is not the run's.
    (temporary / "settings.toml").touch()
    named = [word for video in videos for word in ("--videos", str(video.absolute()))]
    return [
        *named,
        "--config", str(temporary / "settings.toml"),
        "--out", str(temporary),
        "--backbone", made.backbone,
        "--weights", weights,
        "--profile", made.profile,
        "--frames", _frames(run),
        "--timing", made.timing,
        "--device", str(run.device),
    ]  # fmt: skip


def _frames(run: TrainedRun) -> str:
    """Return which frames of a clip the run needs: of all frames only those sampled."""
    frames = run.features.frames
    return frames if FrameSelection.parse(frames).is_regular else f"segments:{run.num_segments}"


def _check_made_alike(run: TrainedRun, manifest: Manifest) -> None:
    """Refuse what this version makes otherwise, and clips that no shard holds."""
    if differences := feature_differences(run, manifest):
        raise DataConflictError(
            f"this version does not make the run's features: {'; '.join(differences)}"
        )
    if not manifest.complete:
        raise FeatureStoreError(f"stage one left {len(manifest.pending)} clips undone")
