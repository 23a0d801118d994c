"""If this breaks, a kill or a race can leave a half-written file under its final name."""

import os
from pathlib import Path

import pytest

from ta3n.common.files import (
    canonical_json,
    publish_file,
    replace_file,
    sha256_of,
    sha256_of_file,
    temporary_beside,
)


def test_replacing_leaves_nothing_else_behind(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.json"
    replace_file(path, b"one")
    replace_file(path, b"two")
    assert path.read_bytes() == b"two"
    assert os.listdir(path.parent) == ["a.json"]


def test_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    replace_file(path, b"old")

    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        replace_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_full_disk_is_told_with_its_folder(tmp_path: Path) -> None:
    def write() -> None:
        with temporary_beside(tmp_path / "a.h5"):
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left") as caught:
        write()
    assert caught.value.filename == str(tmp_path)
    assert os.listdir(tmp_path) == []


def test_first_publication_wins(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    for content, expected in ((b"first", True), (b"second", False)):
        with temporary_beside(path) as temporary:
            temporary.write_bytes(content)
            assert publish_file(temporary, path) is expected
    assert path.read_bytes() == b"first"
    assert os.listdir(tmp_path) == ["a.h5"]


def test_publication_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", no_links)
    path = tmp_path / "a.h5"
    for content, expected in ((b"first", True), (b"second", False)):
        with temporary_beside(path) as temporary:
            temporary.write_bytes(content)
            assert publish_file(temporary, path) is expected
    assert path.read_bytes() == b"first"


def test_equal_values_have_equal_hashes(tmp_path: Path) -> None:
    assert canonical_json({"b": 1, "a": [1, 2]}) == canonical_json({"a": (1, 2), "b": 1})
    (tmp_path / "a").write_bytes(b"x")
    assert sha256_of_file(tmp_path / "a") == sha256_of(b"x")
    with pytest.raises(ValueError, match="JSON"):
        canonical_json(float("nan"))
