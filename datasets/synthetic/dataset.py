"""The two domains as datasets like any other, and the class map of the benchmark over them."""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ta3n.common.errors import DataConflictError
from ta3n.datasets.builtin.ucf101 import holds_splits
from ta3n.datasets.builtin.ucf101 import read_splits as read_ucf101_splits
from ta3n.datasets.reading.base import OfficialDataset
from ta3n.datasets.reading.folders import quoted
from ta3n.datasets.reading.split_files import RoleTable
from ta3n.datasets.synthetic.looks import LOOKS, Domain
from ta3n.datasets.synthetic.motions import MOTIONS

SYNTHETIC_LABELS: Mapping[str, int] = {motion.name: label for label, motion in enumerate(MOTIONS)}
"""Class folder -> label, for both domains."""

MADE_WITH_NAME = "synthetic.json"
"""The file that says what a folder was made with."""


def read_made_with(root: Path) -> dict[str, Any] | None:
    """Return what a folder was made with, or None where nothing says so.

    Raises:
        DataConflictError: The record is not readable.
    """
    path = root / MADE_WITH_NAME
    try:
        record = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise DataConflictError(
            f"cannot read {quoted(path)}: {error}; remove {quoted(root)}"
        ) from error
    if not isinstance(record, dict):
        raise DataConflictError(f"{quoted(path)} is not a record of a synthetic dataset")
    return record


def _read_splits(folder: Path, domain: Domain) -> RoleTable:
    """Read the lists, which are UCF101's in form.

    Raises:
        DataConflictError: The folder holds the other domain, or a line is malformed.
        DataMissingError: A list is missing.
    """
    record = read_made_with(folder.parent)
    if record is not None and record.get("domain") != domain:
        raise DataConflictError(
            f"{quoted(folder.parent)} holds synthetic-{record.get('domain')}, not "
            f"synthetic-{domain} (says {MADE_WITH_NAME}): name the other dataset or folder"
        )
    return read_ucf101_splits(folder)


def _dataset(domain: Domain) -> OfficialDataset:
    return OfficialDataset(
        name=f"synthetic-{domain}",
        short_name=f"syn-{domain}",
        layout=f"<class>/v_<class>_gGG_cCC{LOOKS[domain].suffix}",
        source_hint="rendered videos: ta3n-demo makes them",
        splits_layout="trainlist01.txt and testlist01.txt",
        splits_hint="the last files that ta3n-demo renders, so an earlier end left the data undone",
        clip_folders=(f"synthetic-{domain}",),
        split_folders=("splits",),
        holds_splits=holds_splits,
        read_splits=partial(_read_splits, domain=domain),
    )


SYNTHETIC_A = _dataset("a")
SYNTHETIC_B = _dataset("b")
