"""Features made elsewhere, as a feature folder that training takes like its own."""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import TypeAlias, TypeVar

import numpy as np

from ta3n.common.errors import (
    ClipError,
    DataConflictError,
    DataMissingError,
    UsageError,
    printable,
    shorten,
)
from ta3n.common.files import expand_home, remove_stale_temporaries
from ta3n.common.log import LOGGER, ProgressLine
from ta3n.common.records import (
    IMPORTED,
    USABLE,
    ClipRecord,
    FeatureConfig,
    Manifest,
    Plan,
    PlannedClip,
    ShardRecord,
    build_manifest,
    read_record,
)
from ta3n.common.store import Features, crc32_of, sidecar_path, write_shard
from ta3n.datasets.benchmarks.benchmark import Benchmark
from ta3n.datasets.custom.lists import (
    Entry,
    has_splits,
    no_entry,
    parts_of,
    read_list,
    spelling,
    stem_of,
)
from ta3n.datasets.reading.base import Clip, Dataset, ListedClip, Listing, OfficialDataset
from ta3n.datasets.reading.folders import clip_stem, published_name, quoted
from ta3n.datasets.reading.split_files import Role, find_split_folder
from ta3n.extract.backbones import BACKBONES, IMAGE_SIZE
from ta3n.extract.exchange.exporting import RECORD_NAME, ExportRecord
from ta3n.extract.exchange.feature_archives import open_features
from ta3n.extract.exchange.feature_files import SUFFIXES, FoundFeatures
from ta3n.extract.inference.engine import provenance_of
from ta3n.extract.job.feature_folder import mend_sidecar
from ta3n.extract.job.plan import agree_on_plan, make_plan

T = TypeVar("T")
ReadClip: TypeAlias = tuple[Features, Sequence[int], dict[str, object]]
"""Rows of a clip [F, D], the frame of each, and what its record says of its frames."""

_SUFFIX = ".avi"
_LIST_ROLES: tuple[tuple[str, Role], ...] = (("train", "train"), ("val", "test"), ("test", "test"))
_PUBLISHED_BACKBONE, _PUBLISHED_WEIGHTS = "resnet101", "published"
_NUM_LOOKED_AT = 5
_USUAL_WIDTHS = {256, 384, 400, 512, 640, 768, 1024, 1280, 1408, 1536, 2048, 2304, 3072, 4096}
"""Of features; as many frames in each of several videos are unlikely."""


@dataclass(frozen=True, slots=True)
class KnownVideo:
    """A video that lists or split files tell of.

    Attributes:
        path: Of its clip in the dataset, as far as it is known.
        num_frames: Frames that a list declares, or None.
    """

    path: str
    class_name: str
    splits: Mapping[str, Role]
    num_frames: int | None = None

    @property
    def stem(self) -> str:
        """Name without suffix."""
        return clip_stem(PurePosixPath(self.path).name)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportJob:
    """What one call imports.

    Attributes:
        source: Folder with the features, or a file with those of all videos.
        known: The dataset's videos.
        origin: Where those come from, in words.
        folder: Feature folder to write.
        backbone: Network that made them; None takes what an export says, else that of the paper.
        weights: Its weights, in words; None likewise.
        new_splits: Take other splits of the same videos for those that are there.
        names: A file with the video of each row, where `source` is one array.
        pooled: Whether an array of one axis is the single row of a video.
        transposed: Whether arrays are features x frames.
        key: Entry with the features, where files hold several.
        ending: What follows the videos' names in those of their features.
    """

    source: Path
    dataset: str
    known: Sequence[KnownVideo]
    origin: str
    folder: Path
    backbone: str | None = None
    weights: str | None = None
    new_splits: bool = False
    names: Path | None = None
    pooled: bool = False
    transposed: bool = False
    key: str = ""
    ending: str = ""

    def read(self, features: FoundFeatures) -> Features:
        """Return the features of a video [F, D]; see `FoundFeatures.read`."""
        return features.read(pooled=self.pooled, transposed=self.transposed)


_Matched: TypeAlias = Mapping[str, tuple[KnownVideo, FoundFeatures]]
"""Videos with their features, by path."""


