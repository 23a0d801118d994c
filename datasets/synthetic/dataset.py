"""The domains as datasets like any other, and the class map of the benchmark over them."""

import json
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ta3n.common.errors import DataConflictError
from ta3n.datasets.builtin.ucf101 import LIST_LINE, LIST_LINE_FORM, LIST_NAME, find_split_files
from ta3n.datasets.reading.base import OfficialDataset
from ta3n.datasets.reading.folders import quoted
from ta3n.datasets.reading.split_files import SplitFile
from ta3n.datasets.synthetic.looks import LOOKS, Domain
from ta3n.datasets.synthetic.motions import MOTIONS

SYNTHETIC_LABELS: Mapping[str, int] = {motion.name: label for label, motion in enumerate(MOTIONS)}
"""Class folder -> label, for every domain."""

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


def _split_files(folder: Path, domain: Domain) -> Iterator[SplitFile]:
    """Return the lists, which are UCF101's in form, unless the folder holds another domain."""
    record = read_made_with(folder.parent)
    if record is not None and record.get("domain") != domain:
        raise DataConflictError(
            f"{quoted(folder.parent)} holds synthetic-{record.get('domain')}, not "
            f"synthetic-{domain} (says {MADE_WITH_NAME}): name the other dataset or folder"
        )
    return find_split_files(folder)


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
        split_file_name=LIST_NAME,
        find_split_files=partial(_split_files, domain=domain),
        split_line=LIST_LINE,
        split_line_form=LIST_LINE_FORM,
    )


SYNTHETIC_A = _dataset("a")
SYNTHETIC_B = _dataset("b")
SYNTHETIC_C = _dataset("c")
