"""What a scan of a dataset yields."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ta3n.datasets.reading.split_files import Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """A video file of a dataset.

    Attributes:
        path: Relative to the clip folder, "/"-separated: `<class folder>/<file name>`. The key.
        class_name: The class folder. Never taken from the file name, which may spell it otherwise
            (UCF101's `HandstandPushups/v_HandStandPushups_g01_c01.avi`).
        splits: Split -> role, for every official split that uses the clip.
        size_bytes: Size of the file.
        mtime_ns: Time of its last change.
    """

    path: str
    class_name: str
    splits: Mapping[str, Role]
    size_bytes: int
    mtime_ns: int

    @property
    def stem(self) -> str:
        """File name without its suffix; what split lists are matched by."""
        return self.path.rpartition("/")[2].rpartition(".")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedClip:
    """A clip that the official splits name and that is not on disk.

    Attributes:
        class_name: The class folder it belongs in.
        stem: Its file name without suffix.
        splits: Split -> role, as in `Clip`.
    """

    class_name: str
    stem: str
    splits: Mapping[str, Role]


@dataclass(frozen=True, kw_only=True)
class Listing:
    """What a scan found.

    Attributes:
        dataset: Name of the dataset.
        root: The clip folder, absolute, links resolved.
        clips: Clips on disk, sorted by path, those in no official split too.
        absent: Clips that the official splits name and that are not on disk, sorted.
        splits_origin: Where the splits come from, to be shown to people.
    """

    dataset: str
    root: Path
    clips: tuple[Clip, ...]
    absent: tuple[ListedClip, ...]
    splits_origin: str

    @property
    def classes(self) -> tuple[str, ...]:
        """Class folders with at least one clip, sorted."""
        return tuple(sorted({clip.class_name for clip in self.clips}))

    @property
    def num_bytes(self) -> int:
        """Size of all clips together."""
        return sum(clip.size_bytes for clip in self.clips)

    def in_split(self, split: str, role: Role) -> tuple[Clip, ...]:
        """Return the clips that an official split uses for `role`."""
        return tuple(clip for clip in self.clips if clip.splits.get(split) == role)
