"""Reading and finding official split files, whichever dataset they belong to.

A clip's key is (class folder, stem): it survives a change of container, and no listed name says
more than that.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from ta3n.common.errors import DataConflictError, DataMissingError
from ta3n.datasets.reading.folders import quoted

Role: TypeAlias = Literal["train", "test"]
"""What an official split does with a clip."""

RoleTable: TypeAlias = dict[tuple[str, str], dict[str, Role]]
"""(class folder, stem) -> split -> role. A listed clip that no split uses has an empty entry."""

_LONGEST_SHOWN_LINE = 120


class SplitLine(NamedTuple):
    """One line of a split file, without blanks around it.

    Attributes:
        file: Where it stands.
        number: Its number, from 1.
        text: What it says.
    """

    file: Path
    number: int
    text: str

    def malformed(self, expected: str) -> DataConflictError:
        """Return the error for a line that does not read as `expected`."""
        text = self.text[:_LONGEST_SHOWN_LINE]
        return DataConflictError(
            f"{quoted(self.file)}, line {self.number}: {quoted(text)} is not {expected}; "
            "fetch the official split files again"
        )


def read_lines(file: Path) -> Iterator[SplitLine]:
    """Yield the lines of a split file that are not blank.

    CRLF, trailing blanks, a byte order mark and a missing last line end are all accepted. Bytes
    that are not UTF-8 become the surrogates that file names on disk have too.

    Raises:
        DataMissingError: The file cannot be read.
    """
    try:
        content = file.read_text(encoding="utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise DataMissingError(
            f"cannot read the split file {quoted(file)}: {error.strerror or error}"
        ) from error
    # Not splitlines(), which also breaks at characters that may be part of a name.
    for number, line in enumerate(content.split("\n"), start=1):
        if text := line.strip():
            yield SplitLine(file, number, text)


def set_role(
    table: RoleTable, key: tuple[str, str], *, split: str, role: Role, line: SplitLine
) -> None:
    """Enter one line of a split file in `table`.

    Raises:
        DataConflictError: The same split lists the clip for training and for testing.
    """
    roles = table.setdefault(key, {})
    if roles.setdefault(split, role) != role:
        raise DataConflictError(
            f"{quoted(line.file)}, line {line.number}: {quoted('/'.join(key))} is listed for "
            f"{role} and for {roles[split]} in split {split}; fetch the official split files again"
        )


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