def run_import(job: ImportJob) -> Manifest:
    """Write shards and the manifest; of what is finished little is read again.

    Raises:
        DataMissingError: No features of the known videos are there.
        DataConflictError: Two videos have one name, the network named gives features of another
            width, or the folder was made otherwise.
        FeatureStoreError: The record of an export is damaged.
        OSError: A folder cannot be read or written.
    """
    known = {spelling(published_name(video.stem)) for video in job.known}

    def is_video(name: str) -> bool:
        own = name.removesuffix(job.ending) if name.endswith(job.ending) else ""
        return spelling(published_name(own)) in known

    with open_features(job.source, job.names, key=job.key, is_video=is_video) as found:
        matched = _match(job, found)
        width = _width(job, matched)
        record_path = job.source / RECORD_NAME
        exported = read_record(ExportRecord, record_path) if record_path.exists() else None
        config = _config(job, width, exported.config if exported else None)
        listing = _listing(job, matched)

        def read(clip: PlannedClip) -> ReadClip:
            video, features = matched[clip.path]
            rows = job.read(features)
            if rows.shape[1] != width:
                raise ClipError(f"has {rows.shape[1]} values a frame, the others have {width}")
            if exported is None:
                return rows, range(len(rows)), _counted(video, len(rows))
            return rows, *exported.frames_of(published_name(features.name), len(rows))

        plan, finished = plan_import(job.folder, listing, config, new_splits=job.new_splits)
        _refuse_replaced(job.folder, finished, listing, read)
        return write_import(job.folder, plan, finished, listing, read, "videos")


def plan_import(
    folder: Path, listing: Listing, config: FeatureConfig, *, new_splits: bool
) -> tuple[Plan, list[str]]:
    """Agree on the plan of a folder of imported features; return it with the finished shards.

    Raises:
        DataConflictError: The folder was made otherwise.
        OSError: It cannot be written.
    """
    plan = make_plan(listing, config, selection="imported features", limit=None)
    plan = agree_on_plan(folder, plan, new_splits=new_splits)
    remove_stale_temporaries(folder)
    return plan, [shard for shard in plan.shards if mend_sidecar(folder, shard)]


def _refuse_replaced(
    folder: Path, finished: Iterable[str], listing: Listing, read: Callable[[PlannedClip], ReadClip]
) -> None:
    """Refuse to leave features as they are where those they were read from are others now.

    Looked at are files that were written since, and one of each shard: its entries may be read
    by another name.
    """
    files = {clip.path: clip for clip in listing.clips}
    others = []
    for shard in finished:
        clips = read_record(ShardRecord, sidecar_path(folder, shard)).clips
        there = [clip for clip in clips if clip.path in files]
        first = next((clip for clip in there if clip.status in USABLE), None)
        for clip in there:
            if clip != first and files[clip.path].mtime_ns == clip.mtime_ns:
                continue
            try:
                crc32 = crc32_of(read(clip)[0])
            except ClipError:
                crc32 = 0
            if crc32 != clip.crc32:
                others.append(clip.path)
    if others:
        raise DataConflictError(
            f"{quoted(folder)} holds other features of {len(others)} videos than there are now "
            f"({shorten(others, 3)}): their files were replaced, or are read by other options; "
            "remove the folder to import them again, or use another --out"
        )


def imported_weights(words: str) -> str:
    """Return how a configuration names weights that are only known in words."""
    return f"{IMPORTED}:{words.removeprefix(f'{IMPORTED}:')}"


def write_import(
    folder: Path,
    plan: Plan,
    finished: Collection[str],
    listing: Listing,
    read: Callable[[PlannedClip], ReadClip],
    unit: str,
) -> Manifest:
    """Write the shards that are not finished, and the manifest.

    Args:
        listing: The clips' files as they are now: they may have been replaced since they were
            planned.
        read: Gives a clip's rows; what it raises a `ClipError` for is a clip that failed.
        unit: What clips are called, plural.

    Raises:
        OSError: The folder cannot be written.
    """
    files = {clip.path: clip for clip in listing.clips}
    done = 0
    with ProgressLine(len(plan.clips), unit) as progress:
        for shard, of_shard in groupby(plan.clips, key=lambda clip: clip.shard):
            clips = list(of_shard)
            done += len(clips)
            if shard not in finished:
                _write(folder, plan.config, clips, files, read)
                progress.update(done, f"{shard} is done")
    return build_manifest(folder)


