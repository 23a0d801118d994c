"""If this breaks, an own dataset lists other clips, classes or parts than its table says."""

import os
import pickle
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Literal

import pytest

from ta3n.common.errors import ConfigError, DataConflictError, DataMissingError, UsageError
from ta3n.common.settings import load_settings
from ta3n.datasets.catalogue import Catalogue, catalogue_of
from ta3n.datasets.check import find_notes, select_clips
from ta3n.datasets.custom.settings import DataSections
from ta3n.datasets.reading.base import Listing

MakeTree = Callable[[Path, Iterable[str]], Path]
TREE = [f"{name}/{name}_s{n}_t1.mp4" for name in ("wave", "turn") for n in range(1, 6)]


def catalogue(tmp_path: Path, table: str) -> Catalogue:
    file = tmp_path / "pipeline.toml"
    file.write_text(table)
    return catalogue_of(load_settings(DataSections, file, {}).settings)


def scan(tmp_path: Path, table: str, classes: Iterable[str] | None = None) -> Listing:
    mine = catalogue(tmp_path, f"[datasets.mine]\nroot = 'data'\n{table}").dataset("mine")
    assert mine.default_root is not None
    return mine.scan(mine.default_root, None, None if classes is None else tuple(classes))


def parts(listing: Listing) -> dict[str, str | None]:
    return {clip.path: clip.splits.get("1") for clip in listing.clips}


def test_class_folders_with_a_pattern(tmp_path: Path, make_tree: MakeTree) -> None:
    make_tree(tmp_path / "data", TREE)
    listing = scan(tmp_path, "val_pattern = '_s[12]_'")
    assert listing.classes == ("turn", "wave")
    assert parts(listing)["wave/wave_s2_t1.mp4"] == "test"
    assert parts(listing)["wave/wave_s3_t1.mp4"] == "train"


def test_a_ratio_is_not_moved_by_the_choice_of_classes(tmp_path: Path, make_tree: MakeTree) -> None:
    make_tree(tmp_path / "data", TREE)
    table = "val_ratio = 0.4\nseed = 6\ngroups = '_(s\\d)_'"
    whole, part = parts(scan(tmp_path, table)), parts(scan(tmp_path, table, ["wave"]))
    assert part == {path: role for path, role in whole.items() if path.startswith("wave/")}
    assert sorted(map(str, whole.values())) == ["test"] * 4 + ["train"] * 6
    # Groups span classes: the same subjects are held out of both.
    held_out = {path.split("_")[1] for path, role in whole.items() if role == "test"}
    assert len(held_out) == 2


def test_groups_of_clips_in_deeper_folders(tmp_path: Path, make_tree: MakeTree) -> None:
    """A pattern is for file names; what stands before those inside a class folder is no part."""
    people = [f"s{n}" for n in range(1, 7)]
    make_tree(
        tmp_path / "data", [f"{c}/day{d}/{p}_{d}.mp4" for c in "ab" for d in "12" for p in people]
    )
    table = "val_ratio = 0.4\ngroups = '^s\\d'"
    listing = scan(tmp_path, table)
    roles = {(clip.stem[:2], clip.splits["1"]) for clip in listing.clips}
    assert len(roles) == len(people)
    mine = catalogue(tmp_path, f"[datasets.mine]\n{table}").dataset("mine")
    (note,) = find_notes(select_clips(mine, listing, None, None))
    assert note == "groups: mine: 24 of 24 names hold a group, 6 groups"


def test_lists_of_both_parts(tmp_path: Path, make_tree: MakeTree) -> None:
    make_tree(tmp_path / "data", ["a/one.mp4", "a/two.avi", "b/three.mp4"])
    (tmp_path / "train.txt").write_text("a/one 30 1\nb/three.mp4 30 0\na/gone.mp4 30 0\n")
    (tmp_path / "val.txt").write_text("dataset/x/RGB-feature/two 30 1\n")
    table = "train = 'train.txt'\nval = ['val.txt']\nclasses = ['turn', 'wave']"
    listing = scan(tmp_path, table)
    found = {clip.path: (clip.class_name, clip.splits["1"]) for clip in listing.clips}
    assert found == {
        "a/one.mp4": ("wave", "train"),
        "a/two.avi": ("wave", "test"),
        "b/three.mp4": ("turn", "train"),
    }
    assert [(clip.class_name, clip.stem) for clip in listing.absent] == [("turn", "gone")]
    assert [clip.path for clip in scan(tmp_path, table, ["turn"]).clips] == ["b/three.mp4"]


