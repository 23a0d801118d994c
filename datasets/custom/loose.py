"""Loose videos: any files and folders, without classes and splits, as a listing like any other.

A file that is named is taken as it is; in a folder what has a video's suffix, at any depth.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from stat import S_ISDIR, S_ISREG

from ta3n.common.errors import DataMissingError, UsageError
from ta3n.datasets.reading.base import Clip, Listing
from ta3n.datasets.reading.folders import VIDEO_SUFFIXES, quoted, video_stem

VIDEOS = "videos"
"""What the features of loose videos are kept under, in the place of a dataset's name."""


def find_videos(path: Path) -> tuple[Path, ...]:
    """Return the file itself, or the videos in a folder, sorted.

    The paths are absolute, with links to folders resolved, so that one file has one path.

    Raises:
        DataMissingError: There is no such file, no video in the folder, or it cannot be read.
    """
    mode = _mode(path)
    if S_ISREG(mode):
        return (Path(os.path.realpath(path.parent)) / path.name,)
    if not S_ISDIR(mode):
        raise DataMissingError(f"no file or folder {quoted(path)}")
    found = tuple(sorted(_videos_under(Path(os.path.realpath(path)))))
    if not found:
        suffixes = ", ".join(VIDEO_SUFFIXES)
        raise DataMissingError(f"no video in the folder {quoted(path)}: looked for {suffixes}")
    return found


def scan_videos(paths: Sequence[Path]) -> Listing:
    """List loose videos, each once, by their path relative to the folder that holds all of them.

    Raises:
        DataMissingError: One of them is not there, cannot be read, or is a folder without videos.
        UsageError: There is none.
    """
    if not paths:
        raise UsageError("no videos; name a file or a folder")
    files = sorted({file for path in paths for file in find_videos(path)})
    root = Path(os.path.commonpath([file.parent for file in files]))
    return Listing(
        dataset=VIDEOS,
        root=root,
        clips=tuple(sorted((_clip(file, root) for file in files), key=lambda clip: clip.path)),
        absent=(),
        splits_origin="none: loose videos",
    )


def _videos_under(folder: Path) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        where = quoted(error.filename or folder)
        raise DataMissingError(f"cannot read the folder {where}: {error.strerror or error}")

    for place, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            file = Path(place, name)
            if not name.startswith(".") and video_stem(name) and S_ISREG(_mode(file)):
                yield file


def _mode(path: Path) -> int:
    """Return what a path is, 0 where it is nothing: also a name that no file can have."""
    try:
        return path.stat().st_mode
    except (OSError, ValueError):
        return 0


def _clip(file: Path, root: Path) -> Clip:
    try:
        status = file.stat()
    except OSError as error:  # it has just been removed
        raise DataMissingError(f"cannot read {quoted(file)}: {error.strerror or error}") from error
    return Clip(
        path=file.relative_to(root).as_posix(),
        class_name="",
        splits={},
        size_bytes=status.st_size,
        mtime_ns=status.st_mtime_ns,
    )
