"""The record that says what a folder of the synthetic benchmark was made with."""

import json
from pathlib import Path
from typing import Any

from ta3n.common.errors import DataConflictError
from ta3n.datasets.reading.folders import quoted

RECORD_NAME = "synthetic.json"


def read_record(root: Path) -> dict[str, Any] | None:
    """Return what a folder was made with, or None where nothing says so.

    Raises:
        DataConflictError: The record is not readable.
    """
    path = root / RECORD_NAME
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
