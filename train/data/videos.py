"""Which videos a run uses: manifests held against the benchmark, everything amiss by name.

Needs no torch: a finished run is recognised, and a bad feature folder refused, in a moment.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from sys import intern
from typing import NamedTuple, Self

from ta3n.common.errors import DataConflictError, DataMissingError, shorten
from ta3n.common.files import canonical_json, sha256_of
from ta3n.common.log import LOGGER
from ta3n.common.records import (
    IMPORTED,
    MANIFEST_NAME,
    USABLE,
    AbsentClip,
    ClipRecord,
    FeatureConfig,
    Manifest,
    PlannedClip,
    read_record,
)
from ta3n.common.sampling import FrameSelection, view_indices
from ta3n.datasets.benchmarks.benchmark import UNLABELLED, Benchmark, BenchmarkRole, Label
from ta3n.datasets.benchmarks.few import worth_of_one
from ta3n.datasets.benchmarks.registry import BUILT_IN_DATASETS
from ta3n.datasets.builtin.epic100 import ImportedDataset
from ta3n.datasets.reading.base import Dataset
from ta3n.datasets.reading.folders import in_words, quoted
from ta3n.train.recipe.recipes import Sampling

_AnyClip = ClipRecord | PlannedClip | AbsentClip


@dataclass(frozen=True, slots=True)
class StoredClip:
    """What a run needs of a clip's record, a tenth of its memory; see `ClipRecord`."""

    path: str
    class_name: str
    video: str | None
    shard: str
    num_frames: int
    start: int
    length: int
    crc32: int

    @classmethod
    def of(cls, record: ClipRecord) -> Self:
        """Return it; names that many clips have are there once."""
        return cls(
            path=record.path,
            class_name=intern(record.class_name),
            video=record.video,
            shard=intern(record.shard),
            num_frames=record.num_frames,
            start=record.start,
            length=record.length,
            crc32=record.crc32,
        )


@dataclass(frozen=True, slots=True)
class Video:
    """A video with features.

    Attributes:
        label: Index of its class in the benchmark, or one for each head; -1 where it is unlabelled.
        rows: Offsets of the K sampled frames among the clip's rows.
        views: Likewise of each set of frames that evaluation looks at, where there are several.
    """

    clip: StoredClip
    label: Label
    rows: tuple[int, ...]
    views: tuple[tuple[int, ...], ...] = ()

    @property
    def is_labelled(self) -> bool:
        """Whether its classes are known."""
        return UNLABELLED not in self.labels

    @property
    def labels(self) -> tuple[int, ...]:
        """The label in each head."""
        return (self.label,) if isinstance(self.label, int) else self.label


@dataclass(frozen=True, kw_only=True)
class DomainVideos:
    """One dataset's part in a run: its feature folder, and the videos of each split by path.

    Attributes:
        config: How the features were made.
        content_hash: Of the manifest.
        train: Videos of the official training split.
        val: Those that a model is tested on: videos of the official test split, or the training
            videos where the benchmark tests on those.
        others: The same videos in the same order, in further streams of features.
    """

    dataset: str
    folder: Path
    config: FeatureConfig
    content_hash: str
    train: tuple[Video, ...]
    val: tuple[Video, ...]
    others: tuple["DomainVideos", ...] = ()

    @property
    def streams(self) -> tuple["DomainVideos", ...]:
        """The videos in each of the streams whose features are joined; mostly in one."""
        return self, *self.others

    @property
    def widths(self) -> tuple[int, ...]:
        """The width of a feature in each stream."""
        return tuple(stream.config.feature_dim for stream in self.streams)

    def videos(self, part: BenchmarkRole) -> tuple[Video, ...]:
        """Return the videos that are trained on, or those that are tested."""
        return self.train if part == "train" else self.val

    def validated_on(self, paths: Set[str]) -> "DomainVideos":
        """Return the same with only the tested videos of these paths, in all streams."""
        kept = tuple(video for video in self.val if video.clip.path in paths)
        if len(kept) == len(self.val):
            return self
        others = tuple(stream.validated_on(paths) for stream in self.others)
        return replace(self, val=kept, others=others)

    @property
    def lists_hash(self) -> str:
        """SHA-256 of which videos are used, with role and label."""
        lists = [[(v.clip.path, v.label) for v in part] for part in (self.train, self.val)]
        return sha256_of(canonical_json(lists))


