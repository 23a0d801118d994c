"""Benchmarks as data: two or more datasets, a class map over their folders, and a split.

The class maps and counts are those of the video lists published with TA3N (Chen et al., 2019,
Table 1): every clip that the official split uses, in every folder of the map, without a cap.
"""

import re
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

from ta3n.common.errors import ConfigError, DataConflictError, UsageError
from ta3n.datasets.reading.folders import in_words, quoted
from ta3n.datasets.reading.split_files import Role
from ta3n.datasets.synthetic.dataset import SYNTHETIC_LABELS
from ta3n.datasets.synthetic.looks import LOOKS

BenchmarkRole: TypeAlias = Literal["train", "val"]

BENCHMARK_ROLES: dict[Role, BenchmarkRole] = {"train": "train", "test": "val"}
"""What the parts of an official split are called in a benchmark, and in lists of others."""


Label: TypeAlias = int | tuple[int, ...]
"""A class index; of a benchmark with several heads one for each, in their order."""

_NUMBER = re.compile("[0-9]{1,9}")

UNLABELLED = -1
"""What stands for the class of a clip without a label, in every head."""


UNKNOWN = "unknown"
"""What the classes of an open target are called that the source has not."""


@dataclass(frozen=True, kw_only=True)
class LabelSets:
    """Which classes a target has, where they are not those of its source; see `label_sets.py`.

    Attributes:
        base: Name of the benchmark whose classes these are.
        target_classes: Those of the source's that the target has; empty where it has all.
        unknown: Those of the target that the source has not.
    """

    base: str
    target_classes: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


class Place(NamedTuple):
    """Where a clip stands in a benchmark; "val" is what the official split tests on."""

    role: BenchmarkRole
    label: Label


@dataclass(frozen=True)
class Head:
    """Classes that a video has one of, such as its verb.

    Attributes:
        class_names: The index is the label.
        weight: Of its classification among that of all heads.
    """

    name: str
    class_names: tuple[str, ...]
    weight: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Side:
    """One dataset's part in a benchmark.

    Attributes:
        labels: Class folder -> label; empty with several heads, where clips name their labels.
        expected: (train, val) videos of each label in the complete dataset; None where unknown.
        totals: (train, val) videos of all classes, where only these are known.
        split: The dataset's split, where it is not the benchmark's.
        tested: The part that a model is tested on, as a target. Where it is the training videos,
            their labels score what was trained without them.
    """

    labels: Mapping[str, int] = field(default_factory=dict)
    expected: tuple[tuple[int, int], ...] | None = None
    totals: tuple[int, int] | None = None
    split: str | None = None
    tested: BenchmarkRole = "val"

    def folders_lacking(self, known: AbstractSet[str]) -> list[str]:
        """Return the class folders that are not known, of classes that have others which are."""
        learned = {self.labels[folder] for folder in known & self.labels.keys()}
        return [
            folder
            for folder, label in self.labels.items()
            if label in learned and folder not in known
        ]


