"""List files of one's own dataset: which clips there are, of which class and part, in which files.

Two forms. A table (`.csv`, `.tsv`) has a heading with `path` and, as far as needed, `label` or
`class`, `split`, `frames`, `dataset` where one list is of several, and `start_s` and `stop_s` or
`start_frame` and `stop_frame` with `id` where clips are sections; others are left alone. Without a
heading each line is `path,label`, and an annotation table of EPIC-KITCHENS-55 is known by its
columns. Any other file is as video lists are published: `path frames label` on each line,
`path label`, just `path`, or a number, the label and the path between tabs. Lists of other systems
are read too: with backslashes, semicolons or tabs between columns, in UTF-16 or a code page of
Windows, with letters composed otherwise than on disk.
"""

import csv
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NamedTuple

from ta3n.common.errors import DataConflictError, DataMissingError, did_you_mean, printable, shorten
from ta3n.datasets.reading.folders import (
    FoundVideo,
    class_folders,
    clip_stem,
    in_words,
    quoted,
    videos_below,
    videos_in,
)
from ta3n.datasets.reading.split_files import Role, SplitLine, read_lines

SECTION_COLUMNS: Mapping[Literal["seconds", "frames"], tuple[str, str]] = {
    "seconds": ("start_s", "stop_s"),
    "frames": ("start_frame", "stop_frame"),
}
"""What the columns are called that say where a section begins and ends, by their unit."""

_COLUMNS = {
    "path": ("path", "video", "file"),
    "label": ("label", "class"),
    "split": ("split",),
    "frames": ("frames", "published_frames"),
    "dataset": ("dataset",),
    "id": ("id",),
    **{name: (name,) for pair in SECTION_COLUMNS.values() for name in pair},
}
_OF_SECTIONS = {"id", *chain.from_iterable(SECTION_COLUMNS.values())}
# What lists have for other programs as well, or not at all.
_OPTIONAL = {"frames", *_OF_SECTIONS}
_KNOWN_COLUMNS = tuple(chain.from_iterable(_COLUMNS.values()))
# What the annotation tables of EPIC-KITCHENS-55 have; each row is a section of a recording.
_EPIC_COLUMNS = dict.fromkeys(("uid", "video_id", "verb_class"))
_OTHER_KINDS = (".json", ".pkl", ".pickle", ".xlsx", ".parquet", ".mat", ".npy")
# Of more digits it is none that counts clips, frames or classes.
_NUMBER = re.compile("[0-9]{1,9}")
_FRAME = re.compile("-?[0-9]{1,9}")
_TIME = re.compile(r"-?(?:(?:(\d{1,4}):)?(\d{1,4}):)?(\d{1,9}(?:\.\d*)?|\.\d+)")
_NUMBERED_LINE = re.compile("[0-9]+\t(?P<label>[0-9]+)\t(?P<path>.+)")
_SPLITS: Mapping[str, Role | None] = {
    "train": "train",
    "training": "train",
    "val": "test",
    "validation": "test",
    "test": "test",
    "": None,
    "unused": None,
}


@dataclass(frozen=True, slots=True)
class Entry:
    """A clip in a list.

    Attributes:
        path: As listed.
        role: Its part; None where the list does not say, or says that it is unused.
        line: Where it stands.
        num_frames: Its frames, if the list says so.
        may_be_section: Whether the list says of clips which part of a video they are.
        section: From where to where, as listed; None for all of the video.
        unit: Of these.
        id: Name of a section, empty if it has none.
    """

    path: str
    class_name: str
    role: Role | None
    line: SplitLine
    num_frames: int | None = None
    may_be_section: bool = False
    section: tuple[float, float] | None = None
    unit: Literal["seconds", "frames"] = "frames"
    id: str = ""

    @property
    def suffix(self) -> str:
        """What tells a section without an id from others of its video, as it is listed."""
        return "" if self.section is None else "#{:.12g}-{:.12g}".format(*self.section)


class _Fields(NamedTuple):
    path: str
    label: str = ""
    split: str | None = None
    frames: str = ""
    dataset: str = ""
    id: str = ""
    start_s: str | None = None
    stop_s: str | None = None
    start_frame: str | None = None
    stop_frame: str | None = None