def load_videos(
    features: Path,
    benchmark: Benchmark,
    dataset: str,
    *,
    num_segments: int,
    allow_missing: bool,
    num_views: int = 1,
    sampling: Sampling = "centre",
) -> DomainVideos:
    """Read a dataset's manifest and list the benchmark's videos.

    Args:
        features: Folder that stage one wrote, with a folder for each dataset.
        benchmark: Gives classes and split.
        dataset: Full name.
        num_segments: K, frames a video.
        allow_missing: Go on where videos of the benchmark have no features.
        num_views: V, sets of frames of a video that evaluation looks at.
        sampling: Whether training draws frames at random.

    Raises:
        DataMissingError: If there is no manifest, or videos are missing and may not be.
        DataConflictError: If the features do not hold the frames that K segments and V views need,
            or are none to draw frames of.
        FeatureStoreError: If the manifest is damaged.
    """
    folder = features / dataset
    manifest = _read_manifest(folder, dataset)
    _report_missing(manifest, benchmark, folder, allow_missing=allow_missing)
    selection = FrameSelection.parse(manifest.config.frames)
    again = _WAYS[manifest.config.profile == IMPORTED]
    if sampling == "random":
        _check_drawable(selection, folder, again)
    parts: dict[BenchmarkRole, list[Video]] = {"train": [], "val": []}
    used: list[ClipRecord] = []
    for clip, role, label in _placed(manifest.clips, benchmark, dataset):
        if isinstance(clip, ClipRecord) and clip.status in USABLE:
            rows = _sampled_rows(clip, selection, num_segments, num_views, folder, again)
            parts[role].append(Video(StoredClip.of(clip), label, *rows))
            used.append(clip)
    _report_doubtful(used, dataset)
    train, val = tuple(parts["train"]), tuple(parts["val"])
    tests_on_train = benchmark.side(dataset).tested == "train"
    return DomainVideos(
        dataset=dataset,
        folder=folder,
        config=manifest.config,
        content_hash=manifest.content_hash,
        train=train,
        val=train if tests_on_train else val,
    )


def class_folders_of(features: Path, dataset: str) -> set[str]:
    """Return the class folders that a dataset has features of.

    Raises:
        DataMissingError: If there is no manifest.
        FeatureStoreError: If it is damaged.
    """
    clips = _read_manifest(features / dataset, dataset).clips
    return {in_words(clip.class_name) for clip in clips if clip.status in USABLE}


def untested_classes(
    side: DomainVideos,
    classes: Sequence[str],
    split: BenchmarkRole = "val",
    *,
    allow_missing: bool,
    wanted: Collection[int] | None = None,
) -> list[str]:
    """Return the classes that no video of a split is of, after saying so.

    Accuracy on the split is then of the other classes alone. Of several heads nothing is said:
    their classes have long tails.

    Args:
        side: The domain that is tested.
        classes: All class names, in order of label.
        split: That accuracy is told on.
        allow_missing: Warn instead of refusing.
        wanted: Labels that there should be; None means all.

    Raises:
        DataMissingError: If there are such classes and may not be.
    """
    videos = side.videos(split)
    if any(not isinstance(video.label, int) for video in videos):
        return []
    labels = {video.label for video in videos}
    named = {n: c for n, c in enumerate(classes) if wanted is None or n in wanted}
    if not labels or not (lacking := [c for n, c in named.items() if n not in labels]):
        return []
    message = (
        f"{side.dataset}: no {_SPLIT_NAMES[split]} videos of {shorten(lacking)} in {side.folder}, "
        f"so that accuracy is of {len(labels)} of {len(named)} classes"
    )
    if not allow_missing:
        raise DataMissingError(f"{message}; --allow-missing goes on with the clips at hand")
    LOGGER.warning(message)
    return lacking


def worth_of_a_video(side: DomainVideos, benchmark: Benchmark, split: BenchmarkRole = "val") -> str:
    """Return in words what one of a split's videos is worth, see `worth_of_one`.

    Empty where no class has few, and with several heads, whose classes have long tails.
    """
    labels = Counter(video.label for video in side.videos(split) if video.is_labelled)
    if len(benchmark.heads) > 1 or not (
        text := worth_of_one({n: labels[i] for i, n in enumerate(benchmark.label_names)})
    ):
        return ""
    return f"{side.dataset} ({benchmark.name}): {text}"


_SPLIT_NAMES: Mapping[BenchmarkRole, str] = {"train": "training", "val": "validation"}


