"""If this breaks, clips of a list get another class or part than the list says."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from ta3n.common.errors import DataConflictError
from ta3n.datasets.own_lists import has_splits, read_list


def entries(
    tmp_path: Path, text: str, name: str = "list.txt", classes: Sequence[str] = ()
) -> list[tuple[str, str, str | None, int | None]]:
    file = tmp_path / name
    file.write_text(text)
    return [(e.path, e.class_name, e.role, e.num_frames) for e in read_list(file, classes)]


def test_published_lists(tmp_path: Path) -> None:
    text = "dataset/hmdb51/RGB-feature/a_b 80 1\r\nmy clips/c d.avi 90 0 \nwave/e.mp4\nf/g.avi 1\n"
    assert entries(tmp_path, text, classes=("turn", "wave")) == [
        ("dataset/hmdb51/RGB-feature/a_b", "wave", None, 80),
        ("my clips/c d.avi", "turn", None, 90),
        ("wave/e.mp4", "wave", None, None),
        ("f/g.avi", "wave", None, None),
    ]


def test_tables(tmp_path: Path) -> None:
    text = 'split,path,class,frames\nval,"a, b.mp4",wave,7\n,c.mp4,turn,\nTrain,d.mp4,turn,9\n'
    assert entries(tmp_path, text, "list.csv") == [
        ("a, b.mp4", "wave", "test", 7),
        ("c.mp4", "turn", None, None),
        ("d.mp4", "turn", "train", 9),
    ]
    assert has_splits(tmp_path / "list.csv")


def test_a_table_of_several_datasets(tmp_path: Path) -> None:
    file = tmp_path / "list.csv"
    file.write_text("dataset,video,label\none,a,0\ntwo,b,1\n")
    assert [entry.path for entry in read_list(file, (), dataset="two")] == ["b"]
    assert not has_splits(file)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("l.txt", "a.mp4\n", "line 1: 'a.mp4' is not a path with the folder of its class"),
        ("l.txt", "x/a.mp4 5\n", "line 1: 'x/a.mp4 5' is not a label from 0 to 1"),
        ("l.txt", "x/a.mp4 wav\n", "class 'wav' is not one of classes (did you mean 'wave'?)"),
        ("l.txt", "../a.mp4 1\n", "is not the path of a clip"),
        ("l.csv", "clip,class\n", "no column path in clip, class"),
        ("l.csv", "path,class,split\na,wave,valid\n", "is not in a split train, val or test"),
        ("l.csv", "path,class\na,wave,1\n", "is not 2 values, as the heading has"),
        ("l.csv", "", "is no table of a heading"),
    ],
)
def test_a_wrong_line_is_told(tmp_path: Path, name: str, text: str, told: str) -> None:
    with pytest.raises(DataConflictError) as caught:
        entries(tmp_path, text, name, ("turn", "wave"))
    assert told in str(caught.value)
    assert str(caught.value).isprintable()
