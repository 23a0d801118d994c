"""Shares of a job array: the part of a fixed list that one job does, and the number of parts."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ta3n.common.errors import DataConflictError, FeatureStoreError, UsageError
from ta3n.common.files import publish_file, temporary_beside

SHARES_NAME = "shares.json"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class JobShare:
    """The part of a list that one job of an array does: `count` is N, every N-th from `index`."""

    index: int = 0
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> "JobShare":
        """Read `i/N`.

        Raises:
            UsageError: If it is not that, or i is not in 0 to N-1.
        """
        index, slash, count = text.partition("/")
        # `isdigit` takes digits that `int` does not, such as a superscript.
        are_numbers = slash and all(n.isdecimal() and len(n) <= 9 for n in (index, count))
        if not are_numbers or int(count) < 1:
            raise UsageError(f"shard {text!r} is not i/N, such as 0/16")
        if int(index) >= int(count):
            raise UsageError(
                f"shard {text!r} does not exist: i counts from 0, so use 0/{count} to "
                f"{int(count) - 1}/{count} (in Slurm --array=0-{int(count) - 1})"
            )
        return cls(int(index), int(count))

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def of(self, items: Sequence[T]) -> list[T]:
        """Return this job's items."""
        return list(items[self.index :: self.count])


def agree_on_count(path: Path, share: JobShare) -> None:
    """Write into how many parts some work is cut, or check it against what is written there.

    Jobs that count differently would leave items to nobody: an array of 16 of which only 8 to 15
    are sent again, as `--shard i/8`, never does what 0 to 7 of 16 left.

    It is kept in a file in the folder that the work fills.

    Raises:
        DataConflictError: If the work was cut into another number of parts.
        FeatureStoreError: If the file is damaged.
        OSError: If the folder cannot be written.
    """
    if not path.exists():
        with temporary_beside(path) as temporary:
            temporary.write_text(json.dumps({"num_jobs": share.count}) + "\n", encoding="ascii")
            publish_file(temporary, path)
    check_count(path, share)


def check_count(path: Path, share: JobShare) -> None:
    """Check into how many parts some work is cut, where that is written; write nothing.

    Raises:
        DataConflictError: If the work was cut into another number of parts.
        FeatureStoreError: If the file is damaged.
    """
    if path.exists() and (there := read_count(path)) != share.count:
        raise DataConflictError(
            f"--shard {share} does not fit: by {path} this work is cut into {there} parts, so give "
            f"i/{there}. To cut it anew, wait until no job of the old array is left and remove "
            "that file; what is done stays done"
        )


def read_count(path: Path) -> int:
    """Return into how many parts some work is cut, as the file that keeps N says.

    Raises:
        FeatureStoreError: If the file is damaged.
        OSError: If it cannot be read.
    """
    try:
        count = json.loads(path.read_bytes())["num_jobs"]
        if not isinstance(count, int) or count < 1:
            raise TypeError(f"num_jobs is {count!r}")
    except (ValueError, TypeError, KeyError) as error:
        raise FeatureStoreError(
            f"{path} is damaged: {error}; remove it, what is done stays done"
        ) from error
    return count