def check_same_features(source: FeatureConfig, target: FeatureConfig) -> None:
    """Refuse a pair of domains whose features were not made alike.

    Raises:
        DataConflictError: If a setting differs, with both values.
    """
    of_a_dataset = {"dataset", "reading"}
    ours = source.model_dump(exclude=of_a_dataset)
    theirs = target.model_dump(exclude=of_a_dataset)
    differences = [
        f"{key} is {ours.get(key) or 'none'} in {source.dataset}, "
        f"{theirs.get(key) or 'none'} in {target.dataset}"
        for key in ours | theirs
        if ours.get(key) != theirs.get(key)
    ]
    if differences:
        raise DataConflictError(
            f"the features of the two domains were made differently: {'; '.join(differences)}; "
            "extract both with the same settings"
        )


def held_out(side: DomainVideos, dataset: Dataset) -> tuple[Video, ...]:
    """Return the source's validation videos that share no recording with its training videos.

    Clips cut from one recording look alike (UCF101's groups, HMDB51's films), so that the accuracy
    on such a clip says how well training clips are remembered. What is left out is logged.
    """

    def recording(video: Video) -> tuple[str, str]:
        clip = video.clip
        return dataset.recording_of(clip.class_name, clip.path, clip.video)

    trained = {recording(video) for video in side.train}
    kept = tuple(video for video in side.val if recording(video) not in trained)
    if dropped := [v.clip.path for v in side.val if recording(v) in trained]:
        LOGGER.info(
            "%s: %d of %d validation videos are not held out, as training videos come from the "
            "same recordings: %s",
            side.dataset,
            len(dropped),
            len(side.val),
            shorten(dropped, 3),
        )
    if not kept:
        LOGGER.info(
            "%s: without held-out videos the rules source_val and dev do not apply", side.dataset
        )
    return kept


def _read_manifest(folder: Path, dataset: str) -> Manifest:
    try:
        manifest = read_record(Manifest, folder / MANIFEST_NAME)
    except DataMissingError as error:
        command = f"ta3n-extract --dataset {dataset} --out {folder.parent}"
        for known in BUILT_IN_DATASETS:
            if known.name == dataset and isinstance(known, ImportedDataset):
                command = known.how
        raise DataMissingError(
            f"no features of {dataset}: no {MANIFEST_NAME} in {folder}; make them with {command}"
        ) from error
    if manifest.config.dataset != dataset:
        raise DataConflictError(
            f"{folder} holds features of {manifest.config.dataset}, not {dataset}"
        )
    return manifest


def _placed(
    clips: Sequence[_AnyClip], benchmark: Benchmark, dataset: str
) -> Iterator[tuple[_AnyClip, BenchmarkRole, Label]]:
    """Yield the clips that the benchmark uses, with role and label."""
    for clip in clips:
        place = benchmark.place_of(dataset, clip.class_name, clip.splits)
        if place is not None:
            yield clip, place.role, place.label


def _report_missing(
    manifest: Manifest, benchmark: Benchmark, folder: Path, *, allow_missing: bool
) -> None:
    """List by kind and name what the benchmark wants and the features lack."""
    dataset = manifest.config.dataset
    failed = tuple(clip for clip in manifest.clips if clip.status not in USABLE)

    def paths(clips: Sequence[_AnyClip]) -> list[str]:
        return [
            f"{clip.path}: {clip.error}" if isinstance(clip, ClipRecord) else clip.path
            for clip, *_ in _placed(clips, benchmark, dataset)
        ]

    kinds = {
        "failed in extraction": paths(failed),
        "not extracted yet": paths(manifest.pending),
        "not on disk": paths(manifest.absent),
        "unknown to the manifest": _unknown(manifest, benchmark),
    }
    found = [f"{len(n)} {kind} ({shorten(n, 3)})" for kind, n in kinds.items() if n]
    if not found:
        return
    message = f"{dataset}: videos of {benchmark.name} are missing in {folder}: {'; '.join(found)}"
    if not allow_missing:
        raise DataMissingError(f"{message}; --allow-missing goes on with the clips at hand")
    LOGGER.warning(message)


def _unknown(manifest: Manifest, benchmark: Benchmark) -> list[str]:
    """Return, class by class, how far the manifest falls short of the complete benchmark."""
    dataset = manifest.config.dataset
    if len(benchmark.heads) > 1:
        return []
    expected = benchmark.side(dataset).expected
    known = Counter(
        (role, label)
        for clips in (manifest.clips, manifest.pending, manifest.absent)
        for _, role, label in _placed(clips, benchmark, dataset)
    )
    roles: tuple[BenchmarkRole, ...] = ("train", "val")
    if expected is None:
        # How many there should be only the lists know; none at all is a class that is not learned.
        labels = benchmark.labels_in(dataset)
        lacking = [label for label in labels if not known["train", label]]
        told = [f"all train videos of {benchmark.label_names[label]}" for label in lacking]
        return told + _lacking_folders(manifest, benchmark)
    return [
        f"{count - known[role, label]} {role} videos of {benchmark.label_names[label]}"
        for label, counts in enumerate(expected)
        for role, count in zip(roles, counts, strict=True)
        if known[role, label] < count
    ]