def read_list(
    file: Path, classes: Sequence[str], role: Role | None = None, *, dataset: str | None = None
) -> Iterator[Entry]:
    """Yield the clips of a list.

    Args:
        classes: Names of the classes by label; none if the list names them, or numbers will do.
        role: What the whole list is for; None reads a column `split`.
        dataset: Only its clips, where there is a column `dataset`; None yields all.

    Raises:
        DataMissingError: The file cannot be read.
        DataConflictError: A line is malformed, its class or split is unknown, or the heading of a
            table has a mistyped column or none with the class.
    """
    for line, fields in _table_rows(file) if _is_table(file) else _plain_rows(file):
        if dataset is not None and fields.dataset not in ("", dataset):
            continue
        path = parts_of(fields.path)
        if not path.name or ".." in path.parts:
            raise line.malformed("the path of a clip")
        yield Entry(
            path=fields.path,
            class_name=_class_name(in_words(fields.label), path, classes, line),
            role=role or _role(fields.split, line),
            line=line,
            num_frames=int(fields.frames) if _NUMBER.fullmatch(fields.frames) else None,
            **_section(fields, line),
        )


def has_splits(file: Path) -> bool:
    """Tell whether a list is a table with a column `split`."""
    return _is_table(file) and any(fields.split is not None for _, fields in _table_rows(file))


def no_entry(files: Iterable[Path], dataset: str) -> DataMissingError:
    """Return the error for lists that have no clip of a dataset."""
    names = shorten(map(quoted, files), 3)
    rows = (fields for file in files if _is_table(file) for _, fields in _table_rows(file))
    values = sorted({fields.dataset for fields in rows if fields.dataset})
    if not values:
        return DataMissingError(f"no clip of {dataset} is listed in {names}; correct the list")
    return DataMissingError(
        f"no row of {names} is of dataset {dataset}; the column dataset has "
        f"{shorten(map(quoted, values))}{did_you_mean(dataset, map(printable, values))}; "
        "correct the column, or the name of the dataset"
    )


def _is_table(file: Path) -> bool:
    return file.suffix.lower() in (".csv", ".tsv")


def _lines(file: Path) -> list[SplitLine]:
    """Return the lines of a list without comments: `#` begins one where a blank follows it."""
    if file.suffix.lower() in _OTHER_KINDS:
        raise DataConflictError(
            f"{quoted(file)} is no list that is read here; make a table of it (.csv) with columns "
            "path, class and split"
        )
    return [line for line in read_lines(file) if not re.match("#( |$)", line.text)]


def _plain_rows(file: Path) -> Iterator[tuple[SplitLine, _Fields]]:
    for line in _lines(file):
        parts = line.text.split()
        numbered = _NUMBERED_LINE.fullmatch(line.text)
        if numbered and ("/" in (path := numbered["path"]) or clip_stem(path) != path):
            yield line, _Fields(path, numbered["label"])
        elif len(parts) == 1:
            yield line, _Fields(parts[0])
        else:
            # Blanks may be part of a path: what comes last is the label, before it the frames.
            num_last = 2 if len(parts) > 2 and parts[-2].isdigit() else 1
            path = line.text.rsplit(maxsplit=num_last)[0]
            yield line, _Fields(path, parts[-1], frames=parts[-2] if num_last == 2 else "")


def _table_rows(file: Path) -> Iterator[tuple[SplitLine, _Fields]]:
    lines = _lines(file)
    told = re.fullmatch(r"sep=(.)", lines[0].text) if lines else None
    if told:  # a line of Excel's
        lines = lines[1:]
    heading_text = lines[0].text if lines else ""
    delimiter = told[1] if told else max(",;\t|", key=heading_text.count)
    if file.suffix.lower() == ".tsv" and delimiter not in heading_text:
        delimiter = "\t"
    rows = list(csv.reader((line.text for line in lines), delimiter=delimiter))
    if not rows or len(rows) != len(lines):
        raise DataConflictError(f"{quoted(file)} is no table of a heading and a line for each clip")
    if _has_no_heading(rows[0]):
        yield from _rows_without_heading(lines, rows, delimiter)
        return
    heading = [name.strip().lower() for name in rows[0]]
    of_epic = set(heading) >= _EPIC_COLUMNS.keys()
    columns = _columns(heading, lines[0].place)
    if not of_epic:
        _check_section_columns(heading, columns, rows[1:], lines[0].place)
    for line, row in zip(lines[1:], rows[1:], strict=True):
        if not any(map(str.strip, row)):
            continue
        if len(row) > len(heading) and not any(map(str.strip, row[len(heading) :])):
            row = row[: len(heading)]
        if len(row) != len(heading):
            raise line.malformed(f"{len(heading)} values, as the heading has")
        fields = {name: row[at].strip() for name, at in columns.items()}
        yield line, _epic_fields(**fields) if of_epic else _Fields(**fields)


