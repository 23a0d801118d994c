"""What may be wrong with the clips of datasets: found before hours are spent on them."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

from ta3n.common.errors import did_you_mean, printable, shorten
from ta3n.common.files import sha256_of, sha256_of_file
from ta3n.common.log import ProgressLine
from ta3n.common.sampling import Section
from ta3n.datasets.benchmarks.benchmark import Benchmark
from ta3n.datasets.benchmarks.few import worth_of_one
from ta3n.datasets.reading.base import Clip, Dataset, Listing
from ta3n.datasets.reading.folders import (
    entry_names,
    left_out_lines,
    published_name,
    video_stem,
)
from ta3n.datasets.reading.frame_files import frames_among
from ta3n.datasets.reading.split_files import ROLES, Role


class Problem(IntEnum):
    """What can be wrong; the value is the exit code of `ta3n-datasets check`, worst first."""

    CLASHES = 10
    LEAKS = 11
    DOMAINS = 12
    DUPLICATES = 13
    PARTS = 14
    ABSENT = 15
    COUNTS = 16

    @property
    def word(self) -> str:
        """What `--ignore` calls it."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong, and where, on one line."""

    problem: Problem
    text: str


@dataclass(frozen=True, slots=True)
class Member:
    """A clip that is looked at.

    Attributes:
        class_name: Of the benchmark, or the dataset's own.
        role: In the split, None where it does not use the clip.
    """

    clip: Clip
    class_name: str
    role: Role | None


@dataclass(frozen=True)
class DatasetClips:
    """The clips and classes of a dataset that are in question, and what a scan of it found.

    Attributes:
        num_absent: Clips that the split wants and that are not on disk.
        rows: How many clips the split has, on disk or not, by class and role.
        only_lists: Whether nothing but lists was looked at, so that there are no members.
    """

    dataset: Dataset
    listing: Listing
    class_names: tuple[str, ...]
    members: tuple[Member, ...]
    num_absent: int
    rows: Mapping[tuple[str, Role | None], int] = field(default_factory=Counter)
    only_lists: bool = False

    @property
    def counted(self) -> Mapping[tuple[str, Role | None], int]:
        """How many clips there are by class and role: of lists alone their rows."""
        if self.only_lists:
            return self.rows
        return Counter((member.class_name, member.role) for member in self.members)

    def classes_with(self, *roles: Role | None) -> set[str]:
        """Return the classes that have clips of one of these roles."""
        return {name for name, role in self.counted if role in roles}


def select_clips(
    dataset: Dataset,
    listing: Listing,
    benchmark: Benchmark | None,
    split: str | None,
    listed: Iterable[tuple[str, Role | None]] | None = None,
) -> DatasetClips:
    """Return the clips of a dataset that a benchmark, or else a split, is about.

    Args:
        benchmark: Gives the classes; None takes all of the dataset.
        split: None takes the benchmark's, or the first.
        listed: Class and role of each row of the dataset's lists, where it has some.
    """
    labels: Mapping[str, str] = {name: name for name in listing.classes}
    chosen = split or "1"
    if benchmark is not None:
        side = benchmark.side(dataset.name)
        labels = {folder: benchmark.class_names[n] for folder, n in side.labels.items()}
        chosen = split or benchmark.split_of(dataset.name)
    members = tuple(
        Member(clip, labels[clip.class_name], clip.splits.get(chosen))
        for clip in listing.clips
        if clip.class_name in labels
    )
    if benchmark is None:
        labels = {**labels, **{c.class_name: c.class_name for c in listing.absent}}
    absent = [c for c in listing.absent if c.class_name in labels and chosen in c.splits]
    rows = Counter((member.class_name, member.role) for member in members)
    rows.update((labels[clip.class_name], clip.splits[chosen]) for clip in absent)
    if listed is not None:
        rows = Counter((labels.get(name, name), role) for name, role in listed)
    names = benchmark.class_names if benchmark else tuple(labels)
    return DatasetClips(dataset, listing, names, members, len(absent), rows)


