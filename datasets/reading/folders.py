"""Class folders and the videos in and below them, without globs; what is left out is told.

File names are data, never patterns: HMDB51's hold `! ( ) # & [ ] + ; ~ @`, Olympic Sports' may
begin with `-`, and any name may be invalid UTF-8 (Python then keeps the bytes as surrogates).
"""

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from stat import S_ISDIR
from typing import NamedTuple

from ta3n.common.errors import ClipError, DataConflictError, DataMissingError, printable, shorten
from ta3n.datasets.reading.frame_files import IMAGE_SUFFIXES, frames_among, size_of_frames
from ta3n.datasets.reading.tar import TAR_SUFFIX, tar_members

VIDEO_SUFFIXES = (
    *(".avi", ".mp4", ".mkv", ".webm", ".seq", ".mov", ".qt", ".m4v", ".mpg", ".mpeg", ".mpe"),
    *(".m1v", ".m2v", ".vob", ".wmv", ".asf", ".flv", ".f4v", ".3gp", ".3gpp", ".3g2", ".ts"),
    *(".mts", ".m2ts", ".m2t", ".ogv", ".ogm", ".ogg", ".gif", ".apng", ".dv", ".mxf", ".rm"),
    *(".rmvb", ".divx", ".xvid", ".y4m", ".mjpeg", ".mjpg", ".mj2", ".h264", ".264", ".h265"),
    *(".265", ".hevc", ".ivf", ".nut", ".wtv", ".amv", ".nsv"),
)
"""What counts as a video, compared without regard to case: what FFmpeg reads, and `.seq`."""

SHOWN_SUFFIXES = "one of .avi, .mp4, .mkv, .webm, .mov, .mpg, .wmv or others that FFmpeg reads"
"""The most usual of them, for messages."""

SUFFIX_PATTERN = rf"(?i:{'|'.join(map(re.escape, VIDEO_SUFFIXES))})"
"""One of them, in a regular expression."""

_PUBLISHED = str.maketrans("", "", "()&")
# Of pictures that move; beside a video of the same name they are its preview.
_PREVIEWS = (".gif", ".apng")
# What file managers leave behind.
_OF_SYSTEMS = ("thumbs.db", "desktop.ini")
_ARCHIVE_SUFFIXES = (".rar", ".zip", ".tar", ".tar.gz", ".tgz", ".7z")


class FoundVideo(NamedTuple):
    """A video of a class folder; for a link, size and time of change are the target's.

    It is a file, or a folder of frames where those are looked for.

    Attributes:
        name: File name with its suffix.
        stem: File name without it; what the official split lists are matched by.
    """

    name: str
    stem: str
    size_bytes: int
    mtime_ns: int


class LeftOut(NamedTuple):
    """A file or folder that is not taken, with the reason that one line tells for many of them."""

    path: str
    reason: str


NO_VIDEO = "files are no videos by their suffix"
UNREADABLE = "folders cannot be read"
_PREVIEW = "pictures are previews of videos with the same name"
_DEAD_LINK = "links lead nowhere"
_LINK_BACK = "links lead to a folder that is looked into already"
OUTSIDE = "videos lie in no class folder"


def left_out_lines(left_out: Iterable[LeftOut]) -> Iterator[str]:
    """Yield a line for each reason: how many, of which suffixes, and a few names."""
    by_reason: dict[str, list[str]] = {}
    for path, reason in left_out:
        by_reason.setdefault(reason, []).append(path)
    for reason, paths in sorted(by_reason.items()):
        suffixes = Counter(os.path.splitext(path)[1].lower() or "none" for path in paths)  # noqa: PTH122  a name
        kinds = ", ".join(f"{n} {printable(suffix)}" for suffix, n in suffixes.most_common(4))
        of_kinds = f" ({kinds})" if reason == NO_VIDEO else ""
        names = shorten(map(quoted, sorted(paths)), 3)
        yield f"left out, since {len(paths)} {reason}{of_kinds}: {names}"


def quoted(path: Path | str) -> str:
    """Return a path or name in quotes, fit for one line of a message on any terminal."""
    return f"'{printable(str(path))}'"


