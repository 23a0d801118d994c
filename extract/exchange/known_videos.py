"""Which videos a dataset has, without its clips on disk: for features that come from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ta3n.common.errors import DataConflictError, DataMissingError, UsageError
from ta3n.datasets.benchmarks.benchmark import Benchmark
from ta3n.datasets.custom.lists import Entry, has_splits, read_list
from ta3n.datasets.reading.base import Dataset, ListedClip, OfficialDataset
from ta3n.datasets.reading.folders import quoted, video_stem
from ta3n.datasets.reading.split_files import Role, find_split_folder

_SUFFIX = ".avi"
_LIST_ROLES: tuple[tuple[str, Role], ...] = (("train", "train"), ("val", "test"), ("test", "test"))


@dataclass(frozen=True, slots=True)
class KnownVideo:
    """A video that lists or split files tell of.

    Attributes:
        path: Of its clip in the dataset, as far as it is known.
        class_name: Its class.
        splits: Split -> role.
        num_frames: Frames that a list declares, or None.
    """

    path: str
    class_name: str
    splits: Mapping[str, Role]
    num_frames: int | None = None

    @property
    def stem(self) -> str:
        """Name without suffix."""
        return PurePosixPath(self.path).stem


def from_lists(
    lists: Sequence[Path], dataset: Dataset, benchmark: Benchmark | None
) -> list[KnownVideo]:
    """Return the videos of published lists.

    Args:
        lists: Tables with a column `split`, or files named after what they are for: `train` or
            `val`.
        dataset: Whose videos.
        benchmark: Gives the class folders of numeric labels.

    Raises:
        UsageError: A list does not tell what it is for, or numbers what no benchmark names.
        DataMissingError: A list cannot be read.
        DataConflictError: A line is malformed, or a video is listed twice, differently.
    """
    split = (benchmark.side(dataset.name).split or benchmark.split) if benchmark else "1"
    known: dict[str, KnownVideo] = {}
    for file in lists:
        for entry in read_list(file, (), _role_of(file), dataset=dataset.name):
            class_name = _class_folder(entry, dataset, benchmark)
            name = PurePosixPath(entry.path).name
            stem = video_stem(name) or name
            video = KnownVideo(
                path=f"{class_name}/{stem}{_SUFFIX}",
                class_name=class_name,
                splits={} if entry.role is None else {split: entry.role},
                num_frames=entry.num_frames,
            )
            if known.setdefault(stem, video) != video:
                raise DataConflictError(
                    f"{quoted(file)}, line {entry.line.number}: {quoted(stem)} is listed before, "
                    "with another class, part or number of frames; list it once"
                )
    return list(known.values())


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
        return present + list(_from_listed(listing.absent))
    if splits is None or not isinstance(dataset, OfficialDataset):
        raise UsageError(
            f"nothing tells classes and splits of {dataset.name}; give --lists, --splits with the "
            "official split files, or --root with the clips"
        )
    folder = find_split_folder(
        (splits.expanduser().absolute(),),
        (*dataset.split_folders, dataset.name),
        dataset.holds_splits,
    )
    if folder is None:
        raise DataMissingError(
            f"no split files of {dataset.name} in {quoted(splits)}: looked for "
            f"{dataset.splits_layout}"
        )
    listed = (
        ListedClip(class_name=class_name, stem=stem, splits=roles)
        for (class_name, stem), roles in sorted(dataset.read_splits(folder).items())
    )
    return list(_from_listed(listed))


def _from_listed(clips: Iterable[ListedClip]) -> Iterator[KnownVideo]:
    for clip in clips:
        yield KnownVideo(f"{clip.class_name}/{clip.stem}{_SUFFIX}", clip.class_name, clip.splits)


def _role_of(file: Path) -> Role | None:
    if has_splits(file):
        return None
    for word, role in _LIST_ROLES:
        if word in file.name.lower():
            return role
    raise UsageError(
        f"the list {quoted(file)} does not tell what it is for; its name must hold train or val, "
        "or it must be a table with a column split"
    )


def _class_folder(entry: Entry, dataset: Dataset, benchmark: Benchmark | None) -> str:
    label = entry.class_name
    if not label.isdigit():
        return label
    where = f"{quoted(entry.line.file)}, line {entry.line.number}"
    if benchmark is None:
        raise UsageError(f"{where}: label {label} is a number; give --benchmark, which names it")
    labels = benchmark.side(dataset.name).labels
    folders = sorted(folder for folder, number in labels.items() if number == int(label))
    if not folders:
        raise UsageError(f"{where}: label {label} is of no class of {benchmark.name}")
    # Of several folders of a class the one that the name holds: v_RopeClimbing_g01_c01.
    name = PurePosixPath(entry.path).name.lower()
    return next((folder for folder in folders if f"_{folder.lower()}_" in name), folders[0])
