"""UCF101 must get its official splits, from its lists or from the group numbers."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from ta3n.common.errors import DataConflictError, DataMissingError, Ta3nError
from ta3n.datasets.builtin.ucf101 import UCF101, roles_from_group

MakeTree = Callable[[Path, Iterable[str]], Path]
OneLine = Callable[[pytest.ExceptionInfo[Ta3nError]], str]


def write_lists(folder: Path, *, train: str, test: str, split: int = 1) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"trainlist0{split}.txt").write_text(train)
    (folder / f"testlist0{split}.txt").write_text(test)
    return folder


@pytest.mark.parametrize(
    ("group", "tested_in"),
    [(1, "1"), (7, "1"), (8, "2"), (14, "2"), (15, "3"), (21, "3"), (22, None), (25, None)],
)
def test_seven_groups_are_tested_in_each_split(group: int, tested_in: str | None) -> None:
    roles = roles_from_group(f"v_Archery_g{group:02}_c01")
    assert set(roles) == {"1", "2", "3"}
    assert [split for split, role in roles.items() if role == "test"] == [tested_in] * bool(
        tested_in
    )


@pytest.mark.parametrize("stem", ["v_Archery", "v_Archery_g26_c01", "v_Archery_g00_c01", "x_g1_c1"])
def test_a_name_without_a_group_is_in_no_split(stem: str) -> None:
    assert roles_from_group(stem) == {}


def test_windows_line_ends_with_and_without_labels(tmp_path: Path) -> None:
    folder = write_lists(
        tmp_path,
        train="Archery/v_Archery_g08_c01.avi 3\r\n",
        test="Archery/v_Archery_g01_c01.avi\r\n",
    )
    assert UCF101.read_splits(folder) == {
        ("Archery", "v_Archery_g08_c01"): {"1": "train"},
        ("Archery", "v_Archery_g01_c01"): {"1": "test"},
    }


@pytest.mark.parametrize(
    "line", ["v_Archery_g01_c01.avi 3", "Archery/", "Archery/v_Archery_g08_c01 3", "a/b/c.avi 1"]
)
def test_a_malformed_line_is_shown(tmp_path: Path, one_line: OneLine, line: str) -> None:
    folder = write_lists(tmp_path, train=f"Archery/v_Archery_g08_c01.avi 3\n{line}\n", test="")
    with pytest.raises(DataConflictError) as caught:
        UCF101.read_splits(folder)
    message = one_line(caught)
    assert f"'{folder / 'trainlist01.txt'}', line 2: '{line}'" in message


def test_half_a_split_is_refused(tmp_path: Path, one_line: OneLine) -> None:
    folder = write_lists(tmp_path, train="", test="", split=2)
    (folder / "testlist02.txt").unlink()
    with pytest.raises(DataMissingError) as caught:
        UCF101.read_splits(folder)
    message = one_line(caught)
    assert str(folder) in message
    assert "testlist02.txt" in message
    assert "UCF101TrainTestSplits-RecognitionTask.zip" in message


def test_the_class_is_the_folder_not_the_name(tmp_path: Path, make_tree: MakeTree) -> None:
    name = "HandstandPushups/v_HandStandPushups_g01_c01.avi"
    make_tree(tmp_path, [f"UCF-101/{name}"])
    write_lists(tmp_path / "ucfTrainTestlist", train="", test=f"{name}\r\n")
    (clip,) = UCF101.scan(tmp_path).clips
    assert clip.path == name
    assert clip.class_name == "HandstandPushups"
    assert clip.splits == {"1": "test"}


def test_without_split_files_the_group_numbers_tell(tmp_path: Path, make_tree: MakeTree) -> None:
    make_tree(tmp_path, ["Archery/v_Archery_g01_c01.avi", "Archery/mine.avi"])
    listing = UCF101.scan(tmp_path)
    assert "group numbers" in listing.splits_origin
    assert [clip.splits for clip in listing.clips] == [
        {},
        {"1": "test", "2": "train", "3": "train"},
    ]
    assert listing.absent == ()


def test_split_files_beside_the_data_win_over_group_numbers(
    tmp_path: Path, make_tree: MakeTree
) -> None:
    make_tree(tmp_path, ["UCF-101/Archery/v_Archery_g01_c01.avi"])
    lists = write_lists(
        tmp_path / "ucfTrainTestlist", train="Archery/v_Archery_g01_c01.avi 3", test=""
    )
    listing = UCF101.scan(tmp_path / "UCF-101")
    assert listing.splits_origin == str(lists)
    assert listing.clips[0].splits == {"1": "train"}


def test_a_named_splits_folder_is_never_replaced(
    tmp_path: Path, make_tree: MakeTree, one_line: OneLine
) -> None:
    root = make_tree(tmp_path / "UCF-101", ["Archery/v_Archery_g01_c01.avi"])
    wrong = make_tree(tmp_path / "wrong", ["notes.txt"])
    with pytest.raises(DataMissingError) as caught:
        UCF101.scan(root, wrong)
    message = one_line(caught)
    assert str(wrong) in message
    assert "UCF101TrainTestSplits-RecognitionTask.zip" in message


def test_names_without_groups_need_split_files(
    tmp_path: Path, make_tree: MakeTree, one_line: OneLine
) -> None:
    root = make_tree(tmp_path / "UCF-101", ["Archery/mine.avi"])
    with pytest.raises(DataMissingError) as caught:
        UCF101.scan(root)
    assert str(root) in one_line(caught)


@pytest.mark.shared
def test_the_group_rule_equals_the_official_lists(shared: Path) -> None:
    table = UCF101.read_splits(shared / "splits" / "ucf101")
    assert len(table) == 13_320
    wrong = [key for key, roles in table.items() if roles_from_group(key[1]) != roles]
    assert wrong == []


@pytest.mark.shared
def test_real_clips_are_all_in_the_official_lists(shared: Path) -> None:
    listing = UCF101.scan(shared / "clips", shared / "splits")
    assert listing.clips
    assert all(clip.splits.keys() == {"1", "2", "3"} for clip in listing.clips)
    assert len(listing.clips) + len(listing.absent) == 13_320
