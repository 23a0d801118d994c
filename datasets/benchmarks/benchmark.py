"""Benchmarks as data: two or more datasets, a class map over their folders, and a split.

The class maps and counts are those of the video lists published with TA3N (Chen et al., 2019,
Table 1): every clip that the official split uses, in every folder of the map, without a cap.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, NamedTuple, TypeAlias

from ta3n.common.errors import ConfigError, UsageError
from ta3n.common.names import did_you_mean
from ta3n.datasets.benchmarks.registry import BUILT_IN_DATASETS, get_dataset
from ta3n.datasets.reading.base import Dataset
from ta3n.datasets.reading.folders import quoted
from ta3n.datasets.reading.split_files import Role
from ta3n.datasets.synthetic.dataset import SYNTHETIC_LABELS

BenchmarkRole: TypeAlias = Literal["train", "val"]

_BENCHMARK_ROLES: dict[Role, BenchmarkRole] = {"train": "train", "test": "val"}


class Place(NamedTuple):
    """Where a clip stands in a benchmark.

    Attributes:
        role: "train", or "val" for what the official split tests on.
        label: Index of the common class.
    """

    role: BenchmarkRole
    label: int


@dataclass(frozen=True, kw_only=True)
class Side:
    """One dataset's part in a benchmark.

    Attributes:
        labels: Class folder -> label.
        expected: (train, val) videos of each label in the complete dataset; None where unknown.
        split: The dataset's split, where it is not the benchmark's.
    """

    labels: Mapping[str, int]
    expected: tuple[tuple[int, int], ...] | None = None
    split: str | None = None


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """Datasets with classes in common.

    Attributes:
        name: What `--benchmark` calls it.
        class_names: Names of the common classes; the index is the label.
        split: The official split that tells training from validation clips.
        sides: Full dataset name -> its part.

    Raises:
        ConfigError: The sides do not fit the classes.
    """

    name: str
    class_names: tuple[str, ...]
    split: str = "1"
    sides: Mapping[str, Side]

    def __post_init__(self) -> None:
        """Check that every side has every class, and nothing else."""
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

    def label_of(self, dataset: str, class_name: str) -> int | None:
        """Return the label of a class folder, or None where the benchmark leaves it out."""
        return self.side(dataset).labels.get(class_name)

    def classes_of(self, dataset: str) -> tuple[str, ...]:
        """Return the class folders that the benchmark uses, by label, then by name."""
        labels = self.side(dataset).labels
        return tuple(sorted(labels, key=lambda folder: (labels[folder], folder)))

    def place_of(self, dataset: str, class_name: str, splits: Mapping[str, Role]) -> Place | None:
        """Return the role and label of a clip, or None where the benchmark leaves it out.

        Args:
            dataset: Full name.
            class_name: The clip's class folder.
            splits: The clip's official splits.
        """
        label = self.label_of(dataset, class_name)
        role = splits.get(self.side(dataset).split or self.split)
        if label is None or role is None:
            return None
        return Place(_BENCHMARK_ROLES[role], label)

    def expected_totals(self, dataset: str) -> tuple[int, int] | None:
        """Return the (train, val) videos of the complete dataset, or None where unknown."""
        expected = self.side(dataset).expected
        if expected is None:
            return None
        return sum(train for train, _ in expected), sum(val for _, val in expected)


# Common class -> UCF101 folders; HMDB51's folder is the common class itself.
_UCF_HMDB_FULL = {
    "climb": ("RockClimbingIndoor", "RopeClimbing"),
    "fencing": ("Fencing",),
    "golf": ("GolfSwing",),
    "kick_ball": ("SoccerPenalty",),
    "pullup": ("PullUps",),
    "punch": ("Punch", "BoxingPunchingBag", "BoxingSpeedBag"),
    "pushup": ("PushUps",),
    "ride_bike": ("Biking",),
    "ride_horse": ("HorseRiding",),
    "shoot_ball": ("Basketball",),
    "shoot_bow": ("Archery",),
    "walk": ("WalkingWithDog",),
}
_UCF_HMDB_SMALL = ("golf", "pullup", "ride_bike", "ride_horse", "shoot_ball")
_UCF_FULL_EXPECTED = {
    "climb": (188, 75),
    "fencing": (77, 34),
    "golf": (100, 39),
    "kick_ball": (96, 41),
    "pullup": (72, 28),
    "punch": (332, 125),
    "pushup": (72, 30),
    "ride_bike": (96, 38),
    "ride_horse": (115, 49),
    "shoot_ball": (99, 35),
    "shoot_bow": (104, 41),
    "walk": (87, 36),
}
_HMDB_EXPECTED = (70, 30)  # of every class, by construction of the official splits

# Common class, named as its Olympic Sports folder -> UCF101 folder, then the counts of both.
_UCF_OLYMPIC = {
    "basketball_layup": ("Basketball", (99, 35), (40, 10)),
    "clean_and_jerk": ("CleanAndJerk", (79, 33), (56, 10)),
    "discus_throw": ("ThrowDiscus", (92, 38), (52, 11)),
    "diving_springboard_3m": ("Diving", (105, 45), (38, 8)),
    "pole_vault": ("PoleVault", (109, 40), (32, 8)),
    "tennis_serve": ("TennisSwing", (117, 49), (32, 7)),
}


def _ucf_hmdb(name: str, classes: tuple[str, ...]) -> Benchmark:
    ucf_labels = {
        folder: label
        for label, class_name in enumerate(classes)
        for folder in _UCF_HMDB_FULL[class_name]
    }
    return Benchmark(
        name=name,
        class_names=classes,
        sides={
            "ucf101": Side(
                labels=ucf_labels,
                expected=tuple(_UCF_FULL_EXPECTED[class_name] for class_name in classes),
            ),
            "hmdb51": Side(
                labels={class_name: label for label, class_name in enumerate(classes)},
                expected=(_HMDB_EXPECTED,) * len(classes),
            ),
        },
    )


def _ucf_olympic() -> Benchmark:
    ucf_folders, ucf_expected, olympic_expected = zip(*_UCF_OLYMPIC.values(), strict=True)
    return Benchmark(
        name="ucf-olympic",
        class_names=tuple(_UCF_OLYMPIC),
        sides={
            "ucf101": Side(
                labels={folder: label for label, folder in enumerate(ucf_folders)},
                expected=ucf_expected,
            ),
            "olympic": Side(
                labels={folder: label for label, folder in enumerate(_UCF_OLYMPIC)},
                expected=olympic_expected,
            ),
        },
    )


BUILT_IN: tuple[Benchmark, ...] = (
    _ucf_hmdb("ucf-hmdb-full", tuple(_UCF_HMDB_FULL)),
    _ucf_hmdb("ucf-hmdb-small", _UCF_HMDB_SMALL),
    _ucf_olympic(),
    Benchmark(
        name="synthetic",
        class_names=tuple(SYNTHETIC_LABELS),
        sides={name: Side(labels=SYNTHETIC_LABELS) for name in ("synthetic-a", "synthetic-b")},
    ),
)
"""The paper's benchmarks, then our own; the first of several for one pair is the default."""


