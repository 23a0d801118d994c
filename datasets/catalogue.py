"""All datasets and benchmarks that there are: the built-in ones, and those of a settings file.

It is handed from the command to whoever needs it, other processes too; nothing is registered.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ta3n.common.errors import UsageError
from ta3n.datasets.benchmarks.benchmark import BUILT_IN, Benchmark, find_benchmark, get_benchmark
from ta3n.datasets.benchmarks.registry import BUILT_IN_DATASETS, get_dataset
from ta3n.datasets.reading.base import Dataset

if TYPE_CHECKING:
    from pathlib import Path

    from ta3n.datasets.custom.settings import DataSections


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """Datasets and benchmarks by name.

    Attributes:
        datasets: The built-in ones, then one's own.
        benchmarks: Likewise.
    """

    datasets: tuple[Dataset, ...] = BUILT_IN_DATASETS
    benchmarks: tuple[Benchmark, ...] = BUILT_IN

    def dataset(self, name: str) -> Dataset:
        """Return a dataset by its full or short name.

        Raises:
            UsageError: There is none of that name.
        """
        return get_dataset(name, self.datasets)

    def benchmark(self, name: str) -> Benchmark:
        """Return a benchmark by name.

        Raises:
            UsageError: There is none of that name.
        """
        return get_benchmark(name, self.benchmarks)

    def find_benchmark(self, source: str, target: str, name: str | None = None) -> Benchmark:
        """Return the benchmark asked for, or the first one, of a pair of datasets.

        Raises:
            UsageError: An unknown name, the same dataset twice, or no such benchmark.
        """
        return find_benchmark(
            source, target, name, benchmarks=self.benchmarks, datasets=self.datasets
        )


BUILT_IN_CATALOGUE = Catalogue()
"""What is there without a settings file."""


def catalogue_of(settings: DataSections) -> Catalogue:
    """Return the built-in datasets and benchmarks with those of the settings.

    Raises:
        ConfigError: An own name is taken, or a benchmark names what is not there.
    """
    if not settings.datasets and not settings.benchmarks:
        return BUILT_IN_CATALOGUE
    from ta3n.datasets.custom.benchmarks import own_benchmarks
    from ta3n.datasets.custom.dataset import own_datasets

    datasets = (*BUILT_IN_DATASETS, *own_datasets(settings.datasets))
    return Catalogue(
        datasets=datasets,
        benchmarks=(*BUILT_IN, *own_benchmarks(settings.benchmarks, datasets)),
    )


def folders_of(
    dataset: Dataset, settings: DataSections, root: Path | None = None, splits: Path | None = None
) -> tuple[Path, Path | None]:
    """Return where a dataset's clips and its official split files lie, as far as anybody says.

    Args:
        dataset: Which one.
        settings: Say so in `[data.NAME]`, or in the dataset's own table.
        root: As given for one call, which wins.
        splits: Likewise.

    Raises:
        UsageError: Nobody says where the clips lie.
    """
    paths = settings.data.get(dataset.name)
    found = root or (paths.root if paths else None) or dataset.default_root
    if found is None:
        raise UsageError(
            f"no folder for {dataset.name}; give --root DIR, or set root under "
            f"[data.{dataset.name}] in pipeline.toml"
        )
    return found, splits or (paths.splits if paths else None)