def test_a_mac_writes_the_accents_of_folders_and_names_one_by_one(
    tmp_path: Path, make_tree: MakeTree
) -> None:
    """What is typed into the settings means the same, whichever way either is written."""
    tree = [f"Rühren/für_é{n}.mp4" for n in range(4)] + ["Überholen/für_é9.mp4"]
    make_tree(tmp_path / "data", [unicodedata.normalize("NFD", path) for path in tree])
    for form in ("NFC", "NFD"):
        typed = unicodedata.normalize(form, "Rühren")
        pattern = unicodedata.normalize(form, "für_é[01]")
        listing = scan(tmp_path, f"val_pattern = '{pattern}'", ["Rühren"])
        assert listing.classes == ("Rühren",)
        assert sorted(map(str, parts(listing).values())) == ["test"] * 2 + ["train"] * 2
        # Files are still found: the path is as it is on disk.
        assert all((listing.root / clip.path).is_file() for clip in listing.clips)
        group = unicodedata.normalize(form, "(é\\d)$")
        grouped = scan(tmp_path, f"val_ratio = 0.5\ngroups = '{group}'")
        assert grouped.ratio is not None
        found = {recording for _, recording in grouped.ratio.clips.values()}
        assert found == {("", f"é{number}") for number in (0, 1, 2, 3, 9)}
        table = f"""
[datasets.mine]
root = 'data'
val_ratio = 0.5
[datasets.other]
root = 'data'
val_ratio = 0.5
[benchmarks.two.classes]
stir = {{ mine = "{typed}", other = "{typed}" }}
pass = {{ mine = "Überholen", other = "Überholen" }}
"""
        two = catalogue(tmp_path, table).benchmark("two")
        assert two.label_of("mine", listing.classes[0]) == 0
        # As features have it that were made before.
        assert two.label_of("mine", unicodedata.normalize("NFD", "Rühren")) == 0


def test_a_dataset_goes_to_other_processes(tmp_path: Path) -> None:
    table = "[datasets.mine]\nval_ratio = 0.5\ngroups = '_(s\\d)_'"
    mine = pickle.loads(pickle.dumps(catalogue(tmp_path, table).dataset("mine")))
    assert mine.recording_of("wave", "wave_s1_t1") == mine.recording_of("turn", "turn_s1_t2")
    assert mine.recording_of("wave", "0001") != mine.recording_of("turn", "0001")


@pytest.mark.parametrize(
    ("table", "classes", "error", "told"),
    [
        ("val_ratio = 0.4", ["wav"], UsageError, "no class 'wav' (did you mean 'wave'?)"),
        ("clips = 'all.txt'", None, ConfigError, "has no column split"),
        ("clips = 'none.txt'\nval_ratio = 0.4", None, DataMissingError, "none.txt"),
        ("clips = 'gone.txt'\nval_ratio = 0.4", None, DataMissingError, "none of the 1 listed"),
        ("train = 'all.txt'\nval = 'again.txt'", None, DataConflictError, "is listed before"),
        ("train = 'all.txt'\nval = 'empty.txt'", None, DataMissingError, "no clip of mine is"),
        ("clips = 'other.csv'", None, DataMissingError, "has 'mien' (did you mean 'mien'?)"),
        (
            "val_ratio = 0.4\ngroups = '_subject(\\d)_'",
            None,
            ConfigError,
            "[datasets.mine]: groups '_subject(\\d)_' finds no group in any of 10 names, such as "
            "'turn_s1_t1'",
        ),
    ],
)
def test_what_does_not_fit_is_told(
    tmp_path: Path,
    make_tree: MakeTree,
    table: str,
    classes: list[str] | None,
    error: type[Exception],
    told: str,
) -> None:
    make_tree(tmp_path / "data", TREE)
    (tmp_path / "all.txt").write_text("".join(f"{path}\n" for path in TREE))
    (tmp_path / "again.txt").write_text(f"{TREE[0]}\n")
    (tmp_path / "gone.txt").write_text("wave/gone.mp4\n")
    (tmp_path / "empty.txt").write_text("\n")
    (tmp_path / "other.csv").write_text(f"dataset,path,split\nmien,{TREE[0]},train\n")
    with pytest.raises(error) as caught:
        scan(tmp_path, table, classes)
    assert told in str(caught.value)
    assert str(caught.value).isprintable()


def test_an_empty_folder_and_split_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataMissingError, match="no clips of mine"):
        scan(tmp_path, "val_ratio = 0.4")
    mine = catalogue(tmp_path, "[datasets.mine]\nval_ratio = 0.4").dataset("mine")
    with pytest.raises(UsageError, match="leave --splits"):
        mine.scan(tmp_path, tmp_path)


