"""Datasets and benchmarks of one's own, as `[datasets.NAME]` and `[benchmarks.NAME]` describe them.

The clips lie in class folders, or lists name them with their classes. The splits come from the
lists, from a pattern in the names, or from a ratio; they are one split, called `1`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from ta3n.common.errors import (
    ConfigError,
    DataConflictError,
    DataMissingError,
    UsageError,
    did_you_mean,
    shorten,
)
from ta3n.common.files import expand_home
from ta3n.common.log import LOGGER
from ta3n.common.sampling import Section
from ta3n.datasets.benchmarks.benchmark import Benchmark, Side
from ta3n.datasets.benchmarks.registry import BUILT_IN_DATASETS, Catalogue
from ta3n.datasets.custom.lists import (
    Entry,
    ListedFiles,
    has_splits,
    no_entry,
    read_list,
    stem_of,
)
from ta3n.datasets.custom.loose import VIDEOS
from ta3n.datasets.custom.settings import OWN_NAME
from ta3n.datasets.reading.base import (
    Clip,
    Dataset,
    ListedClip,
    Listing,
    clips_in,
    group_in,
    inner_name_of,
)
from ta3n.datasets.reading.folders import (
    SHOWN_SUFFIXES,
    LeftOut,
    class_folders,
    clip_stem,
    find_clip_folder,
    in_words,
    quoted,
)
from ta3n.datasets.reading.ratio import OWN_SPLIT, RatioSplit
from ta3n.datasets.reading.split_files import Role

if TYPE_CHECKING:
    from ta3n.datasets.custom.settings import BenchmarkSettings, DatasetSettings


@dataclass(frozen=True, kw_only=True)
class OwnDataset(Dataset):
    """A dataset as the table of a settings file describes it."""

    table: DatasetSettings

    @property
    def section(self) -> str:
        """Where its settings stand, for messages."""
        return f"[datasets.{self.name}]"

    def scan(
        self, root: Path, splits: Path | None = None, classes: Collection[str] | None = None
    ) -> Listing:
        """See `Dataset.scan`; the split does not depend on the classes that are asked for.

        Args:
            root: Folder of the class folders, or what listed paths are relative to.
            splits: Not for an own dataset: its table says where the splits come from.

        Raises:
            ConfigError: The table has a rule that does not fit the lists or names.
        """
        if splits is not None:
            raise UsageError(
                f"{self.name} is an own dataset, whose splits come from {self.section}; "
                "leave --splits and splits out"
            )
        given = expand_home(root).absolute()
        has_lists = self.table.train or self.table.clips
        absent: tuple[ListedClip, ...] = ()
        left_out: tuple[LeftOut, ...] = ()
        if has_lists:
            clips, absent = self._listed(given)
        else:
            clips, left_out = self._in_folders(given, classes or ())
        self._check_groups(
            [*(c.file for c in clips), *(f"{c.class_name}/{c.stem}" for c in absent)]
        )
        ratio = self._ratio_split(clips)
        if ratio is not None:
            for line in ratio.lines():
                LOGGER.warning("%s: %s", self.name, line)
        clips = self._with_rule(clips, ratio)
        if classes is not None:
            known = {c.class_name for c in clips} | {c.class_name for c in absent}
            self._check_classes(classes, known, clips, given)
            clips = tuple(clip for clip in clips if clip.class_name in classes)
            absent = tuple(clip for clip in absent if clip.class_name in classes)
            left_out = tuple(e for e in left_out if in_words(e.path.partition("/")[0]) in classes)
        return Listing(
            dataset=self.name,
            root=given.resolve(),
            clips=tuple(sorted(clips, key=lambda clip: clip.order)),
            absent=absent,
            splits_origin=ratio.origin if ratio is not None else self._origin(),
            left_out=left_out,
            ratio=ratio,
            reading=self.table.reading,
        )

    def _in_folders(
        self, given: Path, asked: Collection[str]
    ) -> tuple[tuple[Clip, ...], tuple[LeftOut, ...]]:
        frames = self.table.frames
        if find_clip_folder(given, (), nested=True, frames=frames) is None:
            state = "no clips in it" if given.is_dir() else "no such folder"
            raise DataMissingError(
                f"no clips of {self.name} at {quoted(given)}: {state}; looked for <class>/<clip> "
                f"with {SHOWN_SUFFIXES}, or a folder of frames; correct root in {self.section}, "
                "or give lists there"
            )
        clips, left_out = clips_in(
            given, class_folders(given), lambda _folder, _stem: {}, asked, frames
        )
        return tuple(clips), left_out

    def _listed(self, given: Path) -> tuple[tuple[Clip, ...], tuple[ListedClip, ...]]:
        files = ListedFiles(given, self.table.frames)
        clips: dict[str, Clip] = {}
        absent: dict[tuple[str, str], ListedClip] = {}
        missed: list[str] = []
        for entry in self.entries():
            splits = {} if entry.role is None else {OWN_SPLIT: entry.role}
            section = self._section_of(entry)
            found = files.find(entry.path)
            if found is None:
                stem = entry.id or f"{stem_of(entry.path)}{entry.suffix}"
                listed = ListedClip(class_name=entry.class_name, stem=stem, splits=splits)
                absent[entry.class_name, stem] = listed
                missed.append(entry.path)
                continue
            path, video = found
            clip = Clip(
                path=path if section is None else entry.id or f"{path}{entry.suffix}",
                class_name=entry.class_name,
                splits=splits,
                size_bytes=video.size_bytes,
                mtime_ns=video.mtime_ns,
                video=path if entry.may_be_section else None,
                section=section,
            )
            if clips.setdefault(clip.path, clip) != clip:
                other = clips[clip.path]
                way_out = "list it once" + ("" if section is None else ", or give a column id")
                if section is not None and entry.id:
                    way_out = "give each section an id of its own"
                raise DataConflictError(
                    f"{entry.line.place}: {quoted(entry.id or entry.path)} is listed before, for "
                    f"class {quoted(other.class_name)} and {other.splits.get(OWN_SPLIT, 'no part')}"
                    f", now for {quoted(entry.class_name)} and {entry.role or 'no part'}; "
                    f"{way_out}"
                )
        # A few: comparing names takes time.
        told = [f"{quoted(path)}{files.nearest(path, clips)}" for path in missed[:3]]
        if not clips:
            raise DataMissingError(
                f"none of the {len(absent)} listed clips of {self.name} is in {quoted(given)}, "
                f"such as {told[0]}; correct root or the lists in {self.section}"
            )
        if files.respelled:
            listed_as = [f"{quoted(a)} is {quoted(b)}" for a, b in files.respelled.items()]
            LOGGER.warning(
                "%s: %d listed paths are spelled otherwise than on disk: %s",
                *(self.name, len(listed_as), shorten(listed_as, 3)),
            )
        if missed:
            named = shorten([*told, *missed[len(told) :]], len(told))
            LOGGER.warning("%s: %d listed clips are not on disk: %s", self.name, len(missed), named)
        return tuple(clips.values()), tuple(absent[key] for key in sorted(absent))

    def _section_of(self, entry: Entry) -> Section | None:
        """Return the part of its video that a listed clip is, by the convention of the table."""
        if entry.section is None:
            return None
        if PurePosixPath(entry.id).is_absolute() or ".." in PurePosixPath(entry.id).parts:
            raise entry.line.malformed("a section whose id stays in its folder")
        start, stop = entry.section
        if entry.unit == "frames":
            first, last = self.table.first_frame, self.table.stop_frame
            if first is None or last is None:
                raise ConfigError(
                    f"{self.section}: {quoted(entry.line.file)} has sections by frames; "
                    "say first_frame = 0 or 1, the number of a video's first frame there, and "
                    "stop_frame = 'included' or 'excluded', whether that frame is in a section"
                )
            start, stop = start - first, stop - first + (last == "included")
        return Section(start=start, stop=stop, unit=entry.unit)

    def entries(self) -> Iterable[Entry]:
        """Yield what its lists say, clip by clip, whether it is on disk or not."""
        table = self.table
        roles: tuple[Role | None, ...] = ("train", "test", None)
        for files, role in zip((table.train, table.val, table.clips), roles, strict=True):
            entry = None
            for file in files:
                for entry in read_list(file, table.classes, role, dataset=self.name):
                    yield entry
            if files and entry is None:
                raise no_entry(files, self.name)

    def _check_groups(self, paths: Sequence[str]) -> None:
        """Refuse a pattern that finds nothing: it would keep no recording on one side."""
        if self.group_from_name is not None and paths and not any(map(self.group_of, paths)):
            raise ConfigError(
                f"{self.section}: groups {quoted(self.table.groups or '')} finds no group in any "
                f"of {len(paths)} names, such as {quoted(inner_name_of(paths[0]))}; correct it or "
                "leave it out"
            )

    def _ratio_split(self, clips: Iterable[Clip]) -> RatioSplit | None:
        table = self.table
        if table.val_ratio is None:
            return None
        groups = f" of groups {table.groups}" if table.groups else ""
        former = f"ratio {table.val_ratio:g}{groups}, seed {table.seed}"
        return RatioSplit(
            clips={
                c.path: (c.class_name, self.recording_of(c.class_name, c.path, c.video))
                for c in clips
            },
            ratio=table.val_ratio,
            seed=table.seed,
            origin=f"{former}, each by its name",
            former_origin=former,
        )

    def _with_rule(self, clips: Sequence[Clip], ratio: RatioSplit | None) -> tuple[Clip, ...]:
        """Return the clips with the split of a ratio or pattern, if that is the rule."""
        table = self.table
        if ratio is not None:
            splits = ratio.splits()
            return tuple(replace(clip, splits=splits[clip.path]) for clip in clips)
        if table.val_pattern is None:
            if table.clips and not all(map(has_splits, table.clips)):
                raise ConfigError(
                    f"{self.section}: {quoted(table.clips[0])} has no column split, and "
                    "there is no other rule; give val_ratio, val_pattern, or train and val lists"
                )
            return tuple(clips)
        given = table.train_pattern
        train = None if given is None else re.compile(in_words(given))
        stems = [clip_stem(clip.file.rpartition("/")[2]) for clip in clips]
        roles = split_by_pattern(stems, train, re.compile(in_words(table.val_pattern)))
        return tuple(
            replace(clip, splits={} if role is None else {OWN_SPLIT: role})
            for clip, role in zip(clips, roles, strict=True)
        )

    def _check_classes(
        self, asked: Iterable[str], known: Collection[str], clips: Iterable[Clip], root: Path
    ) -> None:
        on_disk = {clip.class_name for clip in clips}
        for class_name in asked:
            if class_name not in known:
                nearest = did_you_mean(class_name, sorted(known))
                raise UsageError(
                    f"{self.name} has no class {quoted(class_name)}{nearest}; it has "
                    f"{shorten(sorted(known))}"
                )
            if class_name not in on_disk:
                raise DataMissingError(
                    f"no clip of class {quoted(class_name)} of {self.name} is in {quoted(root)}"
                )

    def _origin(self) -> str:
        table = self.table
        if table.val_pattern is not None:
            return f"names: validation {table.val_pattern}"
        return f"lists {', '.join(map(str, (*table.train, *table.val, *table.clips)))}"


def _check_name(where: str, name: str, taken: Collection[str]) -> None:
    """Refuse a name that is taken, or that could not name a folder."""
    if name in taken:
        raise ConfigError(f"{where}: the name {quoted(name)} is taken; choose another")
    if not re.fullmatch(OWN_NAME, name):
        raise ConfigError(
            f"{where}: {quoted(name)} is no name here; use lower-case letters, digits, - _ and ."
        )


def own_datasets(tables: Mapping[str, DatasetSettings]) -> tuple[OwnDataset, ...]:
    """Return the datasets of a settings file.

    Raises:
        ConfigError: A name is taken, or none.
    """
    taken = {name for d in BUILT_IN_DATASETS for name in (d.name, d.short_name)} | {VIDEOS}
    found = []
    for name, table in tables.items():
        short_name = table.short_name or name
        for own in dict.fromkeys((name, short_name)):
            _check_name(f"[datasets.{name}]", own, taken)
            taken.add(own)
        groups = table.groups
        found.append(
            OwnDataset(
                name=name,
                short_name=short_name,
                group_from_name=None
                if groups is None
                else partial(group_in, re.compile(in_words(groups))),
                groups_span_classes=True,
                default_root=table.root,
                table=table,
            )
        )
    return tuple(found)


def own_benchmarks(
    tables: Mapping[str, BenchmarkSettings], known: Catalogue
) -> tuple[Benchmark, ...]:
    """Return the benchmarks of a settings file; `known` are all datasets, and others' benchmarks.

    Raises:
        ConfigError: A name is taken, a dataset is unknown, or a folder is of two classes.
    """
    taken = {benchmark.name for benchmark in known.benchmarks}
    for name in tables:
        _check_name(f"[benchmarks.{name}]", name, taken)
    return tuple(_benchmark(name, table, known) for name, table in tables.items())


def _benchmark(name: str, table: BenchmarkSettings, known: Catalogue) -> Benchmark:
    where = f"[benchmarks.{name}]"
    labels: dict[str, dict[str, int]] = {}
    own: set[str] = set()
    for label, (class_name, folders) in enumerate(table.classes.items()):
        for given, listed in folders.items():
            try:
                dataset = known.dataset(given)
            except UsageError as error:
                raise ConfigError(f"{where}: {error}") from error
            if isinstance(dataset, OwnDataset):
                own.add(dataset.name)
            for folder in listed:
                _check_folder(dataset, folder, where)
                if labels.setdefault(dataset.name, {}).setdefault(folder, label) != label:
                    raise ConfigError(
                        f"{where}: folder {quoted(folder)} of {dataset.name} is of two classes, "
                        f"{quoted(class_name)} is the second"
                    )
    return Benchmark(
        name=name,
        class_names=tuple(table.classes),
        split=table.split,
        sides={
            dataset: Side(labels=folders, split=OWN_SPLIT if dataset in own else None)
            for dataset, folders in labels.items()
        },
    )


def _check_folder(dataset: Dataset, folder: str, where: str) -> None:
    classes = dataset.table.classes if isinstance(dataset, OwnDataset) else ()
    if classes and folder not in classes:
        raise ConfigError(
            f"{where}: {dataset.name} has no class {quoted(folder)}{did_you_mean(folder, classes)}"
        )


# Rules that part the clips into training and validation: functions of names alone, so that every
# job on a cluster comes to the same split.


def split_by_pattern(
    stems: Sequence[str], train: re.Pattern[str] | None, val: re.Pattern[str]
) -> list[Role | None]:
    """Return what each name says: its role, or None where neither pattern is found in it.

    Args:
        stems: File names without suffix.
        train: Found in those to train on; None takes all that are not validated on.
        val: Found in those to validate on.

    Raises:
        DataConflictError: Both are found in one name.
    """
    roles: list[Role | None] = []
    for stem in stems:
        name = in_words(stem)
        is_val = val.search(name) is not None
        is_train = train.search(name) is not None if train is not None else not is_val
        if is_val and is_train:
            raise DataConflictError(
                f"train_pattern and val_pattern are both found in {quoted(stem)}; make them "
                "exclude each other"
            )
        roles.append("test" if is_val else "train" if is_train else None)
    return roles