def in_words(text: str) -> str:
    """Return a word as it is meant: in UTF-8, or else in the code page of Windows, composed.

    Paths are kept as they are on disk; this is for what is compared with them, and for classes. A
    Mac writes its accents, and the parts of a Korean letter, one by one.
    """
    if not text.isascii():
        raw = text.encode("utf-8", "surrogateescape")
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            text = raw.decode("cp1252", "replace")
    return unicodedata.normalize("NFC", text)


def published_name(stem: str) -> str:
    """Return a clip's name as in the lists that the authors of TA3N published with their features.

    It lacks `(`, `)` and `&`. No two clips of a built-in dataset come to the same name.
    """
    return stem.translate(_PUBLISHED)


def video_stem(name: str) -> str | None:
    """Return `name` without its video suffix, or None where it has none."""
    match = re.fullmatch(f"(.+){SUFFIX_PATTERN}", name, re.DOTALL)
    return match[1] if match else None


def clip_stem(name: str) -> str:
    """Return the name of a clip without a suffix that says how it is stored; see `video_stem`."""
    if name.lower().endswith(TAR_SUFFIX):
        return name[: -len(TAR_SUFFIX)] or name
    return video_stem(name) or name


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


def videos_in(folder: Path, frames: str | None = None) -> tuple[FoundVideo, ...]:
    """Return the videos of one class folder, sorted by name, without hidden files and dead links.

    Args:
        frames: Pattern of frames' names: folders and archives of frames are videos too, with an
            empty one those of which the names tell. None looks for files only.

    Raises:
        DataConflictError: Two videos differ in their suffix only, so the split lists cannot tell
            them apart.
        DataMissingError: The folder cannot be read.
    """
    return tuple(sorted(_look_into(folder, frames=frames).videos))


def videos_below(
    folder: Path, *, equal_stems: bool = False, frames: str | None = None
) -> tuple[tuple[FoundVideo, ...], tuple[LeftOut, ...]]:
    """Return the videos of a class folder and of folders in it, and what is left out.

    Names are relative to the folder, "/"-separated. Linked folders are followed, each real folder
    once, and never to one that holds the link.

    Args:
        equal_stems: Take videos of a folder that differ in their suffix only.
        frames: See `videos_in`.

    Raises:
        DataConflictError: Two videos of a folder differ in their suffix only.
        DataMissingError: The folder cannot be read; one below it is left out.
    """
    real = os.path.realpath(folder)
    outer = os.path.realpath(folder.absolute().parent)
    seen = {real}
    videos: list[FoundVideo] = []
    left_out: list[LeftOut] = []
    look_into = partial(_look_into, equal_stems=equal_stems, frames=frames)
    waiting = [("", look_into(folder))]
    while waiting:
        inside, content = waiting.pop()
        videos += [video._replace(name=inside + video.name) for video in content.videos]
        left_out += [LeftOut(inside + path, reason) for path, reason in content.left_out]
        # A class folder that is a link to an outer one has no folders of its own.
        for name in sorted(content.folders) if not _holds(real, outer) else ():
            path = inside + name
            target = os.path.realpath(folder / path)
            if target in seen or _holds(target, os.path.realpath((folder / path).parent)):
                left_out.append(LeftOut(path, _LINK_BACK))
                continue
            seen.add(target)
            try:
                waiting.append((f"{path}/", look_into(folder / path)))
            except DataMissingError:
                left_out.append(LeftOut(path, UNREADABLE))
    return tuple(sorted(videos)), tuple(sorted(left_out))


def videos_outside(root: Path) -> tuple[LeftOut, ...]:
    """Return the videos that lie beside the class folders of a root."""
    names = (name for name in entry_names(root) if not name.startswith("."))
    return tuple(
        LeftOut(n, OUTSIDE) for n in sorted(names) if video_stem(n) and (root / n).is_file()
    )


def find_clip_folder(
    root: Path, names: Iterable[str], *, nested: bool = False, frames: str | None = None
) -> Path | None:
    """Return the first of `root/<name>` and `root` itself that has a video in a class folder.

    Args:
        nested: Whether one in a folder of a class folder will do.
        frames: See `videos_in`; only with `nested`.

    Raises:
        DataMissingError: A folder exists and cannot be read.
    """
    for candidate in (*(root / name for name in names), root):
        folders = [candidate / folder for folder in class_folders(candidate)]
        if any(map(_holds_video, folders)):
            return candidate
        if nested and any(_holds_nested(folder, frames) for folder in folders):
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


