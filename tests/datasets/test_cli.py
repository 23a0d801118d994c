"""If this breaks, a script goes on with clips that leak, clash or are missing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ta3n.datasets.cli import main

TABLES = """
[datasets.one]
root = "one"
groups = '(s\\d)_'
val_pattern = '_v'
[datasets.two]
root = "two"
val_pattern = '_v'
[benchmarks.both]
datasets = ["one", "two"]
classes = ["turn", "wave"]
"""


def run(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with two sound datasets; every file has its own content."""
    (tmp_path / "pipeline.toml").write_text(TABLES)
    for dataset in ("one", "two"):
        for number, name in enumerate(("turn", "wave")):
            for part in ("s1_t", f"s{number + 2}_v"):
                file = tmp_path / dataset / name / f"{name}_{part}.mp4"
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(f"{dataset} {file.name}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_help_needs_no_heavy_import() -> None:
    code = "import sys, ta3n.datasets.cli; print(*sys.modules)"
    modules = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/"
    ).stdout.split()
    assert not {"torch", "numpy", "pydantic", "rich", "h5py", "av"} & set(modules)


def test_list_names_built_in_and_own(folder: Path) -> None:
    lines = run("list").stdout.splitlines()
    assert "dataset ucf101 (ucf): no folder set" in lines
    assert "dataset one: one" in lines
    assert "benchmark both: one, two; 2 classes: turn, wave" in lines


def test_sound_data_passes_with_counts(folder: Path) -> None:
    result = run("check", "both")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "nothing wrong" in result.stdout
    row = next(line for line in result.stdout.splitlines() if "turn" in line)
    assert [cell.strip() for cell in row.strip("│").split("│")] == ["turn", *"110110"]


def test_scripts_read_the_same_as_json(folder: Path) -> None:
    listed = json.loads(run("list", "--json").stdout)
    folders = {dataset["name"]: dataset["folder"] for dataset in listed["datasets"]}
    assert (folders["one"], folders["ucf101"]) == ("one", None)
    (both,) = (b for b in listed["benchmarks"] if b["name"] == "both")
    assert both == {
        "name": "both",
        "datasets": ["one", "two"],
        "classes": {"class": ["turn", "wave"]},
    }
    (folder / "two/wave/wave_s3_v.mp4").unlink()
    result = run("check", "two", "--json")
    assert result.exit_code == 14
    found = json.loads(result.stdout)
    assert found["datasets"]["two"]["classes"]["wave"] == {"train": 1, "val": 0, "unused": 0}
    assert [problem["problem"] for problem in found["problems"]] == ["parts"]


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("added", "code", "told"),
    [
        ({"one/wave/turn_s1_t.mp4": "x"}, 10, "clashes: one: one name for 2 clips: turn/turn_s1"),
        ({"one/wave/wave_s1_v.mp4": "x"}, 11, "leaks: one: group s1 is in both parts: train turn/"),
        (
            {"two/wave/copy_t.mp4": "one turn_s1_t.mp4"},
            13,
            "duplicates: the same content: one/",
        ),
    ],
)
def test_each_problem_has_its_exit_code(
    folder: Path, added: dict[str, str], code: int, told: str
) -> None:
    for path, text in added.items():
        write(folder / path, text)
    result = run("check", "both")
    assert result.exit_code == code
    assert told in result.stdout
    word = told.split(":")[0]
    assert run("check", "both", "--ignore", word).exit_code == 0


def test_classes_of_one_domain_and_empty_parts_are_told(folder: Path) -> None:
    (folder / "two/wave/wave_s3_v.mp4").unlink()
    assert run("check", "two").exit_code == 14
    (folder / "two/wave/wave_s1_t.mp4").unlink()
    result = run("check", "both")
    assert result.exit_code == 12
    assert "domains: class wave has clips in one only, none in two" in result.stdout


def test_listed_clips_that_are_not_on_disk_are_told(folder: Path) -> None:
    lines = ["turn/turn_s1_t.mp4", "wave/wave_s1_t.mp4", "wave/gone.mp4"]
    write(folder / "train.txt", "".join(f"{line}\n" for line in lines))
    write(folder / "val.txt", "turn/turn_s2_v.mp4\nwave/wave_s3_v.mp4\n")
    table = '[datasets.listed]\nroot = "one"\ntrain = "train.txt"\nval = "val.txt"\n'
    write(folder / "lists.toml", table)
    result = run("check", "listed", "--config", "lists.toml")
    assert result.exit_code == 15
    assert "absent: listed: 1 clips of the split are not on disk" in result.stdout


def test_a_mistyped_class_is_told_with_the_class_that_is_there(folder: Path) -> None:
    for dataset in ("one", "two"):
        (folder / dataset / "wave").rename(folder / dataset / "wvae")
    result = run("check", "both")
    assert result.exit_code == 12
    told = "domains: class wave has no clips in any dataset (did you mean 'wvae'?)"
    assert told in result.stdout.splitlines()


def test_groups_are_counted(folder: Path) -> None:
    write(folder / "one/turn/turn_other_t.mp4", "of no group")
    result = run("check", "both")
    assert result.exit_code == 0
    assert "groups: one: 4 of 5 names hold a group, 3 groups" in result.stdout.splitlines()
    assert "groups: two" not in result.stdout


