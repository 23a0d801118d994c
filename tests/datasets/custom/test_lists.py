"""If this breaks, clips of a list get another class or part than the list says."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from ta3n.common.errors import DataConflictError
from ta3n.datasets.custom.lists import has_splits, no_entry, read_list


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


def test_columns_with_more_information_are_left_alone(tmp_path: Path) -> None:
    """Also those like a column that is there, and other numbers of frames than those declared."""
    heading = "path,class,split,class_id,filename,notes,duration,decoded_frames,"
    text = f"{heading}\na.mp4,wave,val,7,x,y,2.5,80,\n"
    assert entries(tmp_path, text, "list.csv") == [("a.mp4", "wave", "test", None)]
    assert entries(tmp_path, "dataset,file\none,wave/b.mp4\n", "list.csv")[0][1] == "wave"


@pytest.mark.shared
def test_a_real_table_with_many_columns_is_read(shared: Path) -> None:
    assert len(list(read_list(shared / "clips" / "clips.csv", (), "train"))) > 10


@pytest.mark.parametrize(
    ("heading", "told"),
    [
        ("datset,path,class,split", "column 'datset' is not known (did you mean 'dataset'?)"),
        ("path,klass,split", "column 'klass' is not known (did you mean 'class'?)"),
        ("path,class,splt", "column 'splt' is not known (did you mean 'split'?)"),
        ("filename,class", "column 'filename' is not known (did you mean 'file'?)"),
        ("path,category,split", "no column class or label beside 'category'"),
        ("path,cat\x1begory", "no column class or label beside 'cat\\x1begory'"),
    ],
)
def test_a_mistyped_or_lacking_column_is_told(tmp_path: Path, heading: str, told: str) -> None:
    row = ",".join("x/a" for _ in heading.split(","))
    with pytest.raises(DataConflictError) as caught:
        entries(tmp_path, f"{heading}\n{row}\n", "list.csv")
    message = str(caught.value)
    assert f"list.csv', line 1: {told}" in message
    assert message.endswith(
        "known columns: path, video, file, label, class, split, frames, published_frames, dataset"
    )
    assert message.isprintable()


def test_published_forms_of_others(tmp_path: Path) -> None:
    classes = ("turn", "wave")
    forms = {
        "plain.txt": "0\t1\ttest/My clip 3.avi\n1\t0\tb.mp4\n",
        "commas.csv": '9287,0\nHands_Up,_Clap,1\n"a,b",0\n',
        "epic.csv": 'uid,verb_class,video_id,narration\n7,1,P08_01,"put knife, fork"\n',
        "frames.txt": "12\t34\t1\n",  # a path, its frames and a label
    }
    found = {
        name: [entry[:2] for entry in entries(tmp_path, text, name, classes)]
        for name, text in forms.items()
    }
    assert found == {
        "plain.txt": [("test/My clip 3.avi", "wave"), ("b.mp4", "turn")],
        "commas.csv": [("9287", "turn"), ("Hands_Up,_Clap", "wave"), ("a,b", "turn")],
        "epic.csv": [("P08/P08_01_7", "wave")],
        "frames.txt": [("12", "wave")],
    }


def test_lists_without_a_clip_of_the_dataset_tell_which_they_have(tmp_path: Path) -> None:
    file = tmp_path / "list.csv"
    names = ("camera-nihgt", *(f"other-{n}" for n in range(6)))
    file.write_text("dataset,path,class\n" + "".join(f"{name},a,wave\n" for name in names))
    message = str(no_entry([file], "camera-night"))
    assert "list.csv' is of dataset camera-night; the column dataset has 'camera-nihgt'" in message
    assert "and 2 more (did you mean 'camera-nihgt'?)" in message
    file.write_text("path,class\n")
    assert "no clip of camera-night is listed in" in str(no_entry([file], "camera-night"))


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
        (
            "l.csv",
            "x/a.mp4,1\nx/b.mp4,wave\n",
            "line 2: 'x/b.mp4,wave' is not a path and the number",
        ),
        ("l.csv", "uid,video_id,verb_class\n1,P01_01,2\n", "line 2: '1,P01_01,2' is not a label"),
        ("l.txt", "0\t5\tx/a.mp4\n", "is not a label from 0 to 1"),
    ],
)
def test_a_wrong_line_is_told(tmp_path: Path, name: str, text: str, told: str) -> None:
    with pytest.raises(DataConflictError) as caught:
        entries(tmp_path, text, name, ("turn", "wave"))
    assert told in str(caught.value)
    assert str(caught.value).isprintable()


def test_comments_are_no_clips(tmp_path: Path) -> None:
    """A name may begin with `#`, as some of HMDB51 do; a comment has a blank after it."""
    text = "# videos of ours\n#\n#1_clap.avi 3 1\ngolf/b 4 0\n"
    assert entries(tmp_path, text) == [("#1_clap.avi", "1", None, 3), ("golf/b", "0", None, 4)]
    text = "# made by hand\npath,class,split\n# the first day\n#1_clap,clap,train\n"
    assert entries(tmp_path, text, "list.csv") == [("#1_clap", "clap", "train", None)]


def test_files_of_another_kind_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataConflictError, match="no list that is read here; make a table of it"):
        entries(tmp_path, '[{"path": "a"}]', "train.json")
