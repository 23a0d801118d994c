"""All datasets and benchmarks that there are: the built-in ones, and those of a settings file.

They are handed from the command to whoever needs them, other processes too; nothing is registered.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ta3n.common.errors import ConfigError, UsageError
from ta3n.datasets.benchmarks.registry import BUILT_IN_CATALOGUE, Catalogue
from ta3n.datasets.builtin.epic100 import ImportedDataset
from ta3n.datasets.reading.base import Dataset

if TYPE_CHECKING:
    from pathlib import Path

    from ta3n.datasets.custom.settings import DataSections

__all__ = [
    "BUILT_IN_CATALOGUE",
    "Catalogue",
    "catalogue_of",
    "folders_of",
    "names_of_all",
    "names_of_benchmarks",
    "names_of_datasets",
]


def catalogue_of(settings: DataSections) -> Catalogue:
    """Return the built-in datasets and benchmarks, those of the settings, and the published ones.

    The published ones are known by lists, of which the settings may name one's own copies. What
    is one's own has the name if both have it: such benchmarks were described before these were
    built in.

    Raises:
        ConfigError: An own name is taken, a benchmark names what is not there, or lists are given
            for a dataset that has official splits.
    """
    from ta3n.datasets.custom.dataset import own_benchmarks, own_datasets
    from ta3n.datasets.published.registry import PUBLISHED, PUBLISHED_DATASETS

    mine = own_datasets(settings.datasets)
    taken = {name for dataset in mine for name in (dataset.name, dataset.short_name)}
    listed = {d.name: d for d in PUBLISHED_DATASETS if not {d.name, d.short_name} & taken}
    for name, paths in settings.data.items():
        if name in listed:
            listed[name] = replace(listed[name], given=paths)
        elif paths.for_lists:
            raise ConfigError(
                f"[data.{name}]: {' and '.join(paths.for_lists)} are for {', '.join(listed)}, "
                "which are known by lists alone; leave them out, or describe a dataset of your own"
            )
    datasets = (*BUILT_IN_CATALOGUE.datasets, *mine, *listed.values())
    known = replace(BUILT_IN_CATALOGUE, datasets=datasets)
    own = own_benchmarks(settings.benchmarks, known)
    there = {dataset.name for dataset in datasets}
    published = (
        b for b in PUBLISHED if b.name not in settings.benchmarks and b.sides.keys() <= there
    )
    return replace(known, benchmarks=(*known.benchmarks, *own, *published))


def names_of_datasets() -> list[str]:
    """Return all names, short ones too, of built-in datasets and those of `pipeline.toml` here."""
    datasets = _catalogue_here().datasets
    return sorted({name for dataset in datasets for name in (dataset.name, dataset.short_name)})


def names_of_benchmarks() -> list[str]:
    """Return the names of built-in benchmarks and those of `pipeline.toml` here."""
    return sorted(benchmark.name for benchmark in _catalogue_here().benchmarks)


def names_of_all() -> list[str]:
    """Return what can be checked: the names of datasets and of benchmarks."""
    return sorted({*names_of_datasets(), *names_of_benchmarks()})


def _catalogue_here() -> Catalogue:
    from ta3n.common.settings import load_settings
    from ta3n.datasets.custom.settings import DataSections

    return catalogue_of(load_settings(DataSections, None, {}).settings)


def folders_of(
    dataset: Dataset, settings: DataSections, root: Path | None = None, splits: Path | None = None
) -> tuple[Path, Path | None]:
    """Return where a dataset's clips and its official split files lie, as far as anybody says.

    Args:
        settings: Say so in `[data.NAME]`, or in the dataset's own table.
        root: As given for one call, which wins; `splits` likewise.

    Raises:
        UsageError: Nobody says where the clips lie.
    """
    paths = settings.data.get(dataset.name)
    found = root or (paths.root if paths else None) or dataset.default_root
    if found is None and isinstance(dataset, ImportedDataset):
        raise UsageError(f"{dataset.name} has published features and no clips; run {dataset.how}")
    if found is None:
        raise UsageError(
            f"no folder for {dataset.name}; give --root DIR, or set root under "
            f"[data.{dataset.name}] in pipeline.toml"
        )
    return found, splits or (paths.splits if paths else None)
