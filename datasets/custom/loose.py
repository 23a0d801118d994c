"""Loose videos: any files and folders, without classes and splits, as a listing like any other.

A file that is named is taken as it is; in a folder what has a video's suffix, at any depth, and
folders and archives of frames. What else is there is counted.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from ta3n.common.errors import DataMissingError, UsageError, printable
from ta3n.common.files import expand_home
from ta3n.common.log import LOGGER
from ta3n.datasets.reading.base import Clip, Listing
from ta3n.datasets.reading.folders import (
    SHOWN_SUFFIXES,
    is_frame_folder,
    left_out_lines,
    quoted,
    size_and_time,
    videos_below,
)

VIDEOS = "videos"
"""What the features of loose videos are kept under, in the place of a dataset's name."""


def find_videos(path: Path) -> tuple[Path, ...]:
    """Return the file itself, or the videos in a folder, sorted; what is left out is logged.

    A folder of frames is a video itself.

    The paths are absolute, with links to folders resolved, so that one file has one path.

    Raises:
        DataMissingError: There is no such file, no video in the folder, or it cannot be read.
    """
    path = expand_home(path)
    # Path's own raise where a name is one that no file can have, or may not be looked at.
    is_folder = os.path.isdir(path)  # noqa: PTH112
    if os.path.isfile(path) or (is_folder and is_frame_folder(path)):  # noqa: PTH113
        return (Path(os.path.realpath(path.parent)) / path.name,)
    if not is_folder:
        raise DataMissingError(f"no file or folder {quoted(path)}")
    videos, left_out = videos_below(path, equal_stems=True, frames="")
    files = (path / video.name for video in videos)
    found = {Path(os.path.realpath(file.parent)) / file.name for file in files}
    if not found:
        told = "".join(f"; {line}" for line in left_out_lines(left_out))
        raise DataMissingError(
            f"no video in the folder {quoted(path)}: looked for {SHOWN_SUFFIXES}, and for folders "
            f"of frames{told}"
        )
    for line in left_out_lines(left_out):
        LOGGER.warning("%s: %s", printable(str(path)), line)
    return tuple(sorted(found))


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


def _clip(file: Path, root: Path) -> Clip:
    try:
        size_bytes, mtime_ns = size_and_time(file)
    except OSError as error:  # it has just been removed
        raise DataMissingError(f"cannot read {quoted(file)}: {error.strerror or error}") from error
    return Clip(
        path=file.relative_to(root).as_posix(),
        class_name="",
        splits={},
        size_bytes=size_bytes,
        mtime_ns=mtime_ns,
    )
