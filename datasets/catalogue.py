"""All datasets and benchmarks that there are: the built-in ones, and those of a settings file.

They are handed from the command to whoever needs them, other processes too; nothing is registered.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ta3n.common.errors import UsageError
from ta3n.datasets.benchmarks.registry import BUILT_IN_CATALOGUE, Catalogue
from ta3n.datasets.builtin.epic100 import ImportedDataset
from ta3n.datasets.reading.base import Dataset

if TYPE_CHECKING:
    from pathlib import Path

    from ta3n.datasets.custom.settings import DataSections

__all__ = ["BUILT_IN_CATALOGUE", "Catalogue", "catalogue_of", "folders_of"]


def catalogue_of(settings: DataSections) -> Catalogue:
    """Return the built-in datasets and benchmarks with those of the settings.

    Raises:
        ConfigError: An own name is taken, or a benchmark names what is not there.
    """
    if not settings.datasets and not settings.benchmarks:
        return BUILT_IN_CATALOGUE
    from ta3n.datasets.custom.dataset import own_benchmarks, own_datasets

    mine = own_datasets(settings.datasets)
    known = replace(BUILT_IN_CATALOGUE, datasets=(*BUILT_IN_CATALOGUE.datasets, *mine))
    return replace(
        known, benchmarks=(*known.benchmarks, *own_benchmarks(settings.benchmarks, known))
    )


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
