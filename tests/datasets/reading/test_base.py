"""A scan must tell what is there, and say in one line what is not and where it comes from."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from ta3n.common.errors import DataConflictError, DataMissingError, Ta3nError, UsageError
from ta3n.datasets.builtin.hmdb51 import HMDB51
from ta3n.datasets.builtin.ucf101 import UCF101

MakeTree = Callable[[Path, Iterable[str]], Path]
OneLine = Callable[[pytest.ExceptionInfo[Ta3nError]], str]


@pytest.fixture
def hmdb(tmp_path: Path, make_tree: MakeTree) -> Path:
    """Return a data folder with the classes run and walk; jump is listed, but not on disk."""
    make_tree(tmp_path, ["hmdb51_org/walk/b.avi", "hmdb51_org/walk/a.avi", "hmdb51_org/run/r.mp4"])
    lists = tmp_path / "testTrainMulti_7030_splits"
    lists.mkdir()
    (lists / "walk_test_split1.txt").write_text("a.avi 1 \ngone.avi 2 \n")
    (lists / "run_test_split1.txt").write_text("r.avi 2 \n")
    (lists / "jump_test_split1.txt").write_text("j.avi 1 \n")
    return tmp_path


def test_a_listing_tells_what_is_there_and_what_is_not(hmdb: Path) -> None:
    listing = HMDB51.scan(hmdb)
    assert listing.dataset == "hmdb51"
    assert listing.root == (hmdb / "hmdb51_org").resolve()
    assert [(clip.path, clip.splits) for clip in listing.clips] == [
        ("run/r.mp4", {"1": "test"}),
        ("walk/a.avi", {"1": "train"}),
        ("walk/b.avi", {}),  # in no list, and kept
    ]
    assert [(clip.class_name, clip.stem) for clip in listing.absent] == [
        ("jump", "j"),
        ("walk", "gone"),
    ]
    assert listing.classes == ("run", "walk")
    assert sum(clip.size_bytes for clip in listing.clips) == 3
    assert [clip.stem for clip in listing.clips if clip.splits.get("1") == "test"] == ["r"]


def test_size_and_time_are_those_of_the_file(hmdb: Path) -> None:
    file = hmdb / "hmdb51_org" / "run" / "r.mp4"
    file.write_bytes(b"12345")
    os.utime(file, ns=(1, 1_234_567_890_000_000_042))
    clip = HMDB51.scan(hmdb).clips[0]
    assert (clip.size_bytes, clip.mtime_ns) == (5, 1_234_567_890_000_000_042)


def test_only_the_wanted_classes_are_listed(hmdb: Path) -> None:
    listing = HMDB51.scan(hmdb, classes=["walk"])
    assert listing.classes == ("walk",)
    assert [clip.stem for clip in listing.absent] == ["gone"]


def test_a_mistyped_class_is_a_usage_error(hmdb: Path, one_line: OneLine) -> None:
    with pytest.raises(UsageError) as caught:
        HMDB51.scan(hmdb, classes=["wlak"])
    message = one_line(caught)
    assert "'wlak'" in message
    assert "did you mean 'walk'?" in message


def test_a_class_without_a_folder_is_missing_data(hmdb: Path, one_line: OneLine) -> None:
    with pytest.raises(DataMissingError) as caught:
        HMDB51.scan(hmdb, classes=["walk", "jump"])
    message = one_line(caught)
    assert "'jump'" in message
    assert str(hmdb / "hmdb51_org" / "jump") in message
    assert "hmdb51_org.rar" in message
    assert "did you mean" not in message


def test_a_class_with_an_empty_folder_is_missing_data(hmdb: Path, one_line: OneLine) -> None:
    (hmdb / "hmdb51_org" / "jump").mkdir()
    with pytest.raises(DataMissingError) as caught:
        HMDB51.scan(hmdb, classes=["jump"])
    message = one_line(caught)
    assert str(hmdb / "hmdb51_org" / "jump") in message
    assert "hmdb51_org.rar" in message


def test_without_lists_a_class_without_a_folder_names_the_nearest(
    tmp_path: Path, make_tree: MakeTree, one_line: OneLine
) -> None:
    make_tree(tmp_path, ["Archery/v_Archery_g01_c01.avi"])
    with pytest.raises(DataMissingError) as caught:
        UCF101.scan(tmp_path, classes=["Archry"])
    message = one_line(caught)
    assert str(tmp_path / "Archry") in message
    assert "did you mean 'Archery'?" in message
    assert "UCF101.rar" in message


@pytest.mark.parametrize("made", [None, "", "empty_class"], ids=["none", "empty", "no clips"])
def test_missing_or_empty_data_names_place_layout_and_origin(
    tmp_path: Path, one_line: OneLine, made: str | None
) -> None:
    root = tmp_path / "data"
    if made is not None:
        (root / made).mkdir(parents=True)
    with pytest.raises(DataMissingError) as caught:
        UCF101.scan(root)
    message = one_line(caught)
    for part in (
        f"'{root}'",
        f"'{root / 'UCF-101'}'",
        UCF101.layout,
        "UCF101.rar from the UCF Center for Research in Computer Vision",
        "no such folder" if made is None else "no clips in it",
    ):
        assert part in message


def test_a_file_instead_of_a_folder_is_missing_data(tmp_path: Path, one_line: OneLine) -> None:
    file = tmp_path / "UCF101.rar"
    file.touch()
    with pytest.raises(DataMissingError) as caught:
        UCF101.scan(file)
    assert str(file) in one_line(caught)


def test_line_breaks_in_a_folder_name_do_not_break_the_message(
    tmp_path: Path, one_line: OneLine
) -> None:
    with pytest.raises(DataMissingError) as caught:
        UCF101.scan(tmp_path / "two\nlines")
    assert r"two\nlines" in one_line(caught)


def test_clips_of_another_dataset_are_refused(
    hmdb: Path, make_tree: MakeTree, one_line: OneLine
) -> None:
    other = make_tree(hmdb / "other", ["Archery/v_Archery_g01_c01.avi"])
    with pytest.raises(DataConflictError) as caught:
        HMDB51.scan(other, hmdb)
    message = one_line(caught)
    assert str(other) in message
    assert "'Archery'" in message


def test_blank_split_files_are_refused(
    tmp_path: Path, make_tree: MakeTree, one_line: OneLine
) -> None:
    root = make_tree(tmp_path / "hmdb51_org", ["walk/a.avi"])
    (tmp_path / "walk_test_split1.txt").write_text("\n")
    with pytest.raises(DataMissingError) as caught:
        HMDB51.scan(root)
    assert str(tmp_path) in one_line(caught)


def test_split_files_are_found_beside_a_link_to_the_clips(hmdb: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "hmdb51_org").symlink_to(hmdb / "hmdb51_org")
    (hmdb / "testTrainMulti_7030_splits").rename(project / "testTrainMulti_7030_splits")
    listing = HMDB51.scan(project / "hmdb51_org")
    assert listing.clips[1].splits == {"1": "train"}
    assert listing.root == (hmdb / "hmdb51_org").resolve()


def test_a_relative_folder_works(hmdb: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(hmdb / "hmdb51_org")
    assert len(HMDB51.scan(Path()).clips) == 3
    assert len(HMDB51.scan(Path("..")).clips) == 3


def test_a_link_loop_does_not_stop_a_scan(hmdb: Path) -> None:
    root = hmdb / "hmdb51_org"
    (root / "loop").symlink_to(root)
    (root / "self").symlink_to(root / "self")
    (root / "walk" / "up").symlink_to(root)
    assert len(HMDB51.scan(hmdb).clips) == 3


def test_names_that_are_not_utf8_match_their_list(tmp_path: Path) -> None:
    stem = b"caf\xe9_walk_0"
    (tmp_path / "walk").mkdir()
    (tmp_path / "walk" / os.fsdecode(stem + b".avi")).touch()
    (tmp_path / "walk_test_split1.txt").write_bytes(stem + b".avi 1 \n")
    listing = HMDB51.scan(tmp_path)
    assert listing.clips[0].splits == {"1": "train"}
    assert listing.absent == ()
