"""EPIC-KITCHENS-100 as of its domain adaptation challenge: published features, no clips.

Source: Damen et al., "Rescaling Egocentric Vision", IJCV 2022, and the challenge's page.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NoReturn

from ta3n.common.errors import DataMissingError
from ta3n.datasets.reading.base import Dataset, group_in

# A segment is called after the recording that it was cut from: `P01_11_0` of `P01_11`.
_RECORDING = re.compile(r"\A(P\d\d_\d+)_\d+\Z")


@dataclass(frozen=True, kw_only=True)
class ImportedDataset(Dataset):
    """A dataset whose features others publish: there are no clips to look for.

    Attributes:
        how: The command that makes its feature folder.
    """

    how: str

    def scan(
        self,
        root: Path,
        splits: Path | None = None,  # noqa: ARG002
        classes: Collection[str] | None = None,  # noqa: ARG002
    ) -> NoReturn:
        """Say how its features are made.

        Raises:
            DataMissingError: Always.
        """
        raise DataMissingError(
            f"{self.name} is known by published features alone, not by clips in {root}; "
            f"run {self.how}"
        )


def _domain(domain: str) -> ImportedDataset:
    return ImportedDataset(
        name=f"epic100-{domain}",
        short_name=f"epic-{domain}",
        group_from_name=partial(group_in, _RECORDING),
        groups_span_classes=True,
        how="ta3n-features import --epic DIR --annotations DIR --out features",
    )


EPIC100_SOURCE = _domain("source")
EPIC100_TARGET = _domain("target")
