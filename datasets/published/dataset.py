"""Datasets that are known by published lists, of which a user brings copies of their own."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from ta3n.common.errors import DataConflictError, DataMissingError, UsageError, shorten
from ta3n.common.files import expand_home
from ta3n.datasets.custom.dataset import OwnDataset
from ta3n.datasets.custom.lists import Entry
from ta3n.datasets.custom.settings import DatasetSettings, DataSettings
from ta3n.datasets.reading.base import Dataset, Listing
from ta3n.datasets.reading.folders import quoted
from ta3n.datasets.reading.split_files import Role

_PICKLES = (".pkl", ".pickle")


class _ByLists(OwnDataset):
    """What reads the lists: their rows are those of an own dataset.

    Sections are parts of their recordings where the settings say how frames are counted, else clips
    that were cut from these before, of the sections' names.
    """

    @property
    def section(self) -> str:
        return f"[data.{self.name}]"

    def entries(self) -> Iterable[Entry]:
        """See `OwnDataset.entries`."""
        whole = self.table.first_frame is None and self.table.stop_frame is None
        for entry in super().entries():
            if whole and entry.may_be_section:
                path = str(PurePosixPath(entry.path).with_name(entry.id))
                yield replace(entry, path=path, may_be_section=False, section=None, id="")
            else:
                yield entry


@dataclass(frozen=True, kw_only=True)
class ListedDataset(Dataset):
    """A dataset whose clips, classes and parts stand in lists that others published.

    Attributes:
        class_names: Names of the classes by label.
        train_names: What the list to train on may be called as published; `val_names` likewise.
        hint: Where the lists come from, for messages.
        given: What the settings say of it: one's own copies, whatever they are called, and how
            its videos are read.
    """

    class_names: tuple[str, ...]
    train_names: tuple[str, ...]
    val_names: tuple[str, ...]
    hint: str
    given: DataSettings = field(default_factory=DataSettings)
    by_lists = True

    def scan(
        self, root: Path, splits: Path | None = None, classes: Collection[str] | None = None
    ) -> Listing:
        """See `Dataset.scan`.

        Args:
            root: Folder that holds the listed clips, at whatever depth.
            splits: Folder that holds the lists by their published names, at whatever depth; None
                takes those that the settings name.
        """
        return self._by_lists(splits).scan(root, None, classes)

    def listed(self, splits: Path | None) -> tuple[tuple[str, Role | None], ...]:
        """See `Dataset.listed`."""
        return tuple((entry.class_name, entry.role) for entry in self._by_lists(splits).entries())

    def _by_lists(self, splits: Path | None) -> OwnDataset:
        given = self.given.for_lists
        train, val = given.pop("train", ()), given.pop("val", ())
        if splits is not None:
            folder = expand_home(splits).absolute()
            train = (self._find(folder, self.train_names),)
            val = (self._find(folder, self.val_names),)
        if not train or not val:
            raise UsageError(
                f"no lists of {self.name}; give --splits DIR, a folder with {self.train_names[0]} "
                f"and {self.val_names[0]}, or train and val under [data.{self.name}] in "
                f"pipeline.toml; they come from {self.hint}"
            )
        return _ByLists(
            name=self.name,
            short_name=self.short_name,
            group_from_name=self.group_from_name,
            groups_span_classes=self.groups_span_classes,
            default_root=self.default_root,
            table=DatasetSettings(train=train, val=val, classes=self.class_names, **given),
        )

    def _find(self, folder: Path, names: Iterable[str]) -> Path:
        """Return the list of the first of these names, the one that lies the least deep."""
        names = tuple(names)
        if not folder.is_dir():
            raise DataMissingError(f"no folder {quoted(folder)} with the lists of {self.name}")
        found = sorted(folder.rglob("*"), key=lambda path: (len(path.parts), path))
        for name in names:
            files = [path for path in found if path.name == name]
            if len(files) > 1 and len(files[0].parts) == len(files[1].parts):
                raise DataConflictError(
                    f"{quoted(files[0])} and {quoted(files[1])} may both be the list of "
                    f"{self.name}; name the folder of one"
                )
            if files:
                return files[0]
        stems = {Path(name).stem for name in names}
        for path in found:
            if path.stem in stems and path.suffix.lower() in _PICKLES:
                raise DataMissingError(
                    f"{quoted(path)} is a pickle, which may run code when it is opened; write it "
                    f"as a table where you trust it: pandas.read_pickle('{path.name}')"
                    f".to_csv('{path.stem}.csv')"
                )
        raise DataMissingError(
            f"no list of {self.name} in {quoted(folder)}: looked for {shorten(names)}; the lists "
            f"come from {self.hint}"
        )
