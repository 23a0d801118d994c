"""If this breaks, sections of a list are other parts of their videos than it says."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from ta3n.common.errors import ConfigError, DataConflictError
from ta3n.common.sampling import Section
from ta3n.common.settings import load_settings
from ta3n.datasets.catalogue import catalogue_of
from ta3n.datasets.cli import main
from ta3n.datasets.custom.settings import DataSections
from ta3n.datasets.reading.base import Listing

from ...support.fixtures import MakeTree

FRAMES = "first_frame = 1\nstop_frame = 'included'"
HEADING = "id,path,class,split,start_frame,stop_frame"
ROWS = ["a,P01.mp4,cut,train,1,10", "b,P01.mp4,mix,train,6,12", "c,P02.mp4,cut,val,1,3"]


@pytest.fixture(autouse=True)
def videos(tmp_path: Path, make_tree: MakeTree, monkeypatch: pytest.MonkeyPatch) -> None:
    make_tree(tmp_path / "data", ["P01.mp4", "P02.mp4", "kitchen/P03.mp4"])
    monkeypatch.chdir(tmp_path)


def scan(folder: Path, rows: list[str], heading: str = HEADING, table: str = FRAMES) -> Listing:
    (folder / "clips.csv").write_text("\n".join([heading, *rows]))
    file = folder / "pipeline.toml"
    file.write_text(f"[datasets.mine]\nroot = 'data'\nclips = 'clips.csv'\n{table}\n")
    mine = catalogue_of(load_settings(DataSections, file, {}).settings).dataset("mine")
    assert mine.default_root is not None
    return mine.scan(mine.default_root)


@pytest.mark.parametrize(
    ("first", "stop", "bounds"),
    [(1, "included", (0, 10)), (1, "excluded", (0, 9)), (0, "included", (1, 11)),
     (0, "excluded", (1, 10))],
)  # fmt: skip
def test_frames_go_by_the_convention(
    tmp_path: Path, first: int, stop: str, bounds: tuple[int, int]
) -> None:
    table = f"first_frame = {first}\nstop_frame = '{stop}'"
    listing = scan(tmp_path, ROWS, table=table)
    clips = {clip.path: clip for clip in listing.clips}
    assert list(clips) == ["a", "b", "c"]
    assert clips["a"].section == Section(start=bounds[0], stop=bounds[1], unit="frames")
    assert [(c.file, c.class_name, c.splits) for c in clips.values()] == [
        ("P01.mp4", "cut", {"1": "train"}), ("P01.mp4", "mix", {"1": "train"}),
        ("P02.mp4", "cut", {"1": "test"}),
    ]  # fmt: skip
    # It is kept with the features.
    assert (listing.reading.first_frame, listing.reading.stop_frame) == (first, stop)


@pytest.mark.parametrize("table", ["", "first_frame = 1", "stop_frame = 'included'"])
def test_a_convention_must_be_given_for_frames(tmp_path: Path, table: str) -> None:
    with pytest.raises(ConfigError, match="say first_frame = 0 or 1"):
        scan(tmp_path, ROWS, table=table)


def test_seconds_need_none_and_may_be_clock_times(tmp_path: Path) -> None:
    rows = ["P01.mp4,cut,train,1.5,4", "P01,cut,train,00:01:02.25,1:10", "kitchen/P03,mix,val,,"]
    listing = scan(tmp_path, rows, "path,class,split,start_s,stop_s", "")
    found = {clip.path: clip.section for clip in listing.clips}
    assert found == {
        "P01.mp4#1.5-4": Section(start=1.5, stop=4, unit="seconds"),
        "P01.mp4#62.25-70": Section(start=62.25, stop=70, unit="seconds"),
        "kitchen/P03.mp4": None,
    }


def test_sections_of_one_video_are_side_by_side(tmp_path: Path) -> None:
    rows = ["z,P01.mp4,cut,train,1,9", "m,P02.mp4,cut,val,1,9", "b,P01.mp4,cut,train,4,5"]
    assert [clip.path for clip in scan(tmp_path, rows).clips] == ["z", "b", "m"]


def test_sections_that_are_none_stay_in_the_list(tmp_path: Path) -> None:
    """Each has a status and a reason once it is extracted; one does not stop the others."""
    rows = ["a,P01.mp4,cut,train,9,3", "b,P01.mp4,cut,train,-4,3", "c,gone.mp4,cut,val,1,3"]
    listing = scan(tmp_path, rows)
    assert [clip.path for clip in listing.clips] == ["b", "a"]
    assert [clip.stem for clip in listing.absent] == ["c"]


@pytest.mark.parametrize(
    ("heading", "rows", "message"),
    [
        (HEADING, [*ROWS, "a,P02.mp4,cut,val,1,3"], "give each section an id of its own"),
        (
            "path,class,split,start_frame,stop_frame",
            ["P01.mp4,cut,train,1,3", "P01.mp4,mix,train,1,3"],
            "list it once, or give a column id",
        ),
        ("path,class,split,start_frame", ["P01.mp4,a,train,1"], "start_frame needs stop_frame"),
        (f"{HEADING},start_s,stop_s", [f"{ROWS[0]},1,2"], "given by start_s and by start_frame"),
        (HEADING, ["a,P01.mp4,cut,train,one,3"], "start_frame and stop_frame are to be numbers"),
        (HEADING, ["a,P01.mp4,cut,train,,3"], "start_frame and stop_frame are to be numbers"),
        (HEADING, ["../a,P01.mp4,cut,train,1,3"], "a section whose id stays in its folder"),
        (
            "path,class,split,start_s,stop_s",
            ["P01.mp4,cut,train,1,nan"],
            "start_s and stop_s are to be seconds, or H:M:S",
        ),
        (
            "path,class,split,start_sec,stop_sec",
            ["P01.mp4,a,train,1,3", "P01.mp4,a,train,5,6"],
            "column 'start_sec' is not known (did you mean 'start_s'?)",
        ),
        (
            "id,path,class,split,from,to",
            ["a,P01.mp4,a,train,1,3", "b,P01.mp4,a,train,5,6"],
            "listed more than once by column id, and no columns start_s and stop_s",
        ),
    ],
)
def test_mistakes_are_told_with_their_line(
    tmp_path: Path, heading: str, rows: list[str], message: str
) -> None:
    with pytest.raises(DataConflictError) as caught:
        scan(tmp_path, rows, heading)
    assert message in str(caught.value)


def test_whole_clips_keep_columns_of_other_programs(tmp_path: Path) -> None:
    rows = ["P01.mp4,a,train,1,x", "P02.mp4,a,val,5,y"]
    listing = scan(tmp_path, rows, "path,class,split,start_time,id", "")
    assert [(clip.path, clip.video) for clip in listing.clips] == [
        ("P01.mp4", None), ("P02.mp4", None),
    ]  # fmt: skip


def test_a_ratio_parts_videos_not_sections(tmp_path: Path) -> None:
    heading = "path,class,start_frame,stop_frame"
    rows = [
        f"{video},{name},{start},{start + 5}"
        for video in ("P01.mp4", "P02.mp4", "kitchen/P03.mp4")
        for name, start in (("cut", 1), ("mix", 3), ("cut", 20))
    ]
    listing = scan(tmp_path, rows, heading, f"{FRAMES}\nval_ratio = 0.4\nseed = 1")
    of_video: dict[str, set[str]] = {}
    for clip in listing.clips:
        of_video.setdefault(clip.file, set()).update(clip.splits.values())
    assert sorted(map(len, of_video.values())) == [1, 1, 1]
    assert {role for roles in of_video.values() for role in roles} == {"train", "test"}
    held_out = scan(tmp_path, rows, heading, f"{FRAMES}\nval_pattern = '^P02'")
    assert {clip.file for clip in held_out.clips if clip.splits["1"] == "test"} == {"P02.mp4"}


def check(folder: Path, rows: list[str], table: str = FRAMES) -> tuple[int, str]:
    scan(folder, rows, table=table)
    result = CliRunner().invoke(main, ["check", "mine", "--ignore", "parts"])
    return result.exit_code, result.stdout


def test_check_finds_leaks_between_sections_and_names_those_that_overlap(tmp_path: Path) -> None:
    code, told = check(tmp_path, [*ROWS, "d,P01.mp4,mix,val,11,15", "e,P01.mp4,cut,val,20,30"])
    assert code == 11
    assert (
        "leaks: mine: group P01 is in both parts: train a, b; val d, e; 1 pairs overlap, such as "
        "b and d" in told
    )
    code, told = check(tmp_path, [*ROWS, "d,P01.mp4,mix,val,13,15"])
    assert code == 11
    assert "train a, b; val d\n" in told
    # The whole video holds every section of it.
    code, told = check(tmp_path, [*ROWS, ",P02.mp4,mix,train,,"])
    assert "1 pairs overlap, such as P02.mp4 and c" in told
    code, told = check(tmp_path, ROWS)
    assert "leaks: " not in told
    assert "sections: mine: 3 clips are parts of 2 videos" in told
    assert "folders or archives of frames" not in told


def test_groups_go_by_the_video(tmp_path: Path) -> None:
    rows = [*ROWS, "d,kitchen/P03.mp4,cut,train,1,3"]
    code, told = check(tmp_path, rows, f"{FRAMES}\ngroups = '^P0[23]'")
    assert "groups: mine: 2 of 4 names hold a group, 2 groups" in told
    code, told = check(tmp_path, rows, f"{FRAMES}\ngroups = '^(P)0[23]'")
    assert code == 11
    assert "group P is in both parts: train d; val c" in told


def test_check_tells_equal_sections_and_equal_videos(tmp_path: Path) -> None:
    (tmp_path / "data" / "P01.mp4").write_bytes(b"other")
    code, told = check(tmp_path, [*ROWS, "d,P01.mp4,mix,train,1,10"])
    assert code == 13
    assert "duplicates: the same section: mine/a = mine/d" in told
    (tmp_path / "data" / "P01.mp4").write_bytes(b"x")
    code, told = check(tmp_path, ROWS)
    assert code == 13
    assert "duplicates: the same content: mine/P01.mp4 = mine/P02.mp4" in told
