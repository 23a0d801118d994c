"""Reading and finding official split files, whichever dataset they belong to.

A clip's key is (class folder, stem): it survives a change of container, and no listed name says
more than that.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias, get_args

from ta3n.common.errors import DataConflictError, DataMissingError
from ta3n.common.files import decode_text
from ta3n.datasets.reading.folders import quoted

Role: TypeAlias = Literal["train", "test"]
"""What an official split does with a clip."""

ROLES: tuple[Role, ...] = get_args(Role)

RoleTable: TypeAlias = dict[tuple[str, str], dict[str, Role]]
"""(class folder, stem) -> split -> role. A listed clip that no split uses has an empty entry."""

_ROLE_OF_FLAG: dict[str, Role | None] = {"0": None, "1": "train", "2": "test"}
_LONGEST_SHOWN = 120
_FETCH_AGAIN = "fetch the official split files again"


class SplitLine(NamedTuple):
    """One line of a split file, without blanks around it; `number` counts from 1."""

    file: Path
    number: int
    text: str

    @property
    def place(self) -> str:
        """File and number, for messages."""
        return f"{quoted(self.file)}, line {self.number}"

    def malformed(self, expected: str) -> DataConflictError:
        """Return the error for a line that does not read as `expected`."""
        return DataConflictError(
            f"{self.place}: {quoted(self.text[:_LONGEST_SHOWN])} is not {expected}"
        )


class SplitFile(NamedTuple):
    """A split file, and what is known of all its lines.

    Attributes:
        role: Of its clips; None where each line has a flag.
        folder: Class folder of its clips; None where each line names it.
    """

    path: Path
    split: str
    role: Role | None = None
    folder: str | None = None


def read_split_files(
    files: Iterable[SplitFile], pattern: re.Pattern[str], expected: str
) -> RoleTable:
    """Read split files of one form.

    Args:
        pattern: A whole line, with groups `stem` and, where the file does not say it, `folder` and
            `flag`: 1 is training, 2 is testing, 0 is unused in this split.
        expected: What a line should be, in words.

    Raises:
        DataMissingError: A file cannot be read.
        DataConflictError: A line is malformed, or a split lists a clip for training and testing.
    """
    table: RoleTable = {}
    for file in files:
        for line in read_lines(file.path):
            match = pattern.fullmatch(line.text)
            if match is None:
                raise line.malformed(f"{expected}; {_FETCH_AGAIN}")
            key = (file.folder or match["folder"], match["stem"])
            roles = table.setdefault(key, {})
            role = file.role or _ROLE_OF_FLAG[match["flag"]]
            if role and roles.setdefault(file.split, role) != role:
                raise DataConflictError(
                    f"{line.place}: {quoted('/'.join(key))} is listed for {role} and for "
                    f"{roles[file.split]} in split {file.split}; {_FETCH_AGAIN}"
                )
    return table


def read_lines(file: Path) -> Iterator[SplitLine]:
    """Yield the lines of a split file that are not blank.

    CRLF, trailing blanks, a byte order mark, UTF-16 and a missing last line end are all accepted.
    Bytes that are not UTF-8 become the surrogates that file names on disk have too.

    Raises:
        DataMissingError: The file cannot be read.
    """
    try:
        content = decode_text(file.read_bytes()).replace("\r\n", "\n").replace("\r", "\n")
    except OSError as error:
        raise DataMissingError(
            f"cannot read the split file {quoted(file)}: {error.strerror or error}"
        ) from error
    # Not splitlines(), which also breaks at characters that may be part of a name.
    for number, line in enumerate(content.split("\n"), start=1):
        if text := line.strip():
            yield SplitLine(file, number, text)


def find_split_folder(
    bases: Iterable[Path], names: Iterable[str], holds_splits: Callable[[Path], bool]
) -> Path | None:
    """Return the first folder with split files among the bases, their children and grandchildren.

    Args:
        bases: Where to look, in order of preference.
        names: What children and grandchildren may be called.
        holds_splits: Tells whether a folder (which may not exist) holds the split files.
    """
    names = tuple(names)
    for base in bases:
        children = [base / name for name in names]
        grandchildren = [child / name for child in children for name in names]
        for candidate in (base, *children, *grandchildren):
            if holds_splits(candidate):
                return candidate
    return None