@dataclass(frozen=True, kw_only=True)
class About:
    """What is known of a published benchmark beside its numbers; what is not known is empty.

    Attributes:
        source: The paper that made it.
        lists: Where its lists are to be had.
        videos: Where to ask for the videos.
        licence: Of lists, features and videos, as far as their publishers say.
        selection: How the epoch behind published accuracies was chosen.
        unknown: What could not be established.
    """

    source: str
    lists: str
    videos: str = ""
    licence: str = ""
    selection: str = ""
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """Datasets with classes in common.

    Attributes:
        class_names: Names of the common classes; the index is the label. Of several heads those
            of one after another.
        split: The official split that tells training from validation clips.
        sides: Full dataset name -> its part.
        heads: What each clip has a class of; a single head, `class`, where nothing else is said.
        about: What is published about it, of which nothing decides a number.
        label_sets: Where the target has other classes than the source. The label behind those of
            `class_names` then stands for unknown.

    Raises:
        ConfigError: The sides do not fit the classes.
    """

    name: str
    class_names: tuple[str, ...] = ()
    split: str = "1"
    sides: Mapping[str, Side]
    heads: tuple[Head, ...] = ()
    about: About | None = None
    label_sets: LabelSets | None = None

    def __post_init__(self) -> None:
        if len(self.heads) > 1:
            names = tuple(name for head in self.heads for name in head.class_names)
            object.__setattr__(self, "class_names", names)
            return
        object.__setattr__(self, "heads", (Head("class", self.class_names),))
        if self.label_sets is not None:
            return
        labels = set(range(len(self.class_names)))
        for dataset, side in self.sides.items():
            if set(side.labels.values()) != labels:
                raise ConfigError(
                    f"benchmark {quoted(self.name)}: the labels of {dataset} are "
                    f"{sorted(set(side.labels.values()))}, but each of 0 to {len(labels) - 1} must "
                    "have a class folder"
                )
            if side.expected is not None and len(side.expected) != len(labels):
                raise ConfigError(
                    f"benchmark {quoted(self.name)}: {dataset} has {len(side.expected)} expected "
                    f"counts for {len(labels)} classes"
                )

    @property
    def base(self) -> str:
        """Its name, or where its target has other classes that of the benchmark behind it."""
        return self.label_sets.base if self.label_sets is not None else self.name

    @property
    def is_open(self) -> bool:
        """Whether there are classes that the source has not."""
        return self.label_sets is not None and bool(self.label_sets.unknown)

    @property
    def label_names(self) -> tuple[str, ...]:
        """What each label is called, the unknown one included."""
        return (*self.class_names, *((UNKNOWN,) if self.is_open else ()))

    def labels_in(self, dataset: str) -> tuple[int, ...]:
        """Return the labels that videos of a dataset may have; with a single head."""
        return tuple(sorted(set(self.side(dataset).labels.values())))

    def side(self, dataset: str) -> Side:
        """Return the part of a dataset, named in full.

        Raises:
            UsageError: The benchmark does not hold it.
        """
        if found := self.sides.get(dataset):
            return found
        raise UsageError(
            f"benchmark {quoted(self.name)} does not hold dataset {quoted(dataset)} "
            f"(it holds {', '.join(self.sides)})"
        )

    def label_of(self, dataset: str, class_name: str) -> Label | None:
        """Return the label of a class folder, or None where the benchmark leaves it out.

        With several heads the class of a clip is `3,14`, its label in each, or empty.

        Raises:
            DataConflictError: It is not of that form, or names a class that there is not.
        """
        side = self.side(dataset)
        if len(self.heads) == 1:
            return side.labels.get(in_words(class_name))
        if not class_name:
            return (UNLABELLED,) * len(self.heads)
        words = class_name.split(",")
        if len(words) != len(self.heads) or not all(map(_NUMBER.fullmatch, words)):
            forms = ",".join(head.name for head in self.heads)
            raise DataConflictError(
                f"benchmark {quoted(self.name)}: a clip of {dataset} has the class "
                f"{quoted(class_name)}; expected {forms} as numbers, or nothing"
            )
        label = tuple(map(int, words))
        for head, index in zip(self.heads, label, strict=True):
            if index >= len(head.class_names):
                raise DataConflictError(
                    f"benchmark {quoted(self.name)}: a clip of {dataset} has {head.name} {index}, "
                    f"but there are {len(head.class_names)}, from 0"
                )
        return label

    def split_of(self, dataset: str) -> str:
        """Return the split of a dataset that tells training from validation clips."""
        return self.side(dataset).split or self.split

    def classes_of(self, dataset: str) -> tuple[str, ...]:
        """Return the class folders that the benchmark uses, by label, then by name."""
        labels = self.side(dataset).labels
        return tuple(sorted(labels, key=lambda folder: (labels[folder], folder)))

    def place_of(self, dataset: str, class_name: str, splits: Mapping[str, Role]) -> Place | None:
        """Return the place of a clip of these splits, or None where the benchmark leaves it out."""
        label = self.label_of(dataset, class_name)
        role = splits.get(self.split_of(dataset))
        if label is None or role is None:
            return None
        return Place(BENCHMARK_ROLES[role], label)

    def expected_totals(self, dataset: str) -> tuple[int, int] | None:
        """Return the (train, val) videos of the complete dataset, or None where unknown."""
        side = self.side(dataset)
        if side.expected is None:
            return side.totals
        return sum(train for train, _ in side.expected), sum(val for _, val in side.expected)


