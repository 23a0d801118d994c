"""Olympic Sports must be read as users have it: blanks in list names, converted clips."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from ta3n.common.errors import DataConflictError, DataMissingError, Ta3nError
from ta3n.datasets.builtin.olympic import FOLDER_OF_LIST, OLYMPIC

MakeTree = Callable[[Path, Iterable[str]], Path]
OneLine = Callable[[pytest.ExceptionInfo[Ta3nError]], str]


def write_lists(folder: Path, name: str, *, train: str, test: str) -> Path:
    for role, content in (("train", train), ("test", test)):
        (folder / role).mkdir(parents=True, exist_ok=True)
        (folder / role / name).write_text(content)
    return folder


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("basketball layup.txt", "basketball_layup"),
        ("springboard 3m.txt", "diving_springboard_3m"),
        ("platform 10m.txt", "diving_platfrom_10m"),
    ],
)
def test_list_names_with_blanks_become_class_folders(
    tmp_path: Path, name: str, folder: str
) -> None:
    write_lists(tmp_path, name, train="-6S-E1n_P9A_00557_00746\n", test="b_1_2")  # no line end
    assert OLYMPIC.read_splits(tmp_path) == {
        (folder, "-6S-E1n_P9A_00557_00746"): {"1": "train"},
        (folder, "b_1_2"): {"1": "test"},
    }


@pytest.mark.parametrize("suffix", ["seq", "avi", "mp4"])
def test_converted_clips_still_match(tmp_path: Path, make_tree: MakeTree, suffix: str) -> None:
    make_tree(tmp_path, [f"vault/-a_1_2.{suffix}"])
    write_lists(tmp_path, "vault.txt", train="-a_1_2", test="b_1_2")
    listing = OLYMPIC.scan(tmp_path)
    assert [clip.splits for clip in listing.clips] == [{"1": "train"}]
    assert [(clip.class_name, clip.stem) for clip in listing.absent] == [("vault", "b_1_2")]


def test_the_diving_folder_may_be_spelt_correctly(tmp_path: Path, make_tree: MakeTree) -> None:
    make_tree(tmp_path, ["diving_platform_10m/a_1_2.avi"])
    write_lists(tmp_path, "platform 10m.txt", train="a_1_2", test="")
    listing = OLYMPIC.scan(tmp_path)
    assert listing.classes == ("diving_platform_10m",)
    assert listing.clips[0].splits == {"1": "train"}
    assert listing.absent == ()


@pytest.mark.parametrize("line", ["a", "vault/a_1_2", "a_1_2 1"])
def test_a_malformed_line_is_shown(tmp_path: Path, one_line: OneLine, line: str) -> None:
    write_lists(tmp_path, "vault.txt", train=f"a_1_2\n{line}", test="")
    with pytest.raises(DataConflictError) as caught:
        OLYMPIC.read_splits(tmp_path)
    assert f"'{tmp_path / 'train' / 'vault.txt'}', line 2: '{line}'" in one_line(caught)


def test_a_list_of_no_class_is_refused(tmp_path: Path, one_line: OneLine) -> None:
    write_lists(tmp_path, "long_jump.txt", train="a_1_2", test="")
    with pytest.raises(DataConflictError) as caught:
        OLYMPIC.read_splits(tmp_path)
    assert "did you mean 'long jump.txt'?" in one_line(caught)


def test_a_class_with_one_list_is_refused(tmp_path: Path, one_line: OneLine) -> None:
    write_lists(tmp_path, "vault.txt", train="a_1_2", test="b_1_2")
    (tmp_path / "train" / "snatch.txt").write_text("c_1_2")
    with pytest.raises(DataMissingError) as caught:
        OLYMPIC.read_splits(tmp_path)
    message = one_line(caught)
    assert str(tmp_path / "test" / "snatch.txt") in message
    assert "Stanford Vision Lab" in message


@pytest.mark.shared
def test_the_official_lists_name_exactly_the_download(shared: Path) -> None:
    table = OLYMPIC.read_splits(shared / "splits" / "olympic")
    listed = {f"{folder}/{stem}.seq" for folder, stem in table}
    download = (shared / "splits" / "olympic" / "video_Olympic.list").read_text().split()
    assert listed == set(download)
    assert len(download) == 783
    assert {folder for folder, _ in table} == set(FOLDER_OF_LIST.values())