def _holds_nested(folder: Path, frames: str | None) -> bool:
    try:
        return bool(videos_below(folder, frames=frames)[0])
    except DataMissingError:
        return False


def _holds(folder: str, inner: str) -> bool:
    """Tell whether a folder is the inner one, or one around it; both without links."""
    return inner == folder or inner.startswith(folder.rstrip(os.sep) + os.sep)


class _Content(NamedTuple):
    videos: list[FoundVideo]
    folders: list[str]
    left_out: list[LeftOut]


def _look_into(folder: Path, *, equal_stems: bool = False, frames: str | None = None) -> _Content:
    """Return what lies in a folder, without what is hidden."""
    by_stem: dict[str, FoundVideo] = {}
    content = _Content([], [], [])
    try:
        with os.scandir(folder) as entries:
            visible = sorted(
                (entry for entry in entries if not entry.name.startswith(".")),
                key=lambda entry: (entry.name.lower().endswith(_PREVIEWS), entry.name),
            )
    except OSError as error:
        raise _unreadable(folder, error) from error
    for entry in visible:
        video = _as_video(entry)
        if video is None and frames is not None:
            video = _as_frames(entry, frames)
        if video is None:
            _sort_in(entry, content)
        elif equal_stems:
            content.videos.append(video)
        elif (other := by_stem.setdefault(video.stem, video)) is not video:
            is_preview = [name.lower().endswith(_PREVIEWS) for name in (other.name, video.name)]
            if is_preview == [False, True]:
                content.left_out.append(LeftOut(video.name, _PREVIEW))
                continue
            first, second = sorted((other.name, video.name))
            raise DataConflictError(
                f"{quoted(first)} and {quoted(second)} in {quoted(folder)} differ in their "
                "suffix only: keep one of them and move the other away"
            )
    content.videos.extend(by_stem.values())
    return content


def _sort_in(entry: os.DirEntry[str], content: _Content) -> None:
    if _is_folder(entry):
        content.folders.append(entry.name)
    elif entry.is_symlink() and not Path(entry.path).exists():
        content.left_out.append(LeftOut(entry.name, _DEAD_LINK))
    elif entry.name.lower() not in _OF_SYSTEMS:
        content.left_out.append(LeftOut(entry.name, NO_VIDEO))


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


def size_and_time(path: Path, frames: str = "") -> tuple[int, int]:
    """Return the bytes of a clip, of a folder those of its frames, and its time of change in ns.

    Args:
        frames: Pattern of frames' names.

    Raises:
        OSError: If it is not there or cannot be read.
    """
    status = path.stat()
    if not S_ISDIR(status.st_mode):
        return status.st_size, status.st_mtime_ns
    with os.scandir(path) as entries:
        found = frames_among((entry.name for entry in entries), frames)
    return size_of_frames(path, found), status.st_mtime_ns


def is_frame_folder(path: Path, frames: str = "") -> bool:
    """Tell whether a folder is a video: it holds frames, see `frames_among`."""
    return bool(frames_among(entry_names(path), frames))


def _as_frames(entry: os.DirEntry[str], frames: str) -> FoundVideo | None:
    """Return a folder of frames, or an archive that may hold some, as a video."""
    path, is_archive = Path(entry.path), entry.name.lower().endswith(TAR_SUFFIX)
    try:
        if entry.is_dir():
            is_video = is_frame_folder(path, frames)
        else:
            is_video = is_archive and entry.is_file() and _may_hold_frames(path)
        if not is_video:
            return None
        return FoundVideo(entry.name, clip_stem(entry.name), *size_and_time(path, frames))
    except OSError:  # a link to itself, or what has just been removed
        return None


def _may_hold_frames(archive: Path) -> bool:
    try:
        first = next(tar_members(archive), None)
    except ClipError:  # a damaged or compressed one: a clip that fails, with the reason
        return True
    return first is not None and first.name.lower().endswith(IMAGE_SUFFIXES)


def _unreadable(folder: Path, error: OSError) -> DataMissingError:
    return DataMissingError(f"cannot read the folder {quoted(folder)}: {error.strerror or error}")
