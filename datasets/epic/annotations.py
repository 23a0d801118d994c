"""The annotation files of the EPIC-KITCHENS-100 challenge, as a user has them: `.csv` or `.csv.gz`.

The files may not be shipped, so a user's own copy is read, and checked line by line: every id has
to be of its video, every label of a class. Nothing is taken from columns that nobody needs (the
time of the narration is empty in some rows of the published files).
"""

import csv
import gzip
import io
import re
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ta3n.common.errors import DataConflictError, DataMissingError, printable, reason_of, shorten
from ta3n.common.files import decode_text, expand_home
from ta3n.common.log import LOGGER
from ta3n.datasets.benchmarks.benchmark import UNLABELLED
from ta3n.datasets.epic.challenge import (
    ANNOTATIONS_HINT,
    EPIC_SPLITS,
    NOUN_CLASSES,
    NUM_NOUNS,
    NUM_VERBS,
    PUBLISHED,
    TAIL_NOUNS,
    TAIL_VERBS,
    UDA_FOLDER,
    VERB_CLASSES,
    Counts,
    EpicSplit,
)
from ta3n.datasets.reading.folders import quoted

_TIMES = (
    *("narration_id", "participant_id", "video_id", "narration_timestamp"),
    *("start_timestamp", "stop_timestamp", "start_frame", "stop_frame"),
)
_LABELS = (
    *("narration", "verb", "verb_class", "noun", "noun_class", "all_nouns", "all_noun_classes"),
)
_CLASSES = ("id", "key", "instances", "category")
_ALWAYS_LABELLED: tuple[EpicSplit, ...] = ("source_train", "source_val")
_SUFFIXES = (".csv", ".csv.gz")
_NUMBER = re.compile("[0-9]{1,9}")
_NUMBERS = re.compile(r"\[[0-9]{1,9}(, ?[0-9]{1,9})*\]")
_LONGEST_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Segment:
    """One action: a section of a video.

    Attributes:
        narration_id: Its name: that of the video, and a number.
        verb: Class number, or -1 where the table tells none; `noun` likewise.
    """

    narration_id: str
    participant_id: str
    video_id: str
    verb: int = UNLABELLED
    noun: int = UNLABELLED

    @property
    def labels(self) -> tuple[int, int]:
        """Verb and noun."""
        return self.verb, self.noun

    @property
    def class_name(self) -> str:
        """Verb and noun as a clip's class is written, empty where the table tells none."""
        return "" if UNLABELLED in self.labels else f"{self.verb},{self.noun}"


@dataclass(frozen=True, slots=True)
class SegmentTable:
    """The segments of a part of the challenge, in the order of its file.

    Attributes:
        labelled: Whether the file has columns of labels.
    """

    split: EpicSplit
    file: Path
    labelled: bool
    segments: tuple[Segment, ...]

    @property
    def ids(self) -> tuple[str, ...]:
        """Names of the segments."""
        return tuple(segment.narration_id for segment in self.segments)

    @property
    def counts(self) -> Counts:
        """How much it holds."""
        labels = [s.labels for s in self.segments if self.labelled]
        return Counts(
            rows=len(self.segments),
            participants=len({s.participant_id for s in self.segments}),
            videos=len({s.video_id for s in self.segments}),
            verbs=len({verb for verb, _ in labels}),
            nouns=len({noun for _, noun in labels}),
            pairs=len(set(labels)),
        )


@dataclass(frozen=True, slots=True)
class Annotations:
    """What an annotation folder tells.

    Attributes:
        tables: Those of the challenge's six that are there.
        verb_names: Of the classes by number; None where the list is not there. `noun_names`
            likewise.
        tail_verbs: Numbers of the classes that are rare; None where the list is not there.
            `tail_nouns` likewise.
    """

    folder: Path
    tables: Mapping[EpicSplit, SegmentTable]
    verb_names: tuple[str, ...] | None = None
    noun_names: tuple[str, ...] | None = None
    tail_verbs: frozenset[int] | None = None
    tail_nouns: frozenset[int] | None = None

    def table(self, split: EpicSplit) -> SegmentTable:
        """Return a table that is needed.

        Raises:
            DataMissingError: It is not there.
        """
        if split in self.tables:
            return self.tables[split]
        raise DataMissingError(
            f"no annotations of {split} in {quoted(self.folder)}: looked for "
            f"{PUBLISHED[split].table}.csv, plain or .gz; it is in {ANNOTATIONS_HINT}"
        )

    def differences(self) -> list[str]:
        """Return what differs from the published counts, a text for each table that does."""
        found = {s: t.counts.differences(PUBLISHED[s].counts) for s, t in self.tables.items()}
        return [f"{split} has {shorten(told, 6)}" for split, told in found.items() if told]


