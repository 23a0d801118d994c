"""HMDB51 must be read as users have it: odd names, trailing blanks, several layouts."""

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from ta3n.common.errors import DataConflictError, DataMissingError, Ta3nError
from ta3n.datasets.builtin.hmdb51 import HMDB51

MakeTree = Callable[[Path, Iterable[str]], Path]
OneLine = Callable[[pytest.ExceptionInfo[Ta3nError]], str]

ODD = "(HQ)_!#&[]+;~@_avi_walk_f_cm_np1_ri_med_0"


def test_flags_are_train_test_and_unused(tmp_path: Path) -> None:
    (tmp_path / "walk_test_split1.txt").write_text(f"{ODD}.avi 1 \nb.avi 2 \nc.avi 0 \n")
    (tmp_path / "walk_test_split2.txt").write_text(f"{ODD}.avi 2 \nb.avi 0 \nc.avi 0")
    (tmp_path / "README.txt").write_text("not a split file")
    assert HMDB51.read_splits(tmp_path) == {
        ("walk", ODD): {"1": "train", "2": "test"},
        ("walk", "b"): {"1": "test"},
        ("walk", "c"): {},
    }


def test_a_class_name_may_hold_underscores(tmp_path: Path) -> None:
    (tmp_path / "ride_bike_test_split3.txt").write_text("a.avi 1 \n")
    assert HMDB51.read_splits(tmp_path) == {("ride_bike", "a"): {"3": "train"}}


@pytest.mark.parametrize("line", ["a.avi", "a.avi 3", "a 1", "a.avi 1 2"])
def test_a_malformed_line_is_shown(tmp_path: Path, one_line: OneLine, line: str) -> None:
    file = tmp_path / "walk_test_split1.txt"
    file.write_text(f"{line} \n")
    with pytest.raises(DataConflictError) as caught:
        HMDB51.read_splits(tmp_path)
    assert f"'{file}', line 1: '{line}'" in one_line(caught)


@pytest.mark.parametrize("clips", ["hmdb51_org", "videos", "."])
@pytest.mark.parametrize(
    "lists",
    ["testTrainMulti_7030_splits", "test_train_splits", "splits/hmdb51/testTrainMulti_7030_splits"],
)
def test_usual_layouts_are_found(
    tmp_path: Path, make_tree: MakeTree, clips: str, lists: str
) -> None:
    make_tree(tmp_path, [f"{clips}/walk/a.avi"])
    make_tree(tmp_path / lists, [])
    (tmp_path / lists / "walk_test_split1.txt").write_text("a.avi 2 \n")
    for given in (tmp_path, tmp_path / clips):
        listing = HMDB51.scan(given)
        assert listing.clips[0].splits == {"1": "test"}
        assert listing.splits_origin == str(tmp_path / lists)


def test_without_split_files_it_says_where_it_looked(
    tmp_path: Path, make_tree: MakeTree, one_line: OneLine
) -> None:
    root = make_tree(tmp_path / "data" / "hmdb51_org", ["walk/a.avi"])
    with pytest.raises(DataMissingError) as caught:
        HMDB51.scan(root)
    message = one_line(caught)
    for part in (
        f"'{root}'",
        f"'{root.parent}'",
        f"'{root.parent / 'splits'}'",
        "testTrainMulti_7030_splits",
        "test_train_splits.rar",
    ):
        assert part in message


def test_an_archive_of_archives_is_told(
    tmp_path: Path, make_tree: MakeTree, one_line: OneLine
) -> None:
    make_tree(tmp_path, ["hmdb51_org/walk.rar", "hmdb51_org/run.rar"])
    with pytest.raises(DataMissingError) as caught:
        HMDB51.scan(tmp_path)
    assert "it holds 2 archives: unpack them first" in one_line(caught)


@pytest.mark.shared
def test_the_official_files_have_70_and_30_a_class(shared: Path) -> None:
    table = HMDB51.read_splits(shared / "splits" / "hmdb51" / "testTrainMulti_7030_splits")
    assert len(table) == 6_766
    counts = Counter(
        (folder, split, role)
        for (folder, _), roles in table.items()
        for split, role in roles.items()
    )
    assert len(counts) == 51 * 3 * 2
    assert {(role, count) for (_, _, role), count in counts.items()} == {
        ("train", 70),
        ("test", 30),
    }


@pytest.mark.shared
def test_real_clips_are_all_in_the_official_files(shared: Path) -> None:
    listing = HMDB51.scan(shared / "clips" / "hmdb51_org", shared / "splits")
    assert len(listing.clips) + len(listing.absent) == 6_766
