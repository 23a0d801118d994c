"""The datasets by name."""

from collections.abc import Sequence

from ta3n.common.errors import UsageError
from ta3n.common.names import did_you_mean
from ta3n.datasets.builtin.hmdb51 import HMDB51
from ta3n.datasets.builtin.olympic import OLYMPIC
from ta3n.datasets.builtin.ucf101 import UCF101
from ta3n.datasets.reading.base import Dataset
from ta3n.datasets.reading.folders import quoted
from ta3n.datasets.synthetic.dataset import SYNTHETIC_A, SYNTHETIC_B

# One line a dataset.
BUILT_IN_DATASETS: tuple[Dataset, ...] = (
    UCF101,
    HMDB51,
    OLYMPIC,
    SYNTHETIC_A,
    SYNTHETIC_B,
)


def dataset_names() -> tuple[str, ...]:
    """Return the full names of the built-in datasets."""
    return tuple(dataset.name for dataset in BUILT_IN_DATASETS)


def get_dataset(name: str, datasets: Sequence[Dataset] = BUILT_IN_DATASETS) -> Dataset:
    """Return a dataset by its full or short name, in upper or lower case.

    Args:
        name: As the user gave it.
        datasets: Those that there are.

    Raises:
        UsageError: There is none of that name.
    """
    by_name = {known: d for d in datasets for known in (d.name, d.short_name)}
    if dataset := by_name.get(name.lower()):
        return dataset
    known = ", ".join(dict.fromkeys(_shown(d) for d in datasets))
    raise UsageError(f"unknown dataset {quoted(name)}{did_you_mean(name, by_name)}; known: {known}")


def _shown(dataset: Dataset) -> str:
    same = dataset.short_name == dataset.name
    return dataset.name if same else f"{dataset.name} ({dataset.short_name})"