def read_annotations(folder: Path, splits: Collection[EpicSplit] = EPIC_SPLITS) -> Annotations:
    """Read the annotation files of a folder; say in a line what differs from those published.

    Args:
        folder: The annotation repository, its folder `UDA_annotations`, or one with files of both,
            each plain or packed by gzip.
        splits: The tables to be read, as far as they are there.

    Raises:
        DataMissingError: The folder holds no table, or a file cannot be read.
        DataConflictError: A file, or a line in it, is not of the published form.
    """
    folder = expand_home(folder)
    files = {split: _find(folder, PUBLISHED[split].table) for split in splits}
    tables = {split: _read_table(split, file) for split, file in files.items() if file}
    if not tables:
        state = "it holds none" if folder.is_dir() else "there is no such folder"
        raise DataMissingError(
            f"no annotations in {quoted(folder)}: {state}; looked for "
            f"{PUBLISHED['source_train'].table}.csv and the like, plain or .gz, as in "
            f"{ANNOTATIONS_HINT}"
        )
    _check_across(tables)
    found = Annotations(
        folder=folder,
        tables=tables,
        verb_names=_class_names(folder, VERB_CLASSES, NUM_VERBS),
        noun_names=_class_names(folder, NOUN_CLASSES, NUM_NOUNS),
        tail_verbs=_tail(folder, TAIL_VERBS, "verb", NUM_VERBS),
        tail_nouns=_tail(folder, TAIL_NOUNS, "noun", NUM_NOUNS),
    )
    if told := found.differences():
        LOGGER.warning("the annotations in %s are not those published: %s", folder, "; ".join(told))
    return found


@dataclass(frozen=True, slots=True)
class _Row:
    """A line of a table, by column."""

    file: Path
    number: int
    values: Mapping[str, str]

    def wrong(self, what: str) -> DataConflictError:
        return DataConflictError(f"{quoted(self.file)}, line {self.number}: {what}")

    def text(self, column: str) -> str:
        return printable(self.values[column][:_LONGEST_SHOWN])

    def number_of(self, column: str, end: int | None = None, first: int = 0) -> int:
        """Return the whole number in a column, which has to be below `end`."""
        value = self.values[column]
        if not _NUMBER.fullmatch(value) or int(value) < first:
            raise self.wrong(f"{column} is '{self.text(column)}', not a number from {first}")
        if end is not None and int(value) >= end:
            raise self.wrong(f"{column} is {value}, but classes are 0 to {end - 1}")
        return int(value)


def _find(folder: Path, name: str) -> Path | None:
    """Return a file of the folder, or of the repository that it is, or is a part of."""
    places = [folder, folder / UDA_FOLDER]
    if folder.name == UDA_FOLDER:
        places.append(folder.parent)
    paths = (place / f"{name}{suffix}" for place in places for suffix in _SUFFIXES)
    return next((path for path in paths if path.is_file()), None)


def _rows(file: Path, forms: Sequence[tuple[str, ...]]) -> Iterator[_Row]:
    """Yield the lines of a table whose heading is one of the forms, in any order of columns."""
    reader = csv.reader(io.StringIO(_text(file), newline=""), strict=True)
    try:
        heading = next(reader, [])
        columns = next((form for form in forms if sorted(form) == sorted(heading)), None)
        if columns is None:
            raise DataConflictError(f"{quoted(file)}: {_about_heading(heading, forms)}")
        for values in reader:
            if len(values) != len(heading):
                raise DataConflictError(
                    f"{quoted(file)}, line {reader.line_num}: {len(values)} columns instead of "
                    f"{len(heading)}"
                )
            yield _Row(file, reader.line_num, dict(zip(heading, values, strict=True)))
    except csv.Error as error:
        raise DataConflictError(f"{quoted(file)}, line {reader.line_num}: {error}") from error


def _text(file: Path) -> str:
    try:
        data = file.read_bytes()
        return decode_text(gzip.decompress(data) if file.suffix == ".gz" else data)
    except (OSError, EOFError, zlib.error) as error:
        raise DataMissingError(f"cannot read {quoted(file)}: {reason_of(error)}") from error


