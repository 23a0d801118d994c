"""A split file must read the same wherever it was saved, or be refused by line."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from ta3n.common.errors import DataConflictError, DataMissingError, Ta3nError
from ta3n.datasets.reading.split_files import (
    SplitFile,
    find_split_folder,
    read_lines,
    read_split_files,
)

OneLine = Callable[[pytest.ExceptionInfo[Ta3nError]], str]


@pytest.mark.parametrize(
    "content",
    [
        b"a 1\nb 2\n",
        b"a 1\r\nb 2\r\n",
        b"a 1 \nb 2 ",
        b"\xef\xbb\xbfa 1\n\n  \nb 2",
        b"a 1\rb 2\r",
    ],
    ids=["lf", "crlf", "trailing blanks, no last line end", "mark and blank lines", "cr"],
)
def test_all_line_ends_read_alike(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "list.txt"
    file.write_bytes(content)
    assert [line.text for line in read_lines(file)] == ["a 1", "b 2"]


def test_blank_lines_count(tmp_path: Path) -> None:
    file = tmp_path / "list.txt"
    file.write_text("\na\n\nb\n")
    assert [line.number for line in read_lines(file)] == [2, 4]


def test_bytes_that_are_not_utf8_read_as_in_file_names(tmp_path: Path) -> None:
    file = tmp_path / "list.txt"
    file.write_bytes(b"caf\xe9.avi")
    (line,) = read_lines(file)
    assert line.text == os.fsdecode(b"caf\xe9.avi")


def test_a_missing_file_is_named(tmp_path: Path, one_line: OneLine) -> None:
    with pytest.raises(DataMissingError) as caught:
        list(read_lines(tmp_path / "gone.txt"))
    assert str(tmp_path / "gone.txt") in one_line(caught)


def test_a_clip_cannot_be_trained_and_tested_on(tmp_path: Path, one_line: OneLine) -> None:
    file = tmp_path / "list.txt"
    flagged = re.compile(r"(?P<stem>\w+) (?P<flag>\d)")
    file.write_text("a 1\n")
    table = read_split_files(
        [SplitFile(file, "1", folder="walk"), SplitFile(file, "2", "test", "walk")], flagged, ""
    )
    assert table == {("walk", "a"): {"1": "train", "2": "test"}}
    file.write_text("a 1\na 2\n")
    with pytest.raises(DataConflictError) as caught:
        read_split_files([SplitFile(file, "1", folder="walk")], flagged, "")
    message = one_line(caught)
    assert f"'{file}', line 2" in message
    assert "'walk/a'" in message


@pytest.mark.parametrize(
    "place", ["", "official", "ucf101", "official/official", "ucf101/official"]
)
def test_split_files_are_found_in_children_and_grandchildren(tmp_path: Path, place: str) -> None:
    folder = tmp_path / place
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "list.txt").touch()

    def holds(candidate: Path) -> bool:
        return (candidate / "list.txt").is_file()

    assert find_split_folder([tmp_path], ["official", "ucf101"], holds) == folder
    assert find_split_folder([tmp_path / "elsewhere"], ["official"], holds) is None