def _rows_without_heading(
    lines: Iterable[SplitLine], rows: Iterable[Sequence[str]], delimiter: str
) -> Iterator[tuple[SplitLine, _Fields]]:
    for line, row in zip(lines, rows, strict=True):
        if len(row) < 2 or not _NUMBER.fullmatch(row[-1].strip()):
            raise line.malformed("a path and the number of its class, as the first line is")
        # A name may hold the delimiter, whether it is quoted or not.
        yield line, _Fields(delimiter.join(row[:-1]).strip(), row[-1].strip())


def _epic_fields(uid: str, video_id: str, verb_class: str, **frames: str) -> _Fields:
    """Return a row of EPIC-KITCHENS-55: `P08_01_123` is section 123 of the recording `P08/P08_01`.

    Where the table lacks the frames of sections it is a clip of that name.
    """
    folder, name = video_id.partition("_")[0], f"{video_id}_{uid}"
    if not frames:
        return _Fields(f"{folder}/{name}", verb_class)
    return _Fields(f"{folder}/{video_id}", verb_class, id=name, **frames)


def _has_no_heading(first: Sequence[str]) -> bool:
    """Tell whether the first line of a table is a clip: a path and the number of its class."""
    is_numbered = len(first) > 1 and _NUMBER.fullmatch(first[-1].strip()) is not None
    return is_numbered and not set(_KNOWN_COLUMNS) & set(first)


def _columns(heading: Sequence[str], place: str) -> dict[str, int]:
    """Return where the columns are; a heading in which one is mistyped or lacking is refused."""
    if set(heading) >= _EPIC_COLUMNS.keys():
        frames = SECTION_COLUMNS["frames"]
        names = (*_EPIC_COLUMNS, *(frames if set(frames) <= set(heading) else ()))
        return {name: heading.index(name) for name in names}
    found = {
        field: heading.index(name)
        for field, names in _COLUMNS.items()
        for name in reversed(names)
        if name in heading
    }
    shown = (names for field, names in _COLUMNS.items() if field not in _OF_SECTIONS)
    known = f"known columns: {', '.join(chain.from_iterable(shown))}"
    # What a mistyped one would silently change: the class, the part or the choice of clips.
    lacking = [names for field, names in _COLUMNS.items() if field not in {*found, *_OPTIONAL}]
    others = [name for name in heading if name and name not in _KNOWN_COLUMNS]
    for name in others:
        # A column that is there already is not mistyped: class_name beside class says more.
        if nearest := did_you_mean(name, chain.from_iterable(lacking)):
            raise DataConflictError(
                f"{place}: column {quoted(name)} is not known{nearest}; rename or drop it; {known}"
            )
    if "path" not in found:
        columns = printable(shorten(heading, 10))
        raise DataConflictError(f"{place}: no column path in {columns}; {known}")
    if "label" not in found and others:
        raise DataConflictError(
            f"{place}: no column class or label beside {shorten(map(quoted, others))}; call "
            "that of the classes so, or, where folders are the classes, drop what is not known; "
            f"{known}"
        )
    return found


