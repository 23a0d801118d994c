"""If this breaks, the page on own data promises a run from folders to a table in vain."""

import itertools
import json
import re
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ta3n.common.records import MANIFEST_NAME, Manifest, read_record
from ta3n.common.settings import load_settings
from ta3n.datasets.catalogue import catalogue_of, folders_of
from ta3n.datasets.cli import main as datasets
from ta3n.datasets.custom.settings import DataSections
from ta3n.extract.cli import main as extract
from ta3n.train.cli import main as train

from ...support.videos import WriteClip

PAGE = (Path(__file__).parents[3] / "docs" / "own-data.md").read_text()
SMALL = ("--backbone", "resnet18", "--weights", "random:0", "--device", "cpu")


def block(language: str, holding: str) -> str:
    found = re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)
    (wanted,) = [str(text) for text in found if holding in text]
    return wanted


def run(command: object, *args: object) -> Result:
    return CliRunner().invoke(command, [str(arg) for arg in args])  # type: ignore[arg-type]


def run_both_stages(source: str, target: str, *options: object) -> dict[str, object]:
    """Extract both domains, two frames a clip, and train a little; return the result."""
    for name in (source, target):
        made = run(extract, "--dataset", name, *SMALL, "--frames", "segments:2", "--no-supervise")
        assert made.exit_code == 0, made.output
    short = ("--segments", 2, "--epochs", 2, "--batch-size", 8, "--device", "cpu", *options)
    trained = run(train, "--source", source, "--target", target, *short)
    assert trained.exit_code == 0, trained.output
    (result,) = Path("runs").glob("*/*/*/seed-0/result.json")
    found: dict[str, object] = json.loads(result.read_text())
    return found


@pytest.mark.shared
def test_the_pair_of_class_folders_on_the_page(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clips").symlink_to(shared / "clips")
    (tmp_path / "pipeline.toml").write_text(block("toml", "[benchmarks.home.classes]"))
    checked = run(datasets, "check", "home")
    assert checked.exit_code == 0, checked.output
    assert "nothing wrong" in checked.stdout
    result = run_both_stages("web", "film-clips")
    assert "last" in result["rules"]  # type: ignore[operator]
    assert Path("runs/home/web-clips-film-clips").is_dir()
    (seed,) = Path("runs").glob("*/*/*/seed-0")
    again = run(train, "--evaluate", seed, "--target", "film", "--device", "cpu")
    assert again.exit_code == 0, again.output
    assert "film-clips" in again.output


def test_the_list_on_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_clip: WriteClip
) -> None:
    monkeypatch.chdir(tmp_path)
    table = block("csv", "camera-day")
    (tmp_path / "clips.csv").write_text(table)
    (tmp_path / "pipeline.toml").write_text(block("toml", "[benchmarks.day-night]"))
    for number, line in enumerate(table.splitlines()[1:]):
        write_clip(tmp_path / "recordings" / line.split(",")[1], 8, seed=number)
    checked = run(datasets, "check", "day-night")
    assert checked.exit_code == 0, checked.output
    # In processes of their own, which see the datasets of the settings file too.
    run_both_stages("camera-day", "camera-night", "--seeds", 2, "--jobs", 2)
    assert Path("runs/day-night/camera-day-camera-night").is_dir()


GROWING = """
[datasets.lab]
root = "lab"
val_ratio = 0.4

[datasets.street]
root = "street"
val_ratio = 0.4

[benchmarks.grown]
datasets = ["lab", "street"]
classes = ["wave", "turn"]
"""


def trained_runs() -> dict[str, tuple[int, int]]:
    """Return how many source videos each run used, and how many there were, by its hash."""
    found = {}
    for path in Path("runs").glob("*/*/*/seed-0/result.json"):
        config = json.loads(path.with_name("config.json").read_text())
        found[config["hash"]] = tuple(json.loads(path.read_text())["coverage"]["source"])
    return found


def num_to_train_on(dataset: str) -> int:
    manifest = read_record(Manifest, Path("features", dataset, MANIFEST_NAME))
    return sum("train" in clip.splits.values() for clip in manifest.clips)


def test_a_folder_that_grew_is_trained_on_whole_as_another_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_clip: WriteClip
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pipeline.toml").write_text(GROWING)
    for number, place in enumerate(itertools.product(("lab", "street"), ("wave", "turn"))):
        for take in range(5):
            write_clip(tmp_path.joinpath(*place, f"take{take}.avi"), 8, seed=10 * number + take)
    run_both_stages("lab", "street")
    before, num_before = trained_runs(), num_to_train_on("lab")
    assert list(before.values()) == [(num_before, num_before)]
    for take in range(5, 9):
        write_clip(tmp_path / "lab" / "turn" / f"take{take}.avi", 8, seed=100 + take)
    extraction = ("--dataset", "lab", *SMALL, "--frames", "segments:2", "--no-supervise")
    short = ("--segments", 2, "--epochs", 2, "--batch-size", 8, "--device", "cpu")
    training = ("--source", "lab", "--target", "street", *short)
    # The new clips are planned, but another task of the array is to make their shard.
    assert run(extract, *extraction, "--shard", "0/2").exit_code == 0
    refused = run(train, *training)
    assert refused.exit_code == 1
    assert "4 not extracted yet (turn/take5.avi" in refused.output
    # On the clips at hand, it is the run that is there.
    allowed = run(train, *training, "--allow-missing")
    assert (allowed.exit_code, trained_runs()) == (0, before), allowed.output
    assert "4 not extracted yet (turn/take5.avi" in allowed.output
    assert run(extract, *extraction, "--shard", "1/2").exit_code == 0
    grown = run(train, *training)
    assert grown.exit_code == 0, grown.output
    runs, num_now = trained_runs(), num_to_train_on("lab")
    assert num_now > num_before
    assert [counts for of, counts in runs.items() if of not in before] == [(num_now, num_now)]
    assert before.items() <= runs.items()


