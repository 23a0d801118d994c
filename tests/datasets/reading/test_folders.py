"""A clip that is lost or doubled because of its name would silently change the data."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from ta3n.common.errors import DataConflictError, DataMissingError, Ta3nError
from ta3n.datasets.reading.folders import (
    class_folders,
    find_clip_folder,
    left_out_lines,
    quoted,
    video_stem,
    videos_below,
    videos_in,
)

MakeTree = Callable[[Path, Iterable[str]], Path]
OneLine = Callable[[pytest.ExceptionInfo[Ta3nError]], str]

ODD_STEMS = (
    "!a!_(b)_#c_&d_[e]_+f_;g_~h_@i_0",
    "-9t7-hXcl4U_00648_00780",
    "two  blanks and 'quotes'",
    "*?[!x]",
    "movie_avi_walk_f_cm_np1_ri_med_0",
    "ümlaut_日本",
    "line\nbreak",
)


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("a.avi", "a"),
        ("a.AVI", "a"),
        ("a.b.Mp4", "a.b"),
        ("a_avi_b.avi", "a_avi_b"),
        ("a.seq", "a"),
        ("a.mkv", "a"),
        ("a.webm", "a"),
        *((f"a{suffix}", "a") for suffix in (".MOV", ".m4v", ".mpg", ".wmv", ".flv", ".ts")),
        *((f"a{suffix}", "a") for suffix in (".3gp", ".gif", ".M2TS", ".mts", ".ogv", ".mpeg")),
        ("a.txt", None),
        ("avi", None),
        (".avi", None),
    ],
)
def test_a_video_is_told_by_its_suffix_in_any_case(name: str, stem: str | None) -> None:
    assert video_stem(name) == stem


def test_odd_names_are_found_as_they_are(tmp_path: Path, make_tree: MakeTree) -> None:
    make_tree(tmp_path, [f"{stem}.avi" for stem in ODD_STEMS])
    assert {video.stem for video in videos_in(tmp_path)} == set(ODD_STEMS)


def test_a_name_that_is_not_utf8_survives(tmp_path: Path) -> None:
    raw = b"caf\xe9.avi"
    with open(os.fsencode(tmp_path) + b"/" + raw, "wb"):  # noqa: PTH123 - needs raw bytes
        pass
    (video,) = videos_in(tmp_path)
    assert os.fsencode(video.name) == raw
    assert quoted(video.name) == r"'caf\udce9.avi'"


def test_what_is_no_video_is_left_out(tmp_path: Path, make_tree: MakeTree) -> None:
    make_tree(tmp_path, ["clip.avi", ".hidden.avi", "._clip.avi", "notes.txt", "folder.avi/x.avi"])
    (tmp_path / "dead.avi").symlink_to(tmp_path / "gone.avi")
    (tmp_path / "self.avi").symlink_to(tmp_path / "self.avi")
    os.mkfifo(tmp_path / "pipe.avi")
    assert [video.name for video in videos_in(tmp_path)] == ["clip.avi"]


def test_a_linked_clip_has_the_size_of_its_target(tmp_path: Path) -> None:
    (tmp_path / "real.bin").write_bytes(b"12345")
    os.utime(tmp_path / "real.bin", ns=(1, 1_234_567_890_000_000_042))
    (tmp_path / "link.avi").symlink_to(tmp_path / "real.bin")
    (video,) = videos_in(tmp_path)
    assert (video.size_bytes, video.mtime_ns) == (5, 1_234_567_890_000_000_042)


@pytest.mark.parametrize("other", ["a.mp4", "a.AVI"])
def test_equal_stems_are_refused_by_name(
    tmp_path: Path, make_tree: MakeTree, one_line: OneLine, other: str
) -> None:
    make_tree(tmp_path, ["a.avi", other])
    with pytest.raises(DataConflictError) as caught:
        videos_in(tmp_path)
    message = one_line(caught)
    assert "'a.avi'" in message
    assert f"'{other}'" in message
    assert str(tmp_path) in message
    assert "keep one" in message


def test_class_folders_are_folders_and_links_to_folders(
    tmp_path: Path, make_tree: MakeTree
) -> None:
    root = make_tree(tmp_path / "root", ["b/1.avi", ".cache/2.avi", "file.avi"])
    elsewhere = make_tree(tmp_path / "elsewhere", ["3.avi"])
    (root / "a").symlink_to(elsewhere)
    (root / "dead").symlink_to(tmp_path / "gone")
    (root / "self").symlink_to(root / "self")
    assert class_folders(root) == ("a", "b")


def test_a_folder_that_does_not_exist_has_no_classes(tmp_path: Path) -> None:
    assert class_folders(tmp_path / "gone") == ()


def test_a_root_that_cannot_be_read_is_named(tmp_path: Path, one_line: OneLine) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(DataMissingError) as caught:
        class_folders(loop)
    assert str(loop) in one_line(caught)


def test_a_class_folder_that_vanishes_is_named(tmp_path: Path, one_line: OneLine) -> None:
    with pytest.raises(DataMissingError) as caught:
        videos_in(tmp_path / "gone")
    assert str(tmp_path / "gone") in one_line(caught)


@pytest.mark.parametrize("given", ["", "UCF-101"])
def test_the_clip_folder_or_its_parent_may_be_given(
    tmp_path: Path, make_tree: MakeTree, given: str
) -> None:
    make_tree(tmp_path, ["UCF-101/Archery/a.avi", "ucfTrainTestlist/trainlist01.txt"])
    assert find_clip_folder(tmp_path / given, ["UCF-101"]) == tmp_path / "UCF-101"


def test_links_to_an_outer_folder_do_no_harm(tmp_path: Path, make_tree: MakeTree) -> None:
    make_tree(tmp_path, ["Archery/a.avi"])
    (tmp_path / "Archery" / "up").symlink_to(tmp_path)
    (tmp_path / "Loop").symlink_to(tmp_path)
    assert class_folders(tmp_path) == ("Archery", "Loop")
    assert videos_in(tmp_path / "Loop") == ()
    assert len(videos_in(tmp_path / "Archery")) == 1


def test_videos_in_folders_of_a_class_folder_are_found(tmp_path: Path, make_tree: MakeTree) -> None:
    root = make_tree(
        tmp_path / "wave", ["1.mp4", "p2/1.MOV", "p2/deep/3.ts", ".no/4.mp4", "p2/a.txt"]
    )
    elsewhere = make_tree(tmp_path / "elsewhere", ["5.flv"])
    (root / "p3").symlink_to(elsewhere)
    (root / "again").symlink_to(elsewhere)
    (root / "up").symlink_to(tmp_path)
    (root / "gone.mp4").symlink_to(tmp_path / "gone")
    videos, left_out = videos_below(root)
    assert [v.name for v in videos] == ["1.mp4", "again/5.flv", "p2/1.MOV", "p2/deep/3.ts"]
    assert list(left_out_lines(left_out)) == [
        "left out, since 1 files are no videos by their suffix (1 .txt): 'p2/a.txt'",
        "left out, since 1 links lead nowhere: 'gone.mp4'",
        "left out, since 2 links lead to a folder that is looked into already: 'p3', 'up'",
    ]


def test_a_preview_beside_its_video_is_left_out(tmp_path: Path, make_tree: MakeTree) -> None:
    make_tree(tmp_path, ["a.GIF", "a.mp4", "b.gif"])
    videos, left_out = videos_below(tmp_path)
    assert [video.name for video in videos] == ["a.mp4", "b.gif"]
    assert [each.path for each in left_out] == ["a.GIF"]
