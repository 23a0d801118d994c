"""A dataset must be found by the names that people use, and the import must be instant."""

import subprocess
import sys
from collections.abc import Callable

import pytest

from ta3n.common.errors import Ta3nError, UsageError
from ta3n.datasets.benchmarks.registry import BUILT_IN_CATALOGUE, BUILT_IN_DATASETS

OneLine = Callable[[pytest.ExceptionInfo[Ta3nError]], str]


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("ucf", "ucf101"),
        ("ucf101", "ucf101"),
        ("UCF101", "ucf101"),
        ("hmdb", "hmdb51"),
        ("HMDB51", "hmdb51"),
        ("Olympic", "olympic"),
    ],
)
def test_full_and_short_names_in_any_case(name: str, full: str) -> None:
    assert BUILT_IN_CATALOGUE.dataset(name).name == full
    assert full in {dataset.name for dataset in BUILT_IN_DATASETS}


def test_an_unknown_name_gets_the_nearest(one_line: OneLine) -> None:
    with pytest.raises(UsageError) as caught:
        BUILT_IN_CATALOGUE.dataset("ucf11")
    message = one_line(caught)
    assert "'ucf11'" in message
    assert "did you mean 'ucf101'?" in message
    assert "hmdb51 (hmdb)" in message


def test_importing_the_datasets_loads_no_heavy_package() -> None:
    code = (
        "import sys, ta3n.datasets.benchmarks.benchmark; "
        "print(*{'torch', 'numpy', 'av', 'h5py', 'pydantic', 'torchvision'} & set(sys.modules))"
    )
    command = [sys.executable, "-P", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
