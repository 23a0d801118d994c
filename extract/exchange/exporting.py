"""A feature folder as files that other programs read, with lists of them.

A record beside them says what they are, so that importing them again forgets nothing.
"""

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from ta3n.common.errors import ClipError, DataConflictError, UsageError
from ta3n.common.files import replace_file, temporary_beside
from ta3n.common.log import ProgressLine
from ta3n.common.records import (
    USABLE,
    ClipRecord,
    FeatureConfig,
    Manifest,
    Record,
    collect_manifest,
    dump_record,
)
from ta3n.common.sampling import FrameSelection
from ta3n.common.store import ShardReader, shard_path
from ta3n.datasets.benchmarks.benchmark import BENCHMARK_ROLES, Benchmark
from ta3n.datasets.benchmarks.registry import Catalogue
from ta3n.datasets.reading.folders import clip_stem, published_name, quoted
from ta3n.extract.exchange.authors_lists import AuthorsLists
from ta3n.extract.exchange.feature_files import write_array, write_frames

RECORD_NAME = "ta3n-features.json"


class ExportedVideo(Record):
    """A video's frames, of which not all need have features."""

    num_frames: int
    frame_rate: float | None = None
    frames: tuple[int, ...] = ()


class ExportRecord(Record):
    """What the exported features were made with; videos by the name they were exported under."""

    config: FeatureConfig
    videos: dict[str, ExportedVideo]

    def frames_of(self, name: str, num_rows: int) -> tuple[Sequence[int], dict[str, object]]:
        """Return the frame of each row of a video, and what its record says of its frames.

        Raises:
            ClipError: If it is not known, or has other rows than its frames give.
        """
        video = self.videos.get(name)
        if video is None:
            raise ClipError(f"is not in {RECORD_NAME}, which says what was exported")
        selection = FrameSelection.parse(self.config.frames)
        numbers = video.frames or selection.indices(video.num_frames, video.frame_rate)
        if len(numbers) != num_rows:
            raise ClipError(
                f"has {num_rows} frames with features; frames {selection} of "
                f"{video.num_frames} are {len(numbers)}"
            )
        return numbers, {"status": "ok", **video.model_dump(exclude={"frames"})}


_FIRST_SPLIT = "1"


def export_features(
    folder: Path,
    form: str,
    out: Path,
    *,
    catalogue: Catalogue,
    split: str | None = None,
    benchmark: Benchmark | None = None,
    list_root: str | None = None,
) -> tuple[int, list[str]]:
    """Write every usable clip of a feature folder, and lists of both parts of a split.

    Rows are numbered from 1 as they were kept: features of `segments:5` are five frames. The folder
    gets its name once it is whole.

    Args:
        form: `t7`, a folder of tensors for each video, or `npy`, an array for each.
        out: A folder that is not there yet, or empty.
        catalogue: Of whose benchmarks lists for the authors' program are written, with `t7`.
        split: Which one the lists are of; None takes the benchmark's, and 1 where there is none.
        benchmark: The only one; None takes all that hold the dataset with every class.
        list_root: What `out` is called in the authors' lists; None is its absolute path.

    Returns:
        The number of videos, and the names of the lists and class files.

    Raises:
        UsageError: There is no such split, the benchmark does not hold the dataset, or a path
            cannot be in the authors' lists.
        DataConflictError: `out` holds something, or two videos would have one name.
        FeatureStoreError: A shard is damaged.
        OSError: A file cannot be written.
    """
    if out.exists() and any(out.iterdir()):
        raise DataConflictError(f"{quoted(out)} is not empty; name a new folder with --out")
    manifest = collect_manifest(folder)
    clips = [c for c in manifest.clips if c.status in USABLE]
    known = sorted({name for clip in clips for name in clip.splits})
    if known and split is not None and split not in known:
        raise UsageError(f"{quoted(folder)} has no split {split}; it has {', '.join(known)}")
    names = _names(clips)
    lists = _lists(clips, names, split or _FIRST_SPLIT)
    if form == "t7":
        root = str(out.absolute()) if list_root is None else list_root.rstrip("/")
        paths = {clip.path: f"{root}/{names[clip.path]}" for clip in clips}
        theirs = AuthorsLists(clips, paths, manifest.config.dataset, split)
        lists |= theirs.of(benchmark) if benchmark else theirs.of_all(catalogue.benchmarks)
    target = out.resolve()
    with temporary_beside(target) as temporary:
        try:
            temporary.mkdir()
            videos = _write(folder, manifest, clips, names, form, temporary)
            for name, text in lists.items():
                replace_file(temporary / name, text.encode("utf-8", "surrogateescape"))
            record = ExportRecord(config=manifest.config, videos=videos)
            replace_file(temporary / RECORD_NAME, dump_record(record))
            # Over an empty folder, if one is there.
            temporary.rename(target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return len(videos), list(lists)


def _write(
    folder: Path,
    manifest: Manifest,
    clips: Sequence[ClipRecord],
    names: Mapping[str, str],
    form: str,
    out: Path,
) -> dict[str, ExportedVideo]:
    """Write the features of clips; return what is to be kept of their frames, by their names."""
    by_time = FrameSelection.parse(manifest.config.frames).fps is not None
    videos: dict[str, ExportedVideo] = {}
    with ProgressLine(len(clips), "videos") as progress:
        for shard in dict.fromkeys(clip.shard for clip in clips):
            with ShardReader(shard_path(folder, shard)) as reader:
                for clip in (c for c in clips if c.shard == shard):
                    rows = reader.rows(clip.start, range(clip.length))
                    name = names[clip.path]
                    if form == "t7":
                        write_frames(rows, out / name)
                    else:
                        write_array(rows, out / f"{name}.npy")
                    kept = reader.frames[clip.start : clip.start + clip.length]
                    videos[name] = ExportedVideo(
                        num_frames=clip.num_frames,
                        frame_rate=clip.frame_rate,
                        frames=tuple(kept.tolist()) if by_time else (),
                    )
                    progress.update(len(videos), shard)
    return videos


def _names(clips: list[ClipRecord]) -> dict[str, str]:
    """Return the name of each clip's video, by path: the clip's own, or one with its folders."""
    own = {clip.path: _published(clip.path.rpartition("/")[2]) for clip in clips}
    times = Counter(own.values())
    names: dict[str, str] = {}
    taken: dict[str, str] = {}
    for path, name in own.items():
        if times[name] > 1:
            name = _published(path.replace("/", "__"))
        if taken.setdefault(name, path) != path:
            raise DataConflictError(
                f"{quoted(taken[name])} and {quoted(path)} would both be {quoted(name)}; "
                "rename one of the clips and extract it again"
            )
        names[path] = name
    return names


def _published(file_name: str) -> str:
    return published_name(clip_stem(file_name))


def _lists(clips: list[ClipRecord], names: dict[str, str], split: str) -> dict[str, str]:
    return {
        f"{word}.txt": "".join(
            f"{names[c.path]} {c.length} {c.class_name}\n"
            for c in clips
            if c.splits.get(split) == role
        )
        for role, word in BENCHMARK_ROLES.items()
    }
