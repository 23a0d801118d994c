"""The files that the lines of a list mean, each folder looked into once."""

from collections import defaultdict
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from ta3n.common.errors import DataConflictError
from ta3n.datasets.reading.folders import FoundVideo, class_folders, quoted, video_stem, videos_in


class ListedFile(NamedTuple):
    """A file on disk.

    Attributes:
        path: Relative to the dataset's folder.
        size_bytes: Its size.
        mtime_ns: Time of its last change.
    """

    path: str
    size_bytes: int
    mtime_ns: int


class ListedFiles:
    """Finds listed paths, with or without suffix, under a folder.

    A path whose folder is not there (published lists name folders of whoever wrote them) is looked
    for by its last part in the class folders.

    Args:
        root: What paths are relative to.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folders: dict[str, dict[str, FoundVideo] | None] = {}
        self._anywhere: dict[str, list[str]] | None = None

    def stem_of(self, path: str) -> str:
        """Return the last part of a listed path, without a video's suffix."""
        name = PurePosixPath(path).name
        return video_stem(name) or name

    def find(self, path: str) -> ListedFile | None:
        """Return the file that a listed path means, or None if it is not on disk.

        Raises:
            DataConflictError: Several files would do.
            DataMissingError: A folder cannot be read.
        """
        relative = PurePosixPath(path)
        if relative.is_absolute():
            root = PurePosixPath(self._root)
            relative = relative.relative_to(root) if relative.is_relative_to(root) else relative
        stem = self.stem_of(path)
        parent = relative.parent.as_posix()
        videos = None if relative.is_absolute() else self._videos(parent)
        if videos is None:
            parent = self._folder_of(stem, path)
            videos = self._videos(parent) or {}
        video = videos.get(stem)
        if video is None:
            return None
        found = PurePosixPath(parent, video.name).as_posix()
        return ListedFile(found, video.size_bytes, video.mtime_ns)

    def _videos(self, folder: str) -> dict[str, FoundVideo] | None:
        if folder not in self._folders:
            path = self._root / folder
            videos = {v.stem: v for v in videos_in(path)} if path.is_dir() else None
            self._folders[folder] = videos
        return self._folders[folder]

    def _folder_of(self, stem: str, path: str) -> str:
        if self._anywhere is None:
            self._anywhere = defaultdict(list)
            for folder in class_folders(self._root):
                for name in self._videos(folder) or ():
                    self._anywhere[name].append(folder)
        folders = self._anywhere.get(stem, ["."])
        if len(folders) > 1:
            raise DataConflictError(
                f"the listed {quoted(path)} may be in {' or '.join(map(quoted, folders))} of "
                f"{quoted(self._root)}; list it with its folder"
            )
        return folders[0]
