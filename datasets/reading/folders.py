"""Class folders and the videos in them, one level deep, without globs or recursion.

File names are data, never patterns: HMDB51's hold `! ( ) # & [ ] + ; ~ @`, Olympic Sports' may
begin with `-`, and any name may be invalid UTF-8 (Python then keeps the bytes as surrogates).
"""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from ta3n.common.errors import DataConflictError, DataMissingError, printable

VIDEO_SUFFIXES = (".avi", ".mp4", ".mkv", ".webm", ".seq")
"""What counts as a video, compared without regard to case."""

SUFFIX_PATTERN = rf"(?i:{'|'.join(map(re.escape, VIDEO_SUFFIXES))})"
"""One of them, in a regular expression."""

_PUBLISHED = str.maketrans("", "", "()&")
_ARCHIVE_SUFFIXES = (".rar", ".zip", ".tar", ".tar.gz", ".tgz", ".7z")


class FoundVideo(NamedTuple):
    """A video file of a class folder; for a link, size and time of change are the target's.

    Attributes:
        name: File name with its suffix.
        stem: File name without it; what the official split lists are matched by.
    """

    name: str
    stem: str
    size_bytes: int
    mtime_ns: int


def quoted(path: Path | str) -> str:
    """Return a path or name in quotes, fit for one line of a message on any terminal."""
    return f"'{printable(str(path))}'"


def published_name(stem: str) -> str:
    """Return a clip's name as in the lists that the authors of TA3N published with their features.

    It lacks `(`, `)` and `&`. No two clips of a built-in dataset come to the same name.
    """
    return stem.translate(_PUBLISHED)


def video_stem(name: str) -> str | None:
    """Return `name` without its video suffix, or None where it has none."""
    match = re.fullmatch(f"(.+){SUFFIX_PATTERN}", name, re.DOTALL)
    return match[1] if match else None


def entry_names(folder: Path) -> tuple[str, ...]:
    """Return the names in a folder that may well not exist or not be a folder (then none)."""
    try:
        with os.scandir(folder) as entries:
            return tuple(entry.name for entry in entries)
    except OSError:
        return ()


def class_folders(root: Path) -> tuple[str, ...]:
    """Return the names of the folders, or links to folders, in `root`, sorted.

    Hidden ones are left out. A `root` that does not exist has none.

    Raises:
        DataMissingError: `root` exists and cannot be read.
    """
    try:
        with os.scandir(root) as entries:
            visible = [entry for entry in entries if not entry.name.startswith(".")]
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except OSError as error:
        raise _unreadable(root, error) from error
    return tuple(sorted(entry.name for entry in visible if _is_folder(entry)))


def videos_in(folder: Path) -> tuple[FoundVideo, ...]:
    """Return the videos of one class folder, sorted by name, without hidden files and dead links.

    Raises:
        DataConflictError: Two videos differ in their suffix only, so the split lists cannot tell
            them apart.
        DataMissingError: The folder cannot be read.
    """
    by_stem: dict[str, FoundVideo] = {}
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                video = _as_video(entry)
                if video and (other := by_stem.setdefault(video.stem, video)) is not video:
                    first, second = sorted((other.name, video.name))
                    raise DataConflictError(
                        f"{quoted(first)} and {quoted(second)} in {quoted(folder)} differ in their "
                        "suffix only: keep one of them and move the other away"
                    )
    except OSError as error:
        raise _unreadable(folder, error) from error
    return tuple(sorted(by_stem.values()))


def find_clip_folder(root: Path, names: Iterable[str]) -> Path | None:
    """Return the first of `root/<name>` and `root` itself that has a video in a class folder.

    Raises:
        DataMissingError: A folder exists and cannot be read.
    """
    for candidate in (*(root / name for name in names), root):
        if any(_holds_video(candidate / folder) for folder in class_folders(candidate)):
            return candidate
    return None


def num_archives(folder: Path) -> int:
    """Return how many archives lie in `folder`: a download that is not unpacked yet."""
    return sum(name.lower().endswith(_ARCHIVE_SUFFIXES) for name in entry_names(folder))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _holds_video(folder: Path) -> bool:
    return any(not name.startswith(".") and video_stem(name) for name in entry_names(folder))


def _as_video(entry: os.DirEntry[str]) -> FoundVideo | None:
    stem = None if entry.name.startswith(".") else video_stem(entry.name)
    if stem is None:
        return None
    try:
        if not entry.is_file():
            return None
        status = entry.stat()
    except OSError:  # a link to itself, or a file that has just been removed
        return None
    return FoundVideo(entry.name, stem, status.st_size, status.st_mtime_ns)


def _unreadable(folder: Path, error: OSError) -> DataMissingError:
    return DataMissingError(f"cannot read the folder {quoted(folder)}: {error.strerror or error}")