def test_unused_and_empty_files_are_no_problem(folder: Path) -> None:
    table = "[datasets.years]\nroot = 'one'\ntrain_pattern = '_t'\nval_pattern = '_v'\n"
    write(folder / "years.toml", table)
    for number in range(7):
        write(folder / f"one/turn/turn_{number}.mp4", str(number))
    write(folder / "one/wave/wave_0_t.mp4", "")
    result = run("check", "years", "--config", "years.toml")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    names = ", ".join(f"turn/turn_{number}.mp4" for number in range(5))
    assert f"unused: years: 7 clips are in no part of the split: {names} and 2 more" in lines
    assert "empty: years: 1 files are empty: wave/wave_0_t.mp4" in lines
    assert lines[-1] == "nothing wrong"


def test_unused_clips_of_a_built_in_dataset_are_named(folder: Path) -> None:
    for name in ("walk_1", "walk_2", "walk_3"):
        write(folder / f"hmdb/walk/{name}.avi", name)
    write(folder / "hmdb/walk_test_split1.txt", "walk_1.avi 1\nwalk_2.avi 2\nwalk_3.avi 0\n")
    result = run("check", "hmdb", "--root", "hmdb")
    assert result.exit_code == 0
    told = "unused: hmdb51: 1 clips are in no part of the split: walk/walk_3.avi"
    assert told in result.stdout.splitlines()


@pytest.mark.parametrize(
    ("args", "code", "told"),
    [
        (("check", "on"), 2, "did you mean 'one'?"),
        (("check", "ucf"), 2, "no folder for ucf101; give --root DIR"),
        (("check", "ucf", "--root", "none"), 1, "no clips of ucf101"),
        (("check", "ucf", "--root", "~no-such-user/data"), 1, "no clips of ucf101"),
        (("check", "one", "--root", "~no-such-user/data"), 1, "no clips of one"),
        (("check", "both", "--root", "one"), 2, "--root and --splits are of one dataset"),
        (("check", "one", "--ignore", "leak"), 2, "--ignore leak is not known"),
        (("check", "ucf", "--benchmark", "both"), 2, "does not hold dataset 'ucf101'"),
    ],
)
def test_mistakes_are_told(folder: Path, args: tuple[str, ...], code: int, told: str) -> None:
    result = run(*args)
    assert result.exit_code == code
    assert told in result.stderr


@pytest.mark.shared
def test_real_clips_of_a_built_in_benchmark(shared: Path) -> None:
    root = shared / "clips" / "UCF-101"
    result = run("check", "ucf", "--root", root, "--benchmark", "ucf-hmdb-full")
    assert result.exit_code == 14
    assert "without training clips" in result.stdout
    assert "leaks" not in result.stdout


def test_rendered_domains_are_datasets_that_check_finds_nothing_in(tmp_path: Path) -> None:
    small = ("--out", tmp_path, "--seed", 3, "--train", 2, "--test", 1, "--jobs", 1)
    result = run("synthetic", "c", *small, "--class-frequencies", "long-tail")
    assert result.exit_code == 0, result.output
    root = tmp_path / "synthetic-c"
    assert result.stdout == f"synthetic-c: 14 training and 12 test clips in {root}\n"
    checked = run("check", "syn-c", "--root", root, "--benchmark", "synthetic")
    assert checked.exit_code == 0, checked.output
    before = {path: path.stat().st_mtime_ns for path in root.glob("*/*.mov")}
    assert len(before) == 26
    again = run("synthetic", "c", *small, "--class-frequencies", "long-tail")
    assert again.stdout == result.stdout
    assert {path: path.stat().st_mtime_ns for path in root.glob("*/*.mov")} == before
    other = run("synthetic", "c", *small)
    assert other.exit_code == 1
    assert "was made with class_frequencies long-tail, not balanced" in other.stderr


def test_an_unknown_domain_is_named_before_anything_is_rendered(tmp_path: Path) -> None:
    result = run("synthetic", "a", "d", "--out", tmp_path)
    assert result.exit_code == 2
    assert "'d' is not one of 'a', 'b', 'c'" in result.stderr
    assert not list(tmp_path.iterdir())


def test_problems_of_a_kind_are_told_up_to_ten(folder: Path) -> None:
    """Own videos are often numbered from one in each class folder."""
    for number in range(14):
        for name in ("wave", "turn"):
            write(folder / f"one/{name}/{number:03d}_t.mp4", f"{name}{number}")
    result = run("check", "one", "--ignore", "duplicates")
    assert result.exit_code == 10
    told = [line for line in result.stdout.splitlines() if line.startswith("clashes: ")]
    assert (len(told), told[-1]) == (11, "clashes: 4 more, which --json names")
    named = json.loads(run("check", "one", "--json").stdout)["problems"]
    assert sum(each["problem"] == "clashes" for each in named) == 14


def test_a_mistyped_folder_beside_a_right_one_is_told(folder: Path) -> None:
    """Its clips would silently be no part of the class."""
    settings = folder / "pipeline.toml"
    text = settings.read_text()
    assert "[benchmarks.both]" in text, text
    write(folder / "one/waving/more_s7_t.mp4", "more")
    table = """
[benchmarks.wide.classes]
turn = { one = "turn", two = "turn" }
wave = { one = ["wave", "wavin"], two = "wave" }
"""
    settings.write_text(text + table)
    result = run("check", "wide")
    assert result.exit_code == 12
    lines = result.stdout.splitlines()
    assert "domains: class wave has no clips in wavin of one (did you mean 'waving'?)" in lines
    assert "others: one: 1 class in no class of wide: waving" in lines