def listed_rows(
    dataset: Dataset, benchmark: Benchmark | None, listed: Sequence[tuple[str, Role | None]]
) -> DatasetClips:
    """Return what the lists of a dataset tell, where nobody says where its clips lie."""
    listing = Listing(dataset=dataset.name, root=Path(), clips=(), absent=(), splits_origin="lists")
    names = benchmark.class_names if benchmark else tuple(dict.fromkeys(n for n, _ in listed))
    return DatasetClips(dataset, listing, names, (), 0, Counter(listed), only_lists=True)


def find_problems(
    parts: Sequence[DatasetClips], benchmark: Benchmark | None, split: str | None = None
) -> Iterator[Finding]:
    """Yield everything that is wrong, kind by kind; every dataset must have a benchmark's classes.

    Args:
        split: That was chosen; published counts are those of the benchmark's.

    Raises:
        OSError: If a file cannot be read.
    """
    for part in parts:
        yield from _clashes(part)
        yield from _leaks(part)
    if benchmark is not None and len(parts) > 1:
        yield from _one_domain_only(parts, benchmark)
    if benchmark is not None:
        for part in parts:
            yield from _lacking_folders(part, benchmark)
    yield from _duplicates(parts)
    for part in parts:
        yield from _empty_parts(part)
        if benchmark is not None and split in (None, benchmark.split_of(part.dataset.name)):
            yield from _other_counts(part, benchmark)
        if part.num_absent:
            text = f"{part.dataset.name}: {part.num_absent} clips of the split are not on disk"
            yield Finding(Problem.ABSENT, text)


def find_notes(part: DatasetClips, benchmark: Benchmark | None = None) -> Iterator[str]:
    """Yield what is worth knowing of a dataset's clips and need not be wrong, a line each."""
    name, members = part.dataset.name, part.members
    if part.only_lists:
        return
    if part.dataset.groups_span_classes and part.dataset.group_from_name is not None:
        found = (part.dataset.group_of(m.clip.file) for m in members)
        groups = [group for group in found if group]
        yield (
            f"groups: {name}: {len(groups)} of {len(members)} names hold a group, "
            f"{len(set(groups))} groups"
        )
    yield from (f"{name}: {line}" for line in left_out_lines(part.listing.left_out))
    if benchmark is not None and (labels := benchmark.side(name).labels):
        others = [each for each in part.listing.classes if each not in labels]
        text = f"{_classes(others)} in no class of {benchmark.name}: {_shown(others)}"
        yield from [f"others: {name}: {text}"] if others else []
    if unused := [m.clip.path for m in members if m.role is None]:
        text = f"{len(unused)} clips are in no part of the split: {_shown(unused)}"
        yield f"unused: {name}: {text}"
    if sections := [m.clip.file for m in members if m.clip.section is not None]:
        yield f"sections: {name}: {len(sections)} clips are parts of {len(set(sections))} videos"
    if series := sorted({m.clip.file for m in members if video_stem(m.clip.file) is None}):
        text = f"{len(series)} videos are folders or archives of frames: {_shown(series)}"
        yield f"frames: {name}: {text}"
    if empty := [m.clip.path for m in members if m.clip.size_bytes == 0]:
        yield f"empty: {name}: {len(empty)} files are empty: {_shown(empty)}"


def find_few(part: DatasetClips) -> Iterator[str]:
    """Yield what one clip is worth where a class has few to test on."""
    counts = {name: part.rows.get((name, "test"), 0) for name in part.class_names}
    if text := worth_of_one(counts):
        yield printable(f"few: {part.dataset.name}: {text}")


def _clashes(part: DatasetClips) -> Iterator[Finding]:
    """Yield names that would be one where features are kept by name alone, or case is lost."""
    by_name: dict[str, list[str]] = defaultdict(list)
    for member in part.members:
        by_name[published_name(member.clip.stem)].append(member.clip.path)
    for paths in by_name.values():
        if len(paths) > 1:
            text = f"{part.dataset.name}: one name for {len(paths)} clips: {_shown(paths)}"
            yield Finding(Problem.CLASHES, text)


