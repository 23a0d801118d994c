"""The datasets by name."""

from ta3n.common.errors import UsageError
from ta3n.common.names import did_you_mean
from ta3n.datasets.base import Dataset
from ta3n.datasets.folders import quoted
from ta3n.datasets.hmdb51 import HMDB51
from ta3n.datasets.olympic import OLYMPIC
from ta3n.datasets.synthetic.dataset import SYNTHETIC_A, SYNTHETIC_B
from ta3n.datasets.ucf101 import UCF101

# One line a dataset.
_DATASETS: tuple[Dataset, ...] = (
    UCF101,
    HMDB51,
    OLYMPIC,
    SYNTHETIC_A,
    SYNTHETIC_B,
)


def dataset_names() -> tuple[str, ...]:
    """Return the full names of all datasets."""
    return tuple(dataset.name for dataset in _DATASETS)


def get_dataset(name: str) -> Dataset:
    """Return a dataset by its full or short name, in upper or lower case.

    Raises:
        UsageError: There is none of that name.
    """
    by_name = {known: d for d in _DATASETS for known in (d.name, d.short_name)}
    if dataset := by_name.get(name.lower()):
        return dataset
    known = ", ".join(dict.fromkeys(f"{d.name} ({d.short_name})" for d in _DATASETS))
    raise UsageError(f"unknown dataset {quoted(name)}{did_you_mean(name, by_name)}; known: {known}")