# Common class, named as its HMDB51 folder -> UCF101 folders, (train, val) videos in them.
_UCF_HMDB: Mapping[str, tuple[tuple[str, ...], tuple[int, int]]] = {
    "climb": (("RockClimbingIndoor", "RopeClimbing"), (188, 75)),
    "fencing": (("Fencing",), (77, 34)),
    "golf": (("GolfSwing",), (100, 39)),
    "kick_ball": (("SoccerPenalty",), (96, 41)),
    "pullup": (("PullUps",), (72, 28)),
    "punch": (("Punch", "BoxingPunchingBag", "BoxingSpeedBag"), (332, 125)),
    "pushup": (("PushUps",), (72, 30)),
    "ride_bike": (("Biking",), (96, 38)),
    "ride_horse": (("HorseRiding",), (115, 49)),
    "shoot_ball": (("Basketball",), (99, 35)),
    "shoot_bow": (("Archery",), (104, 41)),
    "walk": (("WalkingWithDog",), (87, 36)),
}
_HMDB_EXPECTED = (70, 30)  # of every class, by construction of the official splits

# Common class, named as its Olympic Sports folder -> UCF101 folders, then the counts of both.
_UCF_OLYMPIC: Mapping[str, tuple[tuple[str, ...], tuple[int, int], tuple[int, int]]] = {
    "basketball_layup": (("Basketball",), (99, 35), (40, 10)),
    "clean_and_jerk": (("CleanAndJerk",), (79, 33), (56, 10)),
    "discus_throw": (("ThrowDiscus",), (92, 38), (52, 11)),
    "diving_springboard_3m": (("Diving",), (105, 45), (38, 8)),
    "pole_vault": (("PoleVault",), (109, 40), (32, 8)),
    "tennis_serve": (("TennisSwing",), (117, 49), (32, 7)),
}


def _with_ucf101(
    name: str,
    other: str,
    rows: Mapping[str, tuple[tuple[str, ...], tuple[int, int], tuple[int, int]]],
) -> Benchmark:
    """Return a benchmark of UCF101 and a dataset whose folders are named as the common classes."""
    folders, ucf_expected, expected = zip(*rows.values(), strict=True)
    labels = {folder: label for label, of_class in enumerate(folders) for folder in of_class}
    others = {folder: label for label, folder in enumerate(rows)}
    sides = {"ucf101": Side(labels=labels, expected=ucf_expected)}
    sides[other] = Side(labels=others, expected=expected)
    return Benchmark(name=name, class_names=tuple(rows), sides=sides)


def _ucf_hmdb(name: str, classes: Iterable[str]) -> Benchmark:
    return _with_ucf101(
        name, "hmdb51", {each: (*_UCF_HMDB[each], _HMDB_EXPECTED) for each in classes}
    )


_EPIC_HEADS = tuple(
    # The names are the publisher's, whose class files are in their annotations.
    Head(name, tuple(f"{name} {number}" for number in range(count)))
    for name, count in (("verb", 97), ("noun", 300))
)


def _epic(name: str, split: str, tested: BenchmarkRole) -> Benchmark:
    sides = {"epic100-source": Side(), "epic100-target": Side(tested=tested)}
    return Benchmark(name=name, split=split, sides=sides, heads=_EPIC_HEADS)


BUILT_IN: tuple[Benchmark, ...] = (
    _ucf_hmdb("ucf-hmdb-full", _UCF_HMDB),
    _ucf_hmdb("ucf-hmdb-small", ("golf", "pullup", "ride_bike", "ride_horse", "shoot_ball")),
    _with_ucf101("ucf-olympic", "olympic", _UCF_OLYMPIC),
    Benchmark(
        name="synthetic",
        class_names=tuple(SYNTHETIC_LABELS),
        sides={f"synthetic-{domain}": Side(labels=SYNTHETIC_LABELS) for domain in LOOKS},
    ),
    # Hyper-parameters are tuned on labels of a target that is smaller than that of the challenge.
    _epic("epic100-tune", "tune", "train"),
    _epic("epic100-final", "final", "val"),
)
"""The paper's benchmarks, then our own; the first of several for one pair is the default."""