def _leaks(part: DatasetClips) -> Iterator[Finding]:
    """Yield recordings of which some clips are trained and some are validated on."""
    recordings: dict[tuple[str, str], dict[Role, list[Clip]]] = defaultdict(dict)
    for member in part.members:
        if member.role is not None:
            clip = member.clip
            key = part.dataset.recording_of(clip.class_name, clip.path, clip.video)
            recordings[key].setdefault(member.role, []).append(clip)
    for (class_name, group), by_role in sorted(recordings.items()):
        if len(by_role) > 1:
            name = f"{class_name}/{group}" if class_name else group
            train, test = (_shown((c.path for c in by_role[role]), 2) for role in ROLES)
            text = f"group {name} is in both parts: train {train}; val {test}"
            if pairs := list(_overlapping(by_role["train"], by_role["test"])):
                named = (f"{a.path} and {b.path}" for a, b in pairs[:3])
                text += f"; {len(pairs)} pairs overlap, such as {_shown(named)}"
            yield Finding(Problem.LEAKS, printable(f"{part.dataset.name}: {text}"))


def _overlapping(one: Iterable[Clip], other: Iterable[Clip]) -> Iterator[tuple[Clip, Clip]]:
    """Yield pairs of sections, or of a section and its video, that have frames in common."""
    by_video: dict[str, list[Clip]] = defaultdict(list)
    for clip in sorted(other, key=lambda clip: clip.order):
        by_video[clip.file].append(clip)
    for clip in sorted(one, key=lambda clip: clip.order):
        for another in by_video[clip.file]:
            a, b = clip.section, another.section
            if not a or not b or (a.unit == b.unit and a.overlaps(b)):
                yield clip, another


def _one_domain_only(parts: Sequence[DatasetClips], benchmark: Benchmark) -> Iterator[Finding]:
    filled = {part.dataset.name: part.classes_with(*ROLES, None) for part in parts}
    for class_name in benchmark.class_names:
        lacking = [name for name, classes in filled.items() if class_name not in classes]
        if lacking:
            there = [name for name in filled if name not in lacking]
            text = f"class {class_name} has no clips in any dataset"
            if there:
                text = f"class {class_name} has clips in {', '.join(there)} only"
                text += f", none in {', '.join(lacking)}"
            short = [part for part in parts if part.dataset.name in lacking]
            nearest = _nearest_class(short, benchmark, class_name)
            yield Finding(Problem.DOMAINS, printable(f"{text}{nearest}"))


def _lacking_folders(part: DatasetClips, benchmark: Benchmark) -> Iterator[Finding]:
    """Yield folders of a class without a clip, where the class has others that have some."""
    if part.only_lists:
        return
    side = benchmark.side(part.dataset.name)
    others = [name for name in part.listing.classes if name not in side.labels]
    known = {*part.listing.classes, *(clip.class_name for clip in part.listing.absent)}
    for folder in side.folders_lacking(known):
        class_name = benchmark.class_names[side.labels[folder]]
        nearest = did_you_mean(folder, others)
        text = f"class {class_name} has no clips in {folder} of {part.dataset.name}{nearest}"
        yield Finding(Problem.DOMAINS, printable(text))


def _nearest_class(parts: Sequence[DatasetClips], benchmark: Benchmark, class_name: str) -> str:
    """Suggest what clips of a class may be listed as: a class that the benchmark does not use."""
    wanted = benchmark.class_names.index(class_name)
    for part in parts:
        labels = benchmark.side(part.dataset.name).labels
        others = [name for name in part.listing.classes if name not in labels]
        for folder in (f for f, label in labels.items() if label == wanted):
            if nearest := did_you_mean(folder, others):
                return nearest
    return ""