def _write(
    folder: Path,
    config: FeatureConfig,
    clips: Sequence[PlannedClip],
    files: Mapping[str, Clip],
    read: Callable[[PlannedClip], ReadClip],
) -> None:
    """Read the features of a shard's clips and write it."""
    records: list[ClipRecord] = []
    parts = [np.empty((0, config.feature_dim), np.float32)]
    numbers = [np.empty(0, np.int32)]
    start = 0
    for clip in clips:
        try:
            rows, frames, found = read(clip)
        except ClipError as error:
            found = {"status": "failed", "error": str(error)}
        else:
            found |= {"start": start, "length": len(rows), "crc32": crc32_of(rows)}
            parts.append(rows)
            numbers.append(np.asarray(frames, np.int32))
            start += len(rows)
        file = files[clip.path]
        found |= {"size_bytes": file.size_bytes, "mtime_ns": file.mtime_ns}
        records.append(ClipRecord.model_validate(clip.model_dump() | found))
    record = ShardRecord(
        config_hash=config.hash,
        shard=clips[0].shard,
        num_rows=start,
        provenance=provenance_of(IMPORTED, f"unknown: {IMPORTED} features", 1),
        clips=tuple(records),
    )
    write_shard(folder, record, np.concatenate(parts), np.concatenate(numbers))


def _config(job: ImportJob, width: int, exported: FeatureConfig | None) -> FeatureConfig:
    """Return what the features are, as far as anybody says."""
    backbone = job.backbone or (exported.backbone if exported else _PUBLISHED_BACKBONE)
    known = BACKBONES.get(backbone)
    if known is not None and known.feature_dim != width:
        raise DataConflictError(
            f"the features in {quoted(job.source)} have {width} values a frame, but {backbone} "
            f"gives {known.feature_dim}; say what made them with --backbone"
        )
    weights = job.weights or (exported.weights if exported else _PUBLISHED_WEIGHTS)
    return FeatureConfig(
        dataset=job.dataset,
        backbone=backbone,
        weights=imported_weights(weights),
        profile=IMPORTED,
        image_size=exported.image_size if exported else IMAGE_SIZE,
        frames=exported.frames if exported else "all",
        feature_dim=width,
        timing=exported.timing if exported else "frames",
    )


def _match(job: ImportJob, features: Iterable[FoundFeatures]) -> _Matched:
    """Return the known videos with features, by path; log the others there."""
    found = [f for each in features if (f := _without_ending(each, job.ending))]
    there = _by_name((published_name(f.name), f) for f in found)
    matched: dict[str, tuple[KnownVideo, FoundFeatures]] = {}
    taken: set[str] = set()
    respelled: list[str] = []
    by_spelling = _by_name((spelling(name), name) for name in there)
    for name, videos in _by_name((published_name(v.stem), v) for v in job.known).items():
        # A name that just its case or the form of its letters tells from the only one like it.
        alike = [name] if name in there else by_spelling.get(spelling(name), [])
        if len(alike) != 1:
            continue
        if alike != [name]:
            respelled.append(f"{quoted(name)} is {quoted(alike[0])}")
        taken.add(alike[0])
        pairs = _paired({v.path: v for v in videos}.values(), there[alike[0]], job.source)
        matched |= {video.path: (video, features) for video, features in pairs}
    if not matched:
        raise DataMissingError(_nothing_matched(job, found))
    if respelled:
        LOGGER.warning("%d names are spelled otherwise: %s", len(respelled), shorten(respelled, 3))
    if strangers := sorted(there.keys() - taken):
        LOGGER.warning(
            "%d videos in %s are not of %s as listed and are left out: %s",
            len(strangers),
            job.source,
            job.dataset,
            printable(shorten(strangers, 3)),
        )
    return dict(sorted(matched.items()))


def _by_name(items: Iterable[tuple[str, T]]) -> dict[str, list[T]]:
    found: dict[str, list[T]] = {}
    for name, item in items:
        found.setdefault(name, []).append(item)
    return found


def _without_ending(features: FoundFeatures, ending: str) -> FoundFeatures | None:
    """Return features by the name of their video; None for those of another ending."""
    if not features.name.endswith(ending):
        return None
    return replace(features, name=features.name.removesuffix(ending))


def _paired(
    videos: Collection[KnownVideo], found: Sequence[FoundFeatures], source: Path
) -> Iterator[tuple[KnownVideo, FoundFeatures]]:
    """Yield videos of one name with their features: if they are several, by the class folder.

    Raises:
        DataConflictError: Folders do not tell which features are whose.
    """
    if len(videos) == len(found) == 1:
        yield next(iter(videos)), found[0]
        return
    num_paired = 0
    for video in videos:
        mine = [f for f in found if spelling(f.folder) == spelling(video.class_name)]
        if len(mine) > 1:
            raise _equal_names(video.stem, [f.place for f in mine])
        for features in mine:
            num_paired += 1
            yield video, features
    if not num_paired:
        stem = next(iter(videos)).stem
        if len(found) > 1:
            raise _equal_names(stem, [f.place for f in found])
        raise DataConflictError(
            f"{len(videos)} videos are called {quoted(stem)}, such as "
            f"{quoted(next(iter(videos)).path)}, and {quoted(found[0].place)} is in no folder of a "
            f"class of theirs; put features in such folders in {quoted(source)}"
        )