def _about_heading(heading: list[str], forms: Sequence[tuple[str, ...]]) -> str:
    if not heading:
        return "it is empty"
    shown = printable(",".join(heading)[:_LONGEST_SHOWN])
    nearest = max(forms, key=lambda form: len({*form} & {*heading}))
    told = {
        "lacks": [name for name in nearest if name not in heading],
        "has unknown": [name for name in heading if name not in nearest],
        "has twice": sorted({name for name in heading if heading.count(name) > 1}),
    }
    differs = "; ".join(f"{how} {printable(shorten(n))}" for how, n in told.items() if n)
    return f"the heading '{shown}' {differs}; fetch the file again from {ANNOTATIONS_HINT}"


def _read_table(split: EpicSplit, file: Path) -> SegmentTable:
    needed = split in _ALWAYS_LABELLED
    forms = [(*_TIMES, *_LABELS)] if needed else [_TIMES, (*_TIMES, *_LABELS)]
    num_digits = PUBLISHED[split].num_digits
    lines: dict[str, int] = {}
    segments: list[Segment] = []
    labelled = False
    for row in _rows(file, forms):
        labelled = "verb_class" in row.values
        segment = _segment(row, num_digits, labelled=labelled)
        if before := lines.get(segment.narration_id):
            raise row.wrong(f"{segment.narration_id} is in line {before} already")
        lines[segment.narration_id] = row.number
        segments.append(segment)
    if not segments:
        raise DataConflictError(f"{quoted(file)} lists no segment")
    return SegmentTable(split, file, labelled, tuple(segments))


def _segment(row: _Row, num_digits: int, *, labelled: bool) -> Segment:
    name, video, person = (row.values[c] for c in ("narration_id", "video_id", "participant_id"))
    if not re.fullmatch(rf"P[0-9]{{2}}_[0-9]{{{num_digits}}}", video):
        domain = "source" if num_digits == 2 else "target"
        form = "P01_11" if num_digits == 2 else "P01_101"
        raise row.wrong(f"video_id '{row.text('video_id')}' is not of the {domain}, as {form} is")
    if video.partition("_")[0] != person:
        raise row.wrong(f"participant_id '{row.text('participant_id')}' is not that of {video}")
    if not re.fullmatch(rf"{video}_[0-9]{{1,9}}", name):
        raise row.wrong(f"narration_id '{row.text('narration_id')}' is not {video}_ and a number")
    start, stop = row.number_of("start_frame", first=1), row.number_of("stop_frame", first=1)
    if stop < start:
        raise row.wrong(f"{name} stops at frame {stop} before it starts at {start}")
    if not labelled:
        return Segment(name, person, video)
    noun = row.number_of("noun_class", NUM_NOUNS)
    nouns = row.values["all_noun_classes"]
    if not _NUMBERS.fullmatch(nouns) or int(nouns[1:-1].split(",")[0]) != noun:
        raise row.wrong(
            f"all_noun_classes '{row.text('all_noun_classes')}' does not begin with noun_class "
            f"{noun}"
        )
    return Segment(name, person, video, row.number_of("verb_class", NUM_VERBS), noun)


def _check_across(tables: Mapping[EpicSplit, SegmentTable]) -> None:
    places: dict[str, Path] = {}
    for table in tables.values():
        for name in table.ids:
            if (other := places.setdefault(name, table.file)) != table.file:
                raise DataConflictError(
                    f"{name} is in {quoted(other)} and in {quoted(table.file)}; a segment is of "
                    "one part only"
                )


def _class_names(folder: Path, list_name: str, count: int) -> tuple[str, ...] | None:
    file = _find(folder, list_name)
    if file is None:
        return None
    names: list[str] = []
    for row in _rows(file, [_CLASSES]):
        if row.number_of("id", count) != len(names):
            raise row.wrong(f"id is {row.text('id')}, but {len(names)} comes next")
        names.append(row.values["key"])
    if len(names) != count:
        raise DataConflictError(f"{quoted(file)} lists {len(names)} classes instead of {count}")
    return tuple(names)


def _tail(folder: Path, list_name: str, column: str, count: int) -> frozenset[int] | None:
    file = _find(folder, list_name)
    if file is None:
        return None
    numbers = [row.number_of(column, count) for row in _rows(file, [(column,)])]
    if twice := sorted({n for n in numbers if numbers.count(n) > 1}):
        raise DataConflictError(f"{quoted(file)} lists {column} {twice[0]} twice")
    return frozenset(numbers)