def _duplicates(parts: Sequence[DatasetClips]) -> Iterator[Finding]:
    by_size: dict[int, list[tuple[str, Path, str]]] = defaultdict(list)
    by_section: dict[tuple[str, Section | None], list[str]] = defaultdict(list)
    for part in parts:
        pattern, root = part.listing.reading.frames, part.listing.root
        videos = {member.clip.file: member.clip.size_bytes for member in part.members}
        for file, size_bytes in videos.items():
            by_size[size_bytes].append((f"{part.dataset.name}/{file}", root / file, pattern))
        for clip in (member.clip for member in part.members):
            shown = f"{part.dataset.name}/{clip.path}"
            by_section[f"{part.dataset.name}/{clip.file}", clip.section].append(shown)
    for names in by_section.values():
        if len(names) > 1:
            yield Finding(Problem.DUPLICATES, f"the same section: {_shown(names, sep=' = ')}")
    doubtful = [file for files in by_size.values() if len(files) > 1 for file in files]
    by_content: dict[str, list[str]] = defaultdict(list)
    with ProgressLine(len(doubtful), "files of equal size") as progress:
        for number, (shown, path, pattern) in enumerate(doubtful, start=1):
            by_content[_content_of(path, pattern)].append(shown)
            progress.update(number, "compared by content")
    for names in by_content.values():
        if len(names) > 1:
            yield Finding(Problem.DUPLICATES, f"the same content: {_shown(names, sep=' = ')}")


def _content_of(path: Path, pattern: str) -> str:
    """Return what equal files, or folders of equal frames, have in common."""
    if not path.is_dir():
        return sha256_of_file(path)
    frames = frames_among(entry_names(path), pattern)
    return sha256_of(",".join(sha256_of_file(path / frame.name) for frame in frames).encode())


def _empty_parts(part: DatasetClips) -> Iterator[Finding]:
    """Yield classes that have no clips to train on, or none to validate on."""
    for role, word in zip(ROLES, ("training", "validation"), strict=True):
        filled = part.classes_with(role)
        empty = [name for name in part.class_names if name not in filled]
        if empty:
            what = f"without {word} clips {_classes(empty)}: {_shown(empty)}"
            yield Finding(Problem.PARTS, f"{part.dataset.name}: {what}")


def _other_counts(part: DatasetClips, benchmark: Benchmark) -> Iterator[Finding]:
    """Yield where a dataset has other numbers of clips than were published with a benchmark."""
    name = part.dataset.name
    expected, totals = benchmark.side(name).expected, benchmark.expected_totals(name)
    if totals is None:
        return
    classes = benchmark.class_names
    found = [tuple(part.rows.get((c, role), 0) for role in ROLES) for c in classes]
    if expected is not None and (moved := _moved_classes(classes, expected, found)):
        text = f"the labels of {name} are in another order of classes than published: {moved}"
        yield Finding(Problem.COUNTS, text)
        return
    for at, role in enumerate(ROLES):
        total = sum(counts[at] for counts in found)
        other = [
            f"{c} {mine[at]} instead of {theirs[at]}"
            for c, mine, theirs in zip(classes, found, expected or (), strict=expected is not None)
            if mine[at] != theirs[at]
        ]
        by_class = f" ({shorten(other, len(classes))})" if other else ""
        if total != totals[at]:
            text = f"expected {totals[at]} {role} rows of {name}, found {total}{by_class}"
        elif other:
            text = f"{total} {role} rows of {name} as expected, but of other classes{by_class}"
        else:
            continue
        yield Finding(Problem.COUNTS, text)


def _moved_classes(
    classes: Sequence[str],
    expected: Sequence[tuple[int, ...]],
    found: Sequence[tuple[int, ...]],
) -> str:
    """Return which class has the published counts of which other, where all are there, moved."""
    if len(set(expected)) < len(expected) or sorted(found) != sorted(expected):
        return ""
    moved = ((a, classes[expected.index(f)]) for a, f in zip(classes, found, strict=True))
    return ", ".join(
        f"{mine} has the counts of {theirs}" for mine, theirs in moved if mine != theirs
    )


def _classes(names: Sequence[str]) -> str:
    return f"{len(names)} class{'es' * (len(names) != 1)}"


def _shown(names: Iterable[str], limit: int = 5, sep: str = ", ") -> str:
    listed = [printable(name) for name in names]
    return shorten(listed, limit) if sep == ", " else sep.join(listed[:limit])