def _equal_names(stem: str, places: Sequence[str]) -> DataConflictError:
    return DataConflictError(
        f"two videos are called {quoted(published_name(stem))} as published: {quoted(places[0])} "
        f"and {quoted(places[1])}; keep one of them, or put each in the folder of its class"
    )


def _nothing_matched(job: ImportJob, found: Sequence[FoundFeatures]) -> str:
    """Return what to say where no video has features: what was looked for, and what is there."""
    wanted = [published_name(v.stem) for v in job.known]
    told = (
        f"no features of the {len(wanted)} videos of {job.dataset} in {quoted(job.source)}: "
        f"looked for such as {shorten(map(quoted, wanted[:1]))}, "
        f"found {len(found)} videos of other names"
    )
    if not found:
        return f"{told}; read are <video>/img_00001.t7 and files {', '.join(SUFFIXES)}"
    for one in found[:20]:
        name = published_name(one.name)
        starts = [w for w in wanted if name.startswith(w) and not name[len(w) :][:1].isalnum()]
        if starts:
            longest = max(starts, key=len)
            return (
                f"{told}, such as {quoted(name)}; if that is {quoted(longest)}, give "
                f"--ending {quoted(name[len(longest) :])}"
            )
    return f"{told}, such as {shorten((quoted(f.name) for f in found), 2)}"


def _width(job: ImportJob, matched: _Matched) -> int:
    """Return D, as most of the first sound videos have it.

    Raises:
        DataMissingError: None of the videos is sound.
        DataConflictError: They seem to be features x frames.
    """
    error: ClipError | None = None
    shapes: list[tuple[int, ...]] = []
    for _, features in matched.values():
        try:
            shapes.append(job.read(features).shape)
        except ClipError as caught:
            error = error or caught
        if len(shapes) == _NUM_LOOKED_AT:
            break
    if not shapes:
        raise DataMissingError(f"no video can be imported, the first because {error}")
    widths, lengths = Counter(s[1] for s in shapes), Counter(s[0] for s in shapes)
    told = (
        f"the first {len(shapes)} videos have {shorten(map(str, lengths), 3)} rows of "
        f"{shorten(map(str, widths), 3)} values"
    )
    way_out = f"{'leave out' if job.transposed else 'give'} --transposed"
    if len(lengths) == 1 < len(widths) and len(shapes) > 2:
        raise DataConflictError(f"{told}: they seem to be features x frames; {way_out}")
    width = widths.most_common(1)[0][0]
    if len(lengths) == 1 and lengths.keys() & _USUAL_WIDTHS and width not in _USUAL_WIDTHS:
        LOGGER.warning("%s; if these are features x frames, %s", told, way_out)
    return width


def _listing(job: ImportJob, matched: _Matched) -> Listing:
    absent = {(v.class_name, v.stem): v.splits for v in job.known if v.path not in matched}
    return Listing(
        dataset=job.dataset,
        root=job.source,
        clips=tuple(
            Clip(
                path=path,
                class_name=video.class_name,
                splits=video.splits,
                size_bytes=features.size_bytes,
                mtime_ns=features.mtime_ns,
            )
            for path, (video, features) in matched.items()
        ),
        absent=tuple(
            ListedClip(class_name=class_name, stem=stem, splits=splits)
            for (class_name, stem), splits in sorted(absent.items(), key=lambda item: item[0])
        ),
        splits_origin=job.origin,
    )


def _counted(video: KnownVideo, num_rows: int) -> dict[str, object]:
    """Return what the record of a video says of its frames, each of which has a row."""
    declared = video.num_frames
    short = declared is not None and num_rows < declared
    return {
        "status": "partial" if short else "ok",
        "error": f"{num_rows} of the {declared} frames that the list declares" if short else "",
        "num_frames": num_rows,
        "declared_frames": declared,
    }