def _check_section_columns(
    heading: Sequence[str], columns: Mapping[str, int], rows: Iterable[Sequence[str]], place: str
) -> None:
    """Refuse columns of sections that are not a pair, or that seem to be mistyped."""
    pairs = [pair for pair in SECTION_COLUMNS.values() if not columns.keys().isdisjoint(pair)]
    if len(pairs) > 1:
        given = (next(name for name in pair if name in columns) for pair in pairs)
        raise DataConflictError(
            f"{place}: sections are given by {' and by '.join(given)}; keep one pair of columns"
        )
    if pairs:
        for name, other in (pairs[0], pairs[0][::-1]):
            if other not in columns:
                raise DataConflictError(f"{place}: column {name} needs {other} beside it")
        return
    # Of whole clips each is listed once; a video that comes again is meant in parts.
    known = list(chain.from_iterable(SECTION_COLUMNS.values()))
    nearest = {n: found for n in heading if n not in columns and (found := did_you_mean(n, known))}
    paths = [row[columns["path"]] for row in rows if len(row) > columns["path"]]
    if len(set(paths)) == len(paths):
        return
    if nearest:
        name, found = next(iter(nearest.items()))
        raise DataConflictError(
            f"{place}: videos are listed more than once, and column {quoted(name)} is not "
            f"known{found}; rename it, or list each video once"
        )
    at = columns.get("id")
    if at is not None and len({row[at] for row in rows if len(row) > at}) > len(set(paths)):
        raise DataConflictError(
            f"{place}: videos are listed more than once by column id, and no columns start_s and "
            "stop_s, or start_frame and stop_frame, say which part is meant; name them so, or "
            "list each video once"
        )


def _section(fields: _Fields, line: SplitLine) -> dict[str, Any]:
    """Return what an `Entry` has of a section."""
    for unit, columns in SECTION_COLUMNS.items():
        texts = [text for name in columns if (text := getattr(fields, name)) is not None]
        if not texts:
            continue
        if not any(texts):
            return {"may_be_section": True, "unit": unit}
        pattern, form = (_TIME, "seconds, or H:M:S") if unit == "seconds" else (_FRAME, "numbers")
        places = [match for text in texts if (match := pattern.fullmatch(text))]
        if len(places) < len(texts):
            raise line.malformed(f"a section: {' and '.join(columns)} are to be {form}")
        section = tuple(_seconds(m) if unit == "seconds" else int(m[0]) for m in places)
        return {"may_be_section": True, "unit": unit, "id": fields.id, "section": section}
    return {}


def _seconds(match: re.Match[str]) -> float:
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    total = 3600 * hours + 60 * minutes + seconds
    return -total if match[0].startswith("-") else total


def _class_name(label: str, path: PurePosixPath, classes: Sequence[str], line: SplitLine) -> str:
    if not label:
        if len(path.parts) < 2:
            raise line.malformed("a path with the folder of its class, or a path and a label")
        return path.parts[-2]
    if not classes or label in classes:
        return label
    if _NUMBER.fullmatch(label):
        if int(label) < len(classes):
            return classes[int(label)]
        raise line.malformed(f"a label from 0 to {len(classes) - 1}")
    nearest = did_you_mean(label, classes)
    raise DataConflictError(f"{line.place}: class {quoted(label)} is not one of classes{nearest}")


def _role(split: str | None, line: SplitLine) -> Role | None:
    if split is None:
        return None
    try:
        return _SPLITS[split.lower()]
    except KeyError as error:
        raise line.malformed("in a split train, val or test, or in none") from error


def parts_of(path: str) -> PurePosixPath:
    r"""Return a listed path by its parts, whether `/` or `\` is between them."""
    return PurePosixPath(path if "/" in path else path.replace("\\", "/"))


def stem_of(path: str) -> str:
    """Return the last part of a listed path, without a video's suffix."""
    return clip_stem(parts_of(path).name)


