"""A feature folder as files that other programs read, with lists of them.

A record beside them says what they are, so that importing them again forgets nothing.
"""

from collections.abc import Sequence
from pathlib import Path

from ta3n.common.errors import ClipError, DataConflictError, UsageError
from ta3n.common.files import replace_file
from ta3n.common.log import ProgressLine
from ta3n.common.records import (
    USABLE,
    ClipRecord,
    FeatureConfig,
    Record,
    collect_manifest,
    dump_record,
)
from ta3n.common.sampling import FrameSelection
from ta3n.common.store import ShardReader, shard_path
from ta3n.datasets.reading.folders import published_name, quoted, video_stem
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

    def frame_numbers(self, name: str, num_rows: int) -> tuple[ExportedVideo, Sequence[int]]:
        """Return a video and the frame of each of its rows.

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
        return video, numbers


_LISTS = {"train": "train", "test": "val"}


def export_features(folder: Path, form: str, out: Path, split: str) -> int:
    """Write every usable clip of a feature folder, and lists of both parts of a split.

    Rows are numbered from 1 as they were kept: features of `segments:5` are five frames.

    Args:
        form: `t7`, a folder of tensors for each video, or `npy`, an array for each.
        out: A folder that is not there yet, or empty.
        split: Which one the lists are of.

    Returns:
        The number of videos.

    Raises:
        UsageError: There is no such split.
        DataConflictError: `out` holds something, or two videos would have one name.
        FeatureStoreError: A shard is damaged.
        OSError: A file cannot be written.
    """
    if out.exists() and any(out.iterdir()):
        raise DataConflictError(f"{quoted(out)} is not empty; name a new folder with --out")
    manifest = collect_manifest(folder)
    clips = [c for c in manifest.clips if c.status in USABLE]
    known = sorted({name for clip in clips for name in clip.splits})
    if known and split not in known:
        raise UsageError(f"{quoted(folder)} has no split {split}; it has {', '.join(known)}")
    names = _names(clips)
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
    _write_lists(clips, names, out, split)
    record = ExportRecord(config=manifest.config, videos=videos)
    replace_file(out / RECORD_NAME, dump_record(record))
    return len(videos)


def _names(clips: list[ClipRecord]) -> dict[str, str]:
    names: dict[str, str] = {}
    taken: dict[str, str] = {}
    for clip in clips:
        file_name = clip.path.rpartition("/")[2]
        name = published_name(video_stem(file_name) or file_name.rpartition(".")[0])
        if taken.setdefault(name, clip.path) != clip.path:
            raise DataConflictError(
                f"{quoted(taken[name])} and {quoted(clip.path)} would both be {quoted(name)}"
            )
        names[clip.path] = name
    return names


def _write_lists(clips: list[ClipRecord], names: dict[str, str], out: Path, split: str) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for role, word in _LISTS.items():
        lines = [
            f"{names[c.path]} {c.length} {c.class_name}\n"
            for c in clips
            if c.splits.get(split) == role
        ]
        replace_file(out / f"{word}.txt", "".join(lines).encode("utf-8", "surrogateescape"))