def from_lists(
    lists: Sequence[Path], dataset: Dataset, benchmark: Benchmark | None
) -> list[KnownVideo]:
    """Return the videos of published lists.

    Args:
        lists: Tables with a column `split`, or files named after what they are for: `train` or
            `val`.
        benchmark: Gives the class folders of numeric labels.

    Raises:
        UsageError: A list does not tell what it is for, or numbers what no benchmark names.
        DataMissingError: A list cannot be read.
        DataConflictError: A line is malformed, or a video is listed twice, differently.
    """
    split = benchmark.split_of(dataset.name) if benchmark else "1"
    # By what is listed, and by class and name: neither may be of two videos.
    known: dict[tuple[str, str], KnownVideo] = {}
    for file in lists:
        for entry in read_list(file, (), _role_of(file), dataset=dataset.name):
            class_name = _class_folder(entry, dataset, benchmark)
            listed, stem = parts_of(entry.path), stem_of(entry.path)
            splits: dict[str, Role] = {} if entry.role is None else {split: entry.role}
            video = _unseen(class_name, stem, splits, entry.num_frames)
            for one in (("listed", str(listed.parent / stem)), (class_name, stem)):
                if known.setdefault(one, video) != video:
                    raise DataConflictError(
                        f"{entry.line.place}: {quoted(stem)} is listed before, with another class, "
                        "part or number of frames; list it once"
                    )
    if not known:
        raise no_entry(lists, dataset.name)
    return list({video.path: video for video in known.values()}.values())


def from_dataset(dataset: Dataset, root: Path | None, splits: Path | None) -> list[KnownVideo]:
    """Return the videos of a dataset's clips, or else of its official split files.

    Raises:
        UsageError: There is neither.
        DataMissingError: They cannot be read.
        DataConflictError: They contradict themselves.
    """
    if root is not None:
        listing = dataset.scan(root, splits)
        present = [KnownVideo(c.path, c.class_name, c.splits) for c in listing.clips]
        return present + [_unseen(c.class_name, c.stem, c.splits) for c in listing.absent]
    if splits is None or not isinstance(dataset, OfficialDataset):
        raise UsageError(
            f"nothing tells classes and splits of {dataset.name}; give --lists, --splits with the "
            "official split files, or --root with the clips"
        )
    folder = find_split_folder(
        (expand_home(splits).absolute(),),
        (*dataset.split_folders, dataset.name),
        dataset.holds_splits,
    )
    if folder is None:
        raise DataMissingError(
            f"no split files of {dataset.name} in {quoted(splits)}: looked for "
            f"{dataset.splits_layout}"
        )
    table = sorted(dataset.read_splits(folder).items())
    return [_unseen(class_name, stem, roles) for (class_name, stem), roles in table]


def _unseen(
    class_name: str, stem: str, splits: Mapping[str, Role], num_frames: int | None = None
) -> KnownVideo:
    """Return a video whose clip is not there, so that nothing tells its suffix."""
    return KnownVideo(f"{class_name}/{stem}{_SUFFIX}", class_name, splits, num_frames)


def _role_of(file: Path) -> Role | None:
    if has_splits(file):
        return None
    name = file.name.lower()
    # Whole words first: `list_trains_val_...` is a list to validate on, of a dataset `trains`.
    for where in (re.split("[^a-z]+", name), name):
        roles = {role for word, role in _LIST_ROLES if word in where}
        if len(roles) == 1:
            return roles.pop()
    raise UsageError(
        f"the list {quoted(file)} does not tell what it is for; its name must hold train or val, "
        "not both, or it must be a table with a column split"
    )


def _class_folder(entry: Entry, dataset: Dataset, benchmark: Benchmark | None) -> str:
    label = entry.class_name
    if not re.fullmatch("[0-9]{1,9}", label):
        return label
    if benchmark is None:
        raise UsageError(
            f"{entry.line.place}: label {label} is a number; give --benchmark, which names it"
        )
    labels = benchmark.side(dataset.name).labels
    folders = sorted(folder for folder, number in labels.items() if number == int(label))
    if not folders:
        start = " (labels count from 0)" if int(label) == len(benchmark.class_names) else ""
        raise UsageError(
            f"{entry.line.place}: label {label} is of no class of {benchmark.name}{start}"
        )
    # Of several folders of a class the one that the name holds: v_RopeClimbing_g01_c01.
    told = [folder for folder in labels if _is_told(folder, parts_of(entry.path))]
    if told and not set(told) & set(folders):
        raise DataConflictError(
            f"{entry.line.place}: label {label} is {benchmark.class_names[int(label)]} of "
            f"{benchmark.name}, but {quoted(entry.path)} tells of {told[0]}; are the labels of "
            "another benchmark, or from 1? Official split files are for --splits"
        )
    return next((folder for folder in folders if folder in told), folders[0])


def _is_told(folder: str, path: PurePosixPath) -> bool:
    """Tell whether a path names a class folder: as its folder, or between `_` in its name."""
    return path.parent.name == folder or f"_{folder.lower()}_" in path.name.lower()