class ListedFiles:
    r"""Finds listed paths, with or without suffix, under a folder.

    A path whose folder is not there (published lists name folders of whoever wrote them) is looked
    for by its last part in the class folders. Where no file has a name exactly, the only one will
    do whose name differs in `\` for `/`, in how letters are encoded or composed, or in case.

    Args:
        frames: Pattern of frames' names: folders and archives of them are videos.

    Attributes:
        respelled: Listed path -> path on disk, of those that differ so.
    """

    def __init__(self, root: Path, frames: str = "") -> None:
        self._root = root
        self._frames = frames
        self._folders: dict[str, dict[str, FoundVideo] | None] = {}
        self._anywhere: dict[str, list[str]] | None = None
        self._by_spelling: dict[str, list[tuple[str, FoundVideo]]] | None = None
        self._by_last_part: dict[str, list[tuple[str, FoundVideo]]] = defaultdict(list)
        self.respelled: dict[str, str] = {}

    def find(self, path: str) -> tuple[str, FoundVideo] | None:
        """Return the file that a listed path means, with its path under the root, if it is there.

        Raises:
            DataConflictError: Several files would do.
            DataMissingError: A folder cannot be read.
        """
        found = self._find_exactly(path)
        if found is None and (found := self._find_respelled(path)):
            self.respelled[path] = found[0]
        return found

    def nearest(self, path: str, but: Collection[str]) -> str:
        """Return `" (did you mean 'x'?)"` for the file with the nearest name, or nothing.

        Args:
            but: Paths of files that are not meant.
        """
        names = [p for files in self._spelled().values() for p, _ in files if p not in but]
        return did_you_mean(printable(str(parts_of(path))), map(printable, names))

    def _find_exactly(self, path: str) -> tuple[str, FoundVideo] | None:
        relative = PurePosixPath(path)
        if relative.is_absolute():
            root = PurePosixPath(self._root)
            relative = relative.relative_to(root) if relative.is_relative_to(root) else relative
        name = relative.name
        stem = clip_stem(name)
        parent = relative.parent.as_posix()
        videos = None if relative.is_absolute() else self._videos(parent)
        if videos is None:
            parent = self._folder_of(stem, path)
            videos = self._videos(parent) or {}
        video = videos.get(stem)
        return (PurePosixPath(parent, video.name).as_posix(), video) if video else None

    def _find_respelled(self, path: str) -> tuple[str, FoundVideo] | None:
        listed = parts_of(path)
        folder, stem = listed.parent, clip_stem(listed.name)
        found = self._spelled().get(spelling(str(folder / stem)), [])
        if not found and (not (self._root / folder).is_dir() or "\\" in path):
            # By the last part, as folders of whoever wrote the list are not here.
            found = self._by_last_part.get(spelling(stem), [])
        return found[0] if len(found) == 1 else None

    def _spelled(self) -> dict[str, list[tuple[str, FoundVideo]]]:
        if self._by_spelling is None:
            self._by_spelling = defaultdict(list)
            for folder in (".", *self._all_folders()):
                for stem, video in (self._videos(folder) or {}).items():
                    place = PurePosixPath(folder)
                    file = ((place / video.name).as_posix(), video)
                    self._by_spelling[spelling(str(place / stem))].append(file)
                    self._by_last_part[spelling(stem)].append(file)
        return self._by_spelling

    def _all_folders(self) -> list[str]:
        """Return the class folders, and the folders in them that hold videos."""
        found = []
        for folder in class_folders(self._root):
            try:
                videos, _ = videos_below(self._root / folder, equal_stems=True, frames=self._frames)
            except DataMissingError:  # nobody asked for it
                continue
            parents = (PurePosixPath(folder, video.name).parent.as_posix() for video in videos)
            found += list(dict.fromkeys(parents))
        return found

    def _videos(self, folder: str) -> dict[str, FoundVideo] | None:
        if folder not in self._folders:
            path = self._root / folder
            found = videos_in(path, self._frames) if path.is_dir() else None
            videos = None if found is None else {video.stem: video for video in found}
            self._folders[folder] = videos
        return self._folders[folder]

    def _folder_of(self, stem: str, path: str) -> str:
        if self._anywhere is None:
            self._anywhere = defaultdict(list)
            for folder in self._all_folders():
                for name in self._videos(folder) or ():
                    self._anywhere[name].append(folder)
        folders = self._anywhere.get(stem, ["."])
        if len(folders) > 1:
            raise DataConflictError(
                f"the listed {quoted(path)} may be in {' or '.join(map(quoted, folders))} of "
                f"{quoted(self._root)}; list it with its folder"
            )
        return folders[0]


def spelling(path: str) -> str:
    """Return a name as it is compared with others where none is the same exactly."""
    return in_words(path).casefold()
