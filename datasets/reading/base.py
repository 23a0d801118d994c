"""What a dataset is and what a scan of it yields; datasets with official layout and splits."""

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import ClassVar

from ta3n.common.errors import (
    DataConflictError,
    DataMissingError,
    UsageError,
    did_you_mean,
    shorten,
)
from ta3n.common.files import expand_home
from ta3n.common.sampling import AS_IT_IS, Reading, Section
from ta3n.datasets.reading.folders import (
    SHOWN_SUFFIXES,
    UNREADABLE,
    LeftOut,
    class_folders,
    clip_stem,
    entry_names,
    find_clip_folder,
    in_words,
    num_archives,
    quoted,
    videos_below,
    videos_outside,
)
from ta3n.datasets.reading.ratio import RatioSplit
from ta3n.datasets.reading.split_files import (
    Role,
    RoleTable,
    SplitFile,
    find_split_folder,
    read_split_files,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """A video of a dataset: a file, or a folder or archive of frames.

    Attributes:
        path: Relative to the clip folder, "/"-separated: `<class folder>/<file name>`, with the
            folders between them if there are some. The key.
        class_name: The class folder, composed, see `in_words`. Never taken from the file name,
            which may spell it otherwise (UCF101's
            `HandstandPushups/v_HandStandPushups_g01_c01.avi`).
        splits: Split -> role, for every official split that uses the clip.
        video: Path of the video that it is a section of, or may share with sections; None where
            it is just its own. The clip's path is then an id that no other has.
        section: Which part of the video it is; None for all of it.
    """

    path: str
    class_name: str
    splits: Mapping[str, Role]
    size_bytes: int
    mtime_ns: int
    video: str | None = None
    section: Section | None = None

    @property
    def file(self) -> str:
        """Path of the video that it is read from."""
        return self.video or self.path

    @property
    def order(self) -> tuple[str, float, float, str]:
        """What clips are sorted by: their paths, sections of one video side by side."""
        section = self.section
        start, stop = (section.start, section.stop) if section else (-math.inf, -math.inf)
        return self.file, start, stop, self.path

    @property
    def stem(self) -> str:
        """File name without its suffix; what split lists are matched by."""
        return clip_stem(self.path.rpartition("/")[2])


def inner_name_of(path: str) -> str:
    """Return a path inside its class folder without suffix: the stem, but for folders there."""
    return clip_stem(path.partition("/")[2] or path)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedClip:
    """A clip that the official splits name and that is not on disk."""

    class_name: str
    stem: str
    splits: Mapping[str, Role]


@dataclass(frozen=True, kw_only=True)
class Listing:
    """What a scan found.

    Attributes:
        root: The clip folder, absolute, links resolved.
        clips: Clips on disk, sorted by path, those in no official split too.
        absent: Clips that the official splits name and that are not on disk, sorted.
        splits_origin: Where the splits come from, to be shown to people.
        left_out: What lies there and is not taken, by path under the root.
        ratio: The rule for the splits where that is a ratio.
        aliases: Other spelling of a class folder -> the one that `absent` clips have.
        reading: What neither the clips nor their names tell of them.
    """

    dataset: str
    root: Path
    clips: tuple[Clip, ...]
    absent: tuple[ListedClip, ...]
    splits_origin: str
    left_out: tuple[LeftOut, ...] = ()
    ratio: RatioSplit | None = None
    aliases: Mapping[str, str] = field(default_factory=dict)
    reading: Reading = AS_IT_IS

    @property
    def classes(self) -> tuple[str, ...]:
        """Class folders with at least one clip, sorted."""
        return tuple(sorted({clip.class_name for clip in self.clips}))


def group_in(pattern: re.Pattern[str], stem: str) -> str | None:
    """Return what a pattern finds in a name: its captured parts, or all of it without any."""
    match = pattern.search(stem)
    if match is None:
        return None
    return "/".join(part or "" for part in match.groups()) if match.groups() else match.group()


def clips_in(
    root: Path,
    folders: Iterable[str],
    splits_of: Callable[[str, str], Mapping[str, Role]],
    must_read: Collection[str] = (),
    frames: str | None = None,
) -> tuple[list[Clip], tuple[LeftOut, ...]]:
    """Return the clips in and below class folders, and what is left out, by path under the root.

    Args:
        splits_of: Gives the splits of a clip by class folder and stem.
        must_read: Class folders that were asked for; others that cannot be read are left out.
        frames: Pattern of frames' names, see `videos_in`.

    Raises:
        DataConflictError: Two clips of a folder differ in their suffix only.
        DataMissingError: A folder that was asked for cannot be read.
    """
    clips = []
    left_out = list(videos_outside(root))
    for folder in folders:
        try:
            videos, others = videos_below(root / folder, frames=frames)
        except DataMissingError:
            if in_words(folder) in must_read:
                raise
            left_out.append(LeftOut(folder, UNREADABLE))
            continue
        left_out += [LeftOut(f"{folder}/{path}", reason) for path, reason in others]
        clips += [
            Clip(
                path=f"{folder}/{video.name}",
                class_name=in_words(folder),
                splits=splits_of(folder, video.stem),
                size_bytes=video.size_bytes,
                mtime_ns=video.mtime_ns,
            )
            for video in videos
        ]
    return clips, tuple(left_out)


@dataclass(frozen=True, kw_only=True)
class Dataset(ABC):
    """A dataset, built-in or one's own. It can be sent to other processes.

    Attributes:
        short_name: What the command line's `--source` and `--target` use.
        group_from_name: Derives from a clip's stem what it was cut from; None where names do not
            tell.
        groups_span_classes: Whether clips of different classes may be of one group.
        default_root: Where the clips lie if nobody says so; None where nothing tells.
        by_lists: Whether lists alone tell which clips there are, see `listed`.
    """

    by_lists: ClassVar[bool] = False
    name: str
    short_name: str
    group_from_name: Callable[[str], str | None] | None = None
    groups_span_classes: bool = False
    default_root: Path | None = None

    @abstractmethod
    def scan(
        self, root: Path, splits: Path | None = None, classes: Collection[str] | None = None
    ) -> Listing:
        """List the clips on disk with their class and splits.

        Args:
            root: Folder of the clips.
            splits: Folder of official split files; None looks for them, or needs none.
            classes: Classes to list; None lists all.

        Raises:
            DataMissingError: Clips, split files or a class are not there.
            DataConflictError: Clips or split files contradict each other.
            UsageError: `classes` names a class that does not exist.
        """

    def listed(
        self,
        splits: Path | None,  # noqa: ARG002
    ) -> Sequence[tuple[str, Role | None]] | None:
        """Return class and role of each row of its lists; None where it is not `by_lists`.

        Args:
            splits: Folder of the lists; None where the settings name them.

        Raises:
            UsageError: Nobody says where the lists are.
            DataMissingError: A list is not there.
            DataConflictError: A list is malformed.
        """
        return None

    def recording_of(self, class_name: str, path: str, video: str | None = None) -> tuple[str, str]:
        """Return what all clips of the dataset that were cut from one recording have in common.

        Such clips look alike, so that one is no test of a model that was trained on another. It is
        the class, empty where groups span classes, and the group, or the stem where there is none.

        Args:
            path: See `Clip`. Folders in its class folder tell apart clips of one stem, and may
                hold the group.
            video: Of a section: its sections of all classes are of one recording.
        """
        group = self.group_of(video or path)
        if video is not None:
            return "", group or clip_stem(video)
        spans = self.groups_span_classes and group is not None
        return "" if spans else class_name, group or inner_name_of(path)

    def group_of(self, path: str) -> str | None:
        """Return what a clip was cut from as far as its name tells; see `recording_of`."""
        find, stem = self.group_from_name, clip_stem(path.rpartition("/")[2])
        return (find(in_words(stem)) or find(in_words(inner_name_of(path)))) if find else None


@dataclass(frozen=True, kw_only=True)
class OfficialDataset(Dataset):
    """How one dataset lies on disk and how its official splits are read.

    Layouts (of folders and split files) and hints (where they come from) are for messages.

    Attributes:
        clip_folders: Official names of the clip folder; a user may give it or its parent.
        split_folders: Official names of the folder with the split files.
        split_file_name: Name of a split file; each of `split_subfolders` has one or more.
        find_split_files: Yields what is to be read of such a folder.
        split_line: A whole line of them, see `read_split_files`; `split_line_form` in words.
        roles_from_name: Derives a clip's splits from its stem where there are no split files;
            None where names do not tell.
        names_origin: What those splits come from, for `Listing.splits_origin`.
        folder_aliases: Other spelling of a class folder -> the official one.
    """

    layout: str
    source_hint: str
    splits_layout: str
    splits_hint: str
    clip_folders: tuple[str, ...]
    split_folders: tuple[str, ...]
    split_file_name: re.Pattern[str]
    split_subfolders: tuple[str, ...] = ("",)
    find_split_files: Callable[[Path], Iterable[SplitFile]]
    split_line: re.Pattern[str]
    split_line_form: str
    roles_from_name: Callable[[str], Mapping[str, Role]] | None = None
    names_origin: str = "names of the clips"
    folder_aliases: Mapping[str, str] = field(default_factory=dict)

    def scan(
        self, root: Path, splits: Path | None = None, classes: Collection[str] | None = None
    ) -> Listing:
        """See `Dataset.scan`.

        Args:
            root: The clip folder, or its parent in the official layout.
            splits: The folder with the official split files, or one that holds it; None looks
                beside and inside the data.
        """
        given = expand_home(root).absolute()
        clip_root = self._find_clips(given)
        folders = tuple(
            name
            for name in class_folders(clip_root)
            if name not in self.split_folders or not self.holds_splits(clip_root / name)
        )
        table, origin = self._official_splits(given, clip_root, splits)
        if classes is None:
            self._check_same_dataset(clip_root, folders, table)
        else:
            self._check_classes(classes, clip_root, folders, table)
            folders = tuple(sorted(set(classes)))
        roles = partial(self._roles, table)
        clips, left_out = clips_in(clip_root, folders, roles, classes or ())
        if table is None and not any(clip.splits for clip in clips):
            raise self._no_splits(self._split_bases(given, clip_root))
        if classes is not None:
            self._check_not_empty(folders, clips, clip_root)
        return Listing(
            dataset=self.name,
            root=clip_root.resolve(),
            clips=tuple(sorted(clips, key=lambda clip: clip.path)),
            absent=self._absent(clips, table or {}, classes),
            splits_origin=origin,
            left_out=left_out,
            aliases=self.folder_aliases,
        )

    def holds_splits(self, folder: Path) -> bool:
        """Tell whether a folder, which may not exist, holds the split files."""
        files = (entry_names(folder / inside) for inside in self.split_subfolders)
        return all(any(map(self.split_file_name.fullmatch, names)) for names in files)

    def read_splits(self, folder: Path) -> RoleTable:
        """Read the split files of a folder.

        Raises:
            DataMissingError: A file is missing beside others, or cannot be read.
            DataConflictError: A file or line is not of the official form, or a split lists a clip
                for training and testing.
        """
        files = self.find_split_files(folder)
        return read_split_files(files, self.split_line, self.split_line_form)

    def _find_clips(self, given: Path) -> Path:
        if clip_root := find_clip_folder(given, self.clip_folders):
            return clip_root
        looked_in = (given, *(given / name for name in self.clip_folders))
        places = shorten(map(quoted, looked_in))
        archives = sum(map(num_archives, looked_in))
        packed = f" (it holds {archives} archives: unpack them first)" if archives else ""
        state = "no clips in it" if given.is_dir() else "no such folder"
        raise DataMissingError(
            f"no clips of {self.name} at {quoted(given)}: {state}{packed}; looked for "
            f"{self.layout} in {places}; they come as {self.source_hint}"
        )

    def _split_bases(self, given: Path, clip_root: Path) -> tuple[Path, ...]:
        """Return where split files may lie: inside and beside the data, links kept and resolved."""
        inside = (clip_root, given, clip_root.resolve())
        folders = dict.fromkeys((*inside, *(folder.parent for folder in inside)))
        return tuple(base for folder in folders for base in (folder, folder / "splits"))

    def _official_splits(
        self, given: Path, clip_root: Path, splits: Path | None
    ) -> tuple[RoleTable | None, str]:
        """Return the roles and their origin; the table is None where names have to tell."""
        named = () if splits is None else (expand_home(splits).absolute(),)
        bases = named or self._split_bases(given, clip_root)
        names = (*self.split_folders, self.name, self.short_name)
        if folder := find_split_folder(bases, names, self.holds_splits):
            if table := self.read_splits(folder):
                return table, str(folder)
            raise DataMissingError(
                f"the split files of {self.name} in {quoted(folder)} list no clip; "
                f"they come as {self.splits_hint}"
            )
        # A folder that was named and is wrong must never be replaced silently.
        if splits is None and self.roles_from_name is not None:
            return None, self.names_origin
        raise self._no_splits(bases)

    def _no_splits(self, bases: Collection[Path]) -> DataMissingError:
        children = shorten(f"{name}/" for name in (*self.split_folders, self.name))
        return DataMissingError(
            f"no official splits of {self.name}: looked for {self.splits_layout}, there or under "
            f"{children}, in {shorten((quoted(base) for base in bases), limit=len(bases))}; "
            f"they come as {self.splits_hint}"
        )

    def _check_same_dataset(
        self, clip_root: Path, folders: Collection[str], table: RoleTable | None
    ) -> None:
        known = {class_name for class_name, _ in table or {}}
        if known and known.isdisjoint(map(self._official_name, folders)):
            raise DataConflictError(
                f"no folder in {quoted(clip_root)} is a class of {self.name}: it has "
                f"{shorten(map(quoted, folders), limit=3)}, expected names such as "
                f"{shorten(map(quoted, sorted(known)), limit=3)}; check the dataset and its folder"
            )

    def _check_classes(
        self,
        classes: Iterable[str],
        clip_root: Path,
        folders: Collection[str],
        table: RoleTable | None,
    ) -> None:
        official = {class_name for class_name, _ in table or {}}
        names = {*folders, *official}
        for class_name in classes:
            if class_name in folders:
                continue
            nearest = "" if class_name in names else did_you_mean(class_name, sorted(names))
            # Without split files nothing tells a mistyped class from a missing folder.
            if table is not None and class_name not in official:
                raise UsageError(f"{self.name} has no class {quoted(class_name)}{nearest}")
            raise DataMissingError(
                f"class {quoted(class_name)} of {self.name} is not on disk: no folder "
                f"{quoted(clip_root / class_name)}{nearest}; it comes with {self.source_hint}; "
                "--allow-missing goes on without it"
            )

    def _check_not_empty(
        self, folders: Iterable[str], clips: Iterable[Clip], clip_root: Path
    ) -> None:
        filled = {clip.class_name for clip in clips}
        for folder in folders:
            if folder not in filled:
                raise DataMissingError(
                    f"class {quoted(folder)} of {self.name} has no clips on disk: looked for "
                    f"{SHOWN_SUFFIXES} in {quoted(clip_root / folder)}; they come with "
                    f"{self.source_hint}"
                )

    def _roles(self, table: RoleTable | None, folder: str, stem: str) -> Mapping[str, Role]:
        if table is not None:
            return table.get((self._official_name(folder), stem), {})
        return self.roles_from_name(stem) if self.roles_from_name else {}

    def _official_name(self, folder: str) -> str:
        return self.folder_aliases.get(folder, folder)

    def _absent(
        self, clips: Iterable[Clip], table: RoleTable, classes: Collection[str] | None
    ) -> tuple[ListedClip, ...]:
        present = {(self._official_name(c.class_name), c.stem) for c in clips}
        wanted = None if classes is None else set(map(self._official_name, classes))
        return tuple(
            ListedClip(class_name=class_name, stem=stem, splits=roles)
            for (class_name, stem), roles in sorted(table.items())
            if (class_name, stem) not in present and (wanted is None or class_name in wanted)
        )
