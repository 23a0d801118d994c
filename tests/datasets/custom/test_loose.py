"""If this breaks, clips of one's own are left out, listed twice, or mixed up with others."""

from pathlib import Path

import pytest

from ta3n.common.errors import DataMissingError, UsageError
from ta3n.datasets.custom.loose import find_videos, scan_videos

from ...support.fixtures import MakeTree, OneLine


def test_videos_at_any_depth_are_listed_by_path(tmp_path: Path, make_tree: MakeTree) -> None:
    wanted = ["b/c/two.MP4", "one.avi", "b/one.avi", "odd (1) [x] #.webm"]
    root = make_tree(tmp_path / "clips", [*wanted, "notes.txt", ".hidden.mp4", ".trash/gone.mp4"])
    listing = scan_videos([root])
    assert [clip.path for clip in listing.clips] == sorted(wanted)
    assert (listing.dataset, listing.root) == ("videos", root)
    assert {(clip.class_name, len(clip.splits)) for clip in listing.clips} == {("", 0)}


def test_files_of_several_places_keep_apart(tmp_path: Path, make_tree: MakeTree) -> None:
    root = make_tree(tmp_path, ["a/clip.mp4", "b/clip.mp4", "b/named.txt", "other/x.mp4"])
    (root / "link").symlink_to(root / "a")
    files = [root / "b" / "clip.mp4", root / "link" / "clip.mp4", root / "a", root / "b/named.txt"]
    listing = scan_videos(files)
    assert [clip.path for clip in listing.clips] == ["a/clip.mp4", "b/clip.mp4", "b/named.txt"]
    assert all((listing.root / clip.path).is_file() for clip in listing.clips)
    assert scan_videos([root / "a/clip.mp4"]).clips[0].path == "clip.mp4"


@pytest.mark.parametrize("name", ["gone.mp4", "a\0b.mp4", "x" * 300 + ".mp4", "line\nbreak"])
def test_what_is_not_there_is_told_in_one_line(
    tmp_path: Path, one_line: OneLine, name: str
) -> None:
    with pytest.raises(DataMissingError) as caught:
        find_videos(tmp_path / name)
    assert "no file or folder" in one_line(caught)


def test_folders_without_videos_are_refused(tmp_path: Path, make_tree: MakeTree) -> None:
    with pytest.raises(DataMissingError, match="no video in the folder"):
        scan_videos([make_tree(tmp_path, ["notes.txt"])])
    with pytest.raises(UsageError, match="name a file or a folder"):
        scan_videos([])
