"""Datasets and benchmarks by name: what there is, the built-in ones and one's own."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TypeVar

from ta3n.common.errors import UsageError, did_you_mean
from ta3n.datasets.benchmarks.benchmark import BUILT_IN, Benchmark
from ta3n.datasets.builtin.epic100 import EPIC100_SOURCE, EPIC100_TARGET
from ta3n.datasets.builtin.hmdb51 import HMDB51
from ta3n.datasets.builtin.olympic import OLYMPIC
from ta3n.datasets.builtin.ucf101 import UCF101
from ta3n.datasets.reading.base import Dataset
from ta3n.datasets.reading.folders import quoted
from ta3n.datasets.synthetic.dataset import SYNTHETIC_A, SYNTHETIC_B, SYNTHETIC_C

T = TypeVar("T")

BUILT_IN_DATASETS: tuple[Dataset, ...] = (
    UCF101,
    HMDB51,
    OLYMPIC,
    SYNTHETIC_A,
    SYNTHETIC_B,
    SYNTHETIC_C,
    EPIC100_SOURCE,
    EPIC100_TARGET,
)


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """Datasets and benchmarks by name, the built-in ones first. Other processes can have it."""

    datasets: tuple[Dataset, ...] = BUILT_IN_DATASETS
    benchmarks: tuple[Benchmark, ...] = BUILT_IN

    def dataset(self, name: str) -> Dataset:
        """Return a dataset by its full or short name, in upper or lower case.

        Raises:
            UsageError: There is none of that name.
        """
        by_name = {known: d for d in self.datasets for known in (d.name, d.short_name)}
        return _found("dataset", name, by_name, map(_shown, self.datasets))

    def benchmark(self, name: str) -> Benchmark:
        """Return a benchmark by name, in upper or lower case.

        Raises:
            UsageError: There is none of that name.
        """
        by_name = {benchmark.name: benchmark for benchmark in self.benchmarks}
        return _found("benchmark", name, by_name, by_name)

    def find_benchmark(
        self, source: str | Sequence[str], target: str, name: str | None = None
    ) -> Benchmark:
        """Return the benchmark for a pair of datasets, by full or short name, in either direction.

        Args:
            source: One dataset, or several.
            name: The benchmark asked for; None takes the first one that holds all the datasets,
                ucf-hmdb-full for ucf and hmdb.

        Raises:
            UsageError: An unknown name, the same dataset twice, or no such benchmark for them.
        """
        named = [source] if isinstance(source, str) else source
        sources, other = [self.dataset(each).name for each in named], self.dataset(target).name
        if other in sources:
            which = "source and target are both" if len(sources) == 1 else "the target is a source:"
            raise UsageError(f"{which} {other}; {self._known_pairs()}")
        if twice := [each for n, each in enumerate(sources) if each in sources[:n]]:
            raise UsageError(f"{twice[0]} is given twice as a source; name each source once")
        for benchmark in self.benchmarks if name is None else (self.benchmark(name),):
            if benchmark.sides.keys() >= {*sources, other}:
                return benchmark
        lacking = (
            "no benchmark holds" if name is None else f"benchmark {quoted(name)} does not hold"
        )
        if len(sources) > 1:
            held = "; ".join(f"{b.name} holds {', '.join(b.sides)}" for b in self.benchmarks)
            told = f"all of {', '.join(sources)} and {other}, whose classes have to be the same"
            raise UsageError(f"{lacking} {told}; {held}")
        raise UsageError(f"{lacking} both {sources[0]} and {other}; {self._known_pairs()}")

    def _known_pairs(self) -> str:
        names_of_pair: dict[str, list[str]] = {}
        short = {dataset.name: dataset.short_name for dataset in self.datasets}
        for benchmark in self.benchmarks:
            for one, other in combinations(benchmark.sides, 2):
                pair = f"{short[one]} and {short[other]}"
                names_of_pair.setdefault(pair, []).append(benchmark.name)
        known = "; ".join(f"{pair} ({', '.join(names)})" for pair, names in names_of_pair.items())
        return f"known pairs: {known}"


BUILT_IN_CATALOGUE = Catalogue()
"""What is there without a settings file."""


def _found(kind: str, name: str, by_name: Mapping[str, T], shown: Iterable[str]) -> T:
    if found := by_name.get(name.lower()):
        return found
    known = ", ".join(dict.fromkeys(shown))
    raise UsageError(f"unknown {kind} {quoted(name)}{did_you_mean(name, by_name)}; known: {known}")


def _shown(dataset: Dataset) -> str:
    same = dataset.short_name == dataset.name
    return dataset.name if same else f"{dataset.name} ({dataset.short_name})"