def _lacking_folders(manifest: Manifest, benchmark: Benchmark) -> list[str]:
    """Return the class folders without a clip, of classes that have others with some."""
    side = benchmark.side(manifest.config.dataset)
    parts: tuple[Sequence[_AnyClip], ...] = (manifest.clips, manifest.pending, manifest.absent)
    known = {in_words(clip.class_name) for clips in parts for clip in clips}
    return [
        f"all videos in {quoted(folder)} of {benchmark.label_names[side.labels[folder]]}"
        for folder in side.folders_lacking(known)
    ]


class _Way(NamedTuple):
    """How to have other frames: with those of K segments, or with all that may be drawn of."""

    of_segments: str
    of_all: str


_WAYS = (
    _Way("extract with --frames segments:{} or all", "extract with --frames all or every:N"),
    _Way("import with --segments {} or --all-rows", "import with --all-rows"),
)
"""Of extracted features, and of imported ones."""


def _check_drawable(selection: FrameSelection, folder: Path, again: _Way) -> None:
    if selection.num_segments is not None or selection.fps is not None:
        raise DataConflictError(
            f"{folder} holds only frames {selection}, and --sampling random draws among all frames "
            f"of a clip or every N-th; {again.of_all}, or leave it out"
        )


_Rows = tuple[int, ...]


def _sampled_rows(
    clip: ClipRecord,
    selection: FrameSelection,
    num_segments: int,
    num_views: int,
    folder: Path,
    again: _Way,
) -> tuple[_Rows, tuple[_Rows, ...]]:
    """Return where the K sampled frames lie among the clip's rows, and those of several views."""
    kept: Sequence[int] = range(clip.length)
    # Which frames were kept by their times depends on when each is shown.
    if selection.fps is None:
        kept = selection.indices(clip.num_frames)
    if len(kept) != clip.length:
        raise DataConflictError(
            f"{folder}: {clip.path} has {clip.length} rows for {clip.num_frames} frames and "
            f"selection {selection}; extract it again"
        )
    frames = kept, selection, clip.num_frames
    try:
        (rows,) = sampled_among(*frames, num_segments)
        if num_views == 1:
            return rows, ()
        return rows, sampled_among(*frames, num_segments, num_views)
    except KeyError as error:
        if num_views > 1:
            raise DataConflictError(
                f"{folder} holds only frames {selection}, and {num_segments} segments in "
                f"{num_views} views need others; {again.of_all}, or leave out --views"
            ) from error
        raise DataConflictError(
            f"{folder} holds only frames {selection}, but {num_segments} segments need others; "
            f"train with --segments {selection.num_segments}, or "
            f"{again.of_segments.format(num_segments)}"
        ) from error


def sampled_among(
    kept: Sequence[int],
    selection: FrameSelection,
    num_frames: int,
    num_segments: int,
    num_views: int = 1,
) -> tuple[_Rows, ...]:
    """Return where the K sampled frames of a clip lie among the kept ones, for each of V views.

    Raises:
        KeyError: If one of them was not kept.
    """
    if selection.is_regular:
        # Frames that were kept at a fixed distance are a clip themselves, which is sampled.
        return tuple(map(tuple, view_indices(len(kept), num_segments, num_views)))
    row_of = {frame: row for row, frame in enumerate(kept)}
    views = view_indices(num_frames, num_segments, num_views)
    return tuple(tuple(row_of[frame] for frame in view) for view in views)


def _report_doubtful(clips: list[ClipRecord], dataset: str) -> None:
    """Log damaged clips that are used, and clips whose features are the same."""
    damaged = [clip.path for clip in clips if clip.status == "partial"]
    if damaged:
        LOGGER.warning("%s: %d damaged clips are used: %s", dataset, len(damaged), shorten(damaged))
    by_content: dict[tuple[int, int], list[str]] = {}
    for clip in clips:
        by_content.setdefault((clip.length, clip.crc32), []).append(clip.path)
    equal = [" = ".join(paths) for paths in by_content.values() if len(paths) > 1]
    if equal:
        LOGGER.warning(
            "%s: %d groups of clips are the same: %s", dataset, len(equal), shorten(equal)
        )