def benchmark_names() -> tuple[str, ...]:
    """Return the names of the built-in benchmarks."""
    return tuple(benchmark.name for benchmark in BUILT_IN)


def get_benchmark(name: str, benchmarks: Sequence[Benchmark] = BUILT_IN) -> Benchmark:
    """Return a benchmark by name.

    Args:
        name: As the user gave it.
        benchmarks: Those that there are.

    Raises:
        UsageError: There is none of that name.
    """
    by_name = {benchmark.name: benchmark for benchmark in benchmarks}
    if benchmark := by_name.get(name.lower()):
        return benchmark
    raise UsageError(
        f"unknown benchmark {quoted(name)}{did_you_mean(name, by_name)}; "
        f"known: {', '.join(by_name)}"
    )


def find_benchmark(
    source: str,
    target: str,
    name: str | None = None,
    *,
    benchmarks: Sequence[Benchmark] = BUILT_IN,
    datasets: Sequence[Dataset] = BUILT_IN_DATASETS,
) -> Benchmark:
    """Return the benchmark for a pair of datasets, in either direction.

    Args:
        source: Full or short name of the source dataset.
        target: Full or short name of the target dataset.
        name: The benchmark asked for; None takes the first one that holds both datasets,
            ucf-hmdb-full for ucf and hmdb.
        benchmarks: Those that there are.
        datasets: Those that there are.

    Raises:
        UsageError: An unknown name, the same dataset twice, or no such benchmark for the pair.
    """
    pair = (get_dataset(source, datasets).name, get_dataset(target, datasets).name)
    if pair[0] == pair[1]:
        raise UsageError(
            f"source and target are both {pair[0]}; {_known_pairs(benchmarks, datasets)}"
        )
    candidates = benchmarks if name is None else (get_benchmark(name, benchmarks),)
    for benchmark in candidates:
        if benchmark.sides.keys() >= set(pair):
            return benchmark
    known = _known_pairs(benchmarks, datasets)
    if name is None:
        raise UsageError(f"no benchmark holds both {pair[0]} and {pair[1]}; {known}")
    raise UsageError(
        f"benchmark {quoted(name)} does not hold both {pair[0]} and {pair[1]}; {known}"
    )


def _known_pairs(benchmarks: Sequence[Benchmark], datasets: Sequence[Dataset]) -> str:
    names_of_pair: dict[str, list[str]] = {}
    short = {dataset.name: dataset.short_name for dataset in datasets}
    for benchmark in benchmarks:
        for one, other in combinations(benchmark.sides, 2):
            names_of_pair.setdefault(f"{short[one]} and {short[other]}", []).append(benchmark.name)
    known = "; ".join(f"{pair} ({', '.join(names)})" for pair, names in names_of_pair.items())
    return f"known pairs: {known}"