def listed(path: Path, lines: Iterable[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def touch(path: Path) -> None:
    """Write a file with content of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(str(path))


def kinetics(folder: Path) -> None:
    names = ["break", "carry", "clean_floor", "climb", "crawl", "crouch", "cry", "dance", "drink"]
    for dataset, root in (("kinetics", "kinetics600"), ("gameplay", "gameplay")):
        for part in ("train", "val"):
            paths = [f"{part}/{name}/{part}_{name}.mp4" for name in names]
            for path in paths:
                touch(folder / root / path)
            lines = (f"{path} 300 {label}" for label, path in enumerate(paths))
            listed(folder / "lists" / f"{dataset}_{part}.txt", lines)


def kitchens(folder: Path) -> None:
    verbs = ["put", "take", "open", "close", "wash", "cut", "mix", "pour"]
    for number, person in enumerate(("P08", "P01", "P22"), 1):
        rows = ["path,class,split"]
        for recording, part in enumerate(("train", "val"), 1):
            for take, verb in enumerate(verbs):
                name = f"{person}_{recording:02d}_{take:04d}.mp4"
                touch(folder / "epic" / person / name)
                rows.append(f"{name},{verb},{part}")
        listed(folder / "lists" / f"kitchen_{number}.csv", rows)


def people(folder: Path) -> None:
    for name in ("sit_down", "stand_up"):
        for subject in ("01", "09"):
            touch(folder / "lab" / name / f"{name}_subject{subject}_a.mp4")
    for name in ("sitting", "rising"):
        for day in ("20231224", "20240501", "20250501"):
            touch(folder / "outdoors" / name / f"{name}_{day}_1.mp4")


@pytest.mark.parametrize(
    ("benchmark", "lay_out", "counts"),
    [
        ("kinetics-gameplay", kinetics, {"kinetics": (9, 9), "gameplay": (9, 9)}),
        ("kitchens", kitchens, {f"kitchen-{n}": (8, 8) for n in (1, 2, 3)}),
        ("lab-outdoors", people, {"lab": (2, 2), "outdoors": (2, 2)}),
    ],
)
def test_the_larger_layouts_on_the_page(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    benchmark: str,
    lay_out: Callable[[Path], None],
    counts: dict[str, tuple[int, int]],
) -> None:
    monkeypatch.chdir(tmp_path)
    text = block("toml", f"[benchmarks.{benchmark}").replace('"/data/', f'"{tmp_path}/')
    (tmp_path / "pipeline.toml").write_text(text)
    lay_out(tmp_path)
    checked = run(datasets, "check", benchmark)
    assert checked.exit_code == 0, checked.output
    settings = load_settings(DataSections, None, {}).settings
    catalogue = catalogue_of(settings)
    found = catalogue.benchmark(benchmark)
    for name, (num_train, num_val) in counts.items():
        dataset = catalogue.dataset(name)
        listing = dataset.scan(*folders_of(dataset, settings))
        places = [found.place_of(name, c.class_name, c.splits) for c in listing.clips]
        roles = [place.role for place in places if place is not None]
        assert (roles.count("train"), roles.count("val")) == (num_train, num_val), name


def test_another_split_is_trained_on_without_new_features(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_clip: WriteClip
) -> None:
    monkeypatch.chdir(tmp_path)
    tables = """
    [datasets.one]
    root = "one"
    val_pattern = '_[ab]$'
    [datasets.two]
    root = "two"
    val_pattern = '_[ab]$'
    [benchmarks.both]
    datasets = ["one", "two"]
    classes = ["turn", "wave"]
    """
    (tmp_path / "pipeline.toml").write_text(tables)
    for seed, (name, part) in enumerate(itertools.product(("turn", "wave"), "abcd")):
        for dataset in ("one", "two"):
            write_clip(tmp_path / dataset / name / f"{name}_{part}.avi", 8, seed=seed)
    run_both_stages("one", "two")
    (tmp_path / "pipeline.toml").write_text(tables.replace("[ab]", "[a]"))
    shutil.rmtree("runs")
    for name in ("one", "two"):
        options = (*SMALL, "--frames", "segments:2", "--no-supervise", "--new-splits")
        made = run(extract, "--dataset", name, *options)
        assert made.exit_code == 0, made.output
        assert "the features stay" in made.stderr
    run_both_stages("one", "two")
    (config,) = Path("runs").glob("*/*/*/seed-0/config.json")
    videos = json.loads(config.read_text())["data"]["videos"]
    assert videos == {name: {"train": 6, "val": 2} for name in ("one", "two")}