BENCHMARK = "[datasets.mine]\nval_ratio = 0.4\n[benchmarks.b]\n"


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ("[datasets.ucf]\nval_ratio = 0.4", "the name 'ucf' is taken"),
        ("[datasets.My_Data]\nval_ratio = 0.4", "'My_Data' is no name here"),
        ("[datasets.a]\nval_ratio = 0.4\nshort_name = 'hmdb'", "the name 'hmdb' is taken"),
        (BENCHMARK + "datasets = ['mine', 'hmdb5']\nclasses = ['a', 'b']", "mean 'hmdb51'?"),
        (BENCHMARK + "datasets = ['mine']\nclasses = ['a', 'b']", "needs two datasets"),
        (BENCHMARK + "classes = ['a', 'b']", "datasets must list the datasets"),
        (BENCHMARK + "classes = { a = { mine = 'x', ucf = 'y' } }", "1 common classes"),
        (
            BENCHMARK
            + "classes = { a = { mine = 'x', ucf = 'y' }, b = { mine = 'x', ucf = 'z' } }",
            "folder 'x' of mine is of two classes",
        ),
        (
            BENCHMARK + "classes = { a = { mine = 'x', ucf = 'y' }, b = { mine = 'z' } }",
            "class 'b' has no folder in ucf",
        ),
        (BENCHMARK.replace(".b]", ".synthetic]"), "'synthetic' is taken"),
        ("[datasets.a]\nroot = 'x'", "no rule for the split"),
        ("[datasets.a]\nval_ratio = 0.4\nval_pattern = 'x'", "several rules"),
        ("[datasets.a]\nval_ratio = 0.4\ngroups = '('", "no regular expression"),
        ("[datasets.a]\ntrain = 'x'", "train and val lists come together"),
        ("[datasets.a]\nval_ratoi = 0.4", "did you mean 'val_ratio'?"),
        ("[datasets]\na = 3", "'datasets.a' must be a table"),
    ],
)
def test_a_wrong_table_is_told_in_one_line(tmp_path: Path, table: str, told: str) -> None:
    if "synthetic" in table:
        table += "datasets = ['mine', 'ucf']\nclasses = ['a', 'b']"
    with pytest.raises(ConfigError) as caught:
        catalogue(tmp_path, table)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_own_benchmark_takes_the_split_of_built_in_datasets(tmp_path: Path) -> None:
    table = (
        "split = '2'\nclasses = { a = { mine = 'x', ucf = 'Y' }, b = { mine = 'z', ucf = 'V' } }"
    )
    mixed = catalogue(tmp_path, BENCHMARK + table).find_benchmark("mine", "ucf")
    assert mixed.name == "b"
    place = mixed.place_of("ucf101", "Y", {"1": "train", "2": "test"})
    assert place is not None
    assert (place.role, place.label) == ("val", 0)
    own = mixed.place_of("mine", "z", {"1": "train"})
    assert own is not None
    assert (own.role, own.label) == ("train", 1)


def test_one_clip_more_moves_no_other(tmp_path: Path, make_tree: MakeTree) -> None:
    make_tree(tmp_path / "data", TREE)
    before = parts(scan(tmp_path, "val_ratio = 0.4"))
    make_tree(tmp_path / "data", [f"{name}/new_{n}.mp4" for name in ("wave", "a") for n in "xyz"])
    after = parts(scan(tmp_path, "val_ratio = 0.4"))
    assert {path: after[path] for path in before} == before
    assert len(after) == len(before) + 6


@pytest.mark.parametrize("group", [6, 7], ids=["to train on", "to validate on"])
def test_a_class_that_cannot_be_parted_is_named(
    tmp_path: Path, make_tree: MakeTree, log: pytest.LogCaptureFixture, group: int
) -> None:
    """Whatever side the name of its one group falls on."""
    make_tree(tmp_path / "data", [*TREE, f"hop/one_s{group}_t1.mp4"])
    listing = scan(tmp_path, "val_ratio = 0.4\nseed = 6\ngroups = '_(s\\d)_'")
    assert parts(listing)[f"hop/one_s{group}_t1.mp4"] == "train"
    assert [record.getMessage() for record in log.records] == [
        "mine: no clips to validate on of hop: too few groups; add clips of other recordings, or "
        "give lists or val_pattern"
    ]


NESTED = ["wave/1.mp4", "wave/p2/1.mp4", "wave/p2/2.mov", "turn/p1/1.mp4", "turn/p3/1.mp4"]


def test_clips_in_folders_of_class_folders_keep_apart(tmp_path: Path, make_tree: MakeTree) -> None:
    make_tree(tmp_path / "data", [*NESTED, "wave/notes.txt", "beside.mp4"])
    listing = scan(tmp_path, "val_ratio = 0.5")
    assert [(clip.path, clip.class_name) for clip in listing.clips] == [
        (path, path.partition("/")[0]) for path in sorted(NESTED)
    ]
    # Two of class turn have one stem, and are on either side.
    assert {role for path, role in parts(listing).items() if path[0] == "t"} == {"train", "test"}
    assert {each.path for each in listing.left_out} == {"wave/notes.txt", "beside.mp4"}


