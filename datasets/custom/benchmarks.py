"""Benchmarks of one's own, as `[benchmarks.NAME]` describes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ta3n.common.errors import ConfigError, UsageError
from ta3n.common.names import did_you_mean
from ta3n.datasets.benchmarks.benchmark import Benchmark, Side
from ta3n.datasets.benchmarks.registry import Catalogue
from ta3n.datasets.custom.dataset import OWN_SPLIT, OwnDataset, check_own_name
from ta3n.datasets.reading.base import Dataset
from ta3n.datasets.reading.folders import quoted

if TYPE_CHECKING:
    from ta3n.datasets.custom.settings import BenchmarkSettings


def own_benchmarks(
    tables: Mapping[str, BenchmarkSettings], known: Catalogue
) -> tuple[Benchmark, ...]:
    """Return the benchmarks of a settings file.

    Args:
        tables: What the file says.
        known: All datasets, and the benchmarks that others have.

    Raises:
        ConfigError: A name is taken, a dataset is unknown, or a folder is of two classes.
    """
    taken = {benchmark.name for benchmark in known.benchmarks}
    for name in tables:
        check_own_name(f"[benchmarks.{name}]", name, taken)
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