def test_folders_of_persons_may_be_the_groups(tmp_path: Path, make_tree: MakeTree) -> None:
    tree = [f"{name}/p{n}/{k}.mp4" for name in ("wave", "turn") for n in range(4) for k in "ab"]
    make_tree(tmp_path / "data", tree)
    found = parts(scan(tmp_path, "val_ratio = 0.5\ngroups = 'p(\\d)'"))
    sides = {(path.split("/")[1], role) for path, role in found.items()}
    assert len(sides) == 4


@pytest.fixture
def unreadable(tmp_path: Path, make_tree: MakeTree) -> Iterator[Path]:
    """Make a folder that a scan cannot read."""
    make_tree(tmp_path / "data", [*TREE, "lost+found/x.mp4"])
    folder = tmp_path / "data" / "lost+found"
    folder.chmod(0)
    if os.access(folder, os.R_OK):
        pytest.skip("this user reads everything")
    yield folder
    folder.chmod(0o700)


def test_an_unreadable_neighbour_is_left_out(tmp_path: Path, unreadable: Path) -> None:
    listing = scan(tmp_path, "val_ratio = 0.4")
    assert len(listing.clips) == len(TREE)
    assert [each.path for each in listing.left_out] == [unreadable.name]
    assert not scan(tmp_path, "val_ratio = 0.4", ["wave"]).left_out
    with pytest.raises(DataMissingError, match=r"cannot read the folder .*lost\+found"):
        scan(tmp_path, "val_ratio = 0.4", ["lost+found"])


HEAD, ROWS = "path,class,split", ("wave/été.mp4,wave,train", "wave/v1.mp4,wave,val")
TABLE = "\r\n".join((HEAD, *ROWS, ""))


@pytest.mark.parametrize(
    "content",
    [
        TABLE.replace("/", "\\").encode(),
        TABLE.replace("wave/", "C:\\clips\\wave\\").encode(),
        TABLE.replace(",", ";").encode(),
        f"sep=;\r\n{TABLE.replace(',', ';')}".encode(),
        TABLE.replace(",", "\t").encode(),
        TABLE.encode("utf-8-sig"),
        TABLE.encode("utf-16"),
        TABLE.encode("utf-16-le"),
        TABLE.encode("cp1252"),
        unicodedata.normalize("NFD", TABLE).encode(),
        f"{TABLE},,\r\n\r\n,,\r\n".encode(),
        TABLE.replace("train", "train,,").encode(),
        TABLE.replace("wave/v1.mp4", "Wave/V1.MP4").encode(),
    ],
    ids=lambda content: repr(content[:24]),
)
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_lists_of_other_systems_find_their_clips(
    tmp_path: Path, make_tree: MakeTree, content: bytes, form: Literal["NFC", "NFD"]
) -> None:
    accented = unicodedata.normalize(form, "wave/été.mp4")
    make_tree(tmp_path / "data", [accented, "wave/v1.mp4", "wave/v2.mp4"])
    (tmp_path / "list.csv").write_bytes(content)
    listing = scan(tmp_path, "clips = 'list.csv'")
    assert parts(listing) == {accented: "train", "wave/v1.mp4": "test"}
    assert (listing.classes, listing.absent) == (("wave",), ())


def test_the_near_name_of_a_listed_clip_is_told(
    tmp_path: Path, make_tree: MakeTree, caplog: pytest.LogCaptureFixture
) -> None:
    make_tree(tmp_path / "data", ["wave/v1.mp4", "wave/running_7.mp4"])
    (tmp_path / "list.csv").write_text(
        f"{HEAD}\nwave/v1.mp4,wave,val\nwave/runing_7.mp4,wave,val\n"
    )
    listing = scan(tmp_path, "clips = 'list.csv'")
    assert len(listing.absent) == 1
    assert "1 listed clips are not on disk: 'wave/runing_7.mp4' (did you mean" in caplog.text
    assert "'wave/running_7.mp4'" in caplog.text


@pytest.mark.parametrize("coding", ["utf-8-sig", "utf-16"])
def test_a_settings_file_may_have_a_byte_order_mark(tmp_path: Path, coding: str) -> None:
    file = tmp_path / "p.toml"
    file.write_text("[datasets.mine]\nval_ratio = 0.4\n", encoding=coding)
    assert load_settings(DataSections, file, {}).settings.datasets["mine"].val_ratio == 0.4


def test_home_is_meant_by_a_tilde_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    given = {"data.ucf101.root": "~/ucf", "data.hmdb51.root": "~nobody-there/x"}
    data = load_settings(DataSections, None, given).settings.data
    assert data["ucf101"].root == tmp_path / "ucf"
    assert data["hmdb51"].root == Path("~nobody-there/x")
