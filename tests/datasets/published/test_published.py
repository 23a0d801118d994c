"""If this breaks, a published benchmark has other classes or counts, or wrong lists pass."""

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ta3n.common.errors import ConfigError, DataConflictError, DataMissingError, UsageError
from ta3n.common.sampling import Section
from ta3n.common.settings import load_settings
from ta3n.datasets.benchmarks.benchmark import Benchmark
from ta3n.datasets.catalogue import Catalogue, catalogue_of
from ta3n.datasets.check import find_notes, select_clips
from ta3n.datasets.cli import main
from ta3n.datasets.custom.settings import DataSections
from ta3n.datasets.published.registry import PUBLISHED, PUBLISHED_DATASETS
from ta3n.datasets.reading.split_files import Role

BY_NAME = {benchmark.name: benchmark for benchmark in PUBLISHED}
EPIC55 = BY_NAME["epic55"]
TOTALS = {
    "kg-kinetics": (43378, 3246),
    "kg-gameplay": (2625, 749),
    "epic55-d1": (1543, 435),
    "epic55-d2": (2495, 750),
    "epic55-d3": (3897, 974),
    "jester-source": (45899, 5599),
    "jester-target": (45827, 5588),
    "nec-kinetics": (9955, 742),
    "nec-drone": (560, 228),
    "nec-udavt-kinetics": (8188, 1263),
    "nec-udavt-drone": (435, 228),
    "daily-arid": (2776, 1289),
    "daily-mit": (4000, 400),
    "daily-kinetics": (8959, 725),
    "sports-1m": (14754, 1900),
    "sports-kinetics": (19104, 1962),
}


def run(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


def counts_of(lines: Iterable[str], word: str = "counts") -> list[str]:
    return [line.partition(": ")[2] for line in lines if line.startswith(f"{word}: ")]


def catalogue(folder: Path, text: str) -> Catalogue:
    (folder / "pipeline.toml").write_text(text)
    settings = load_settings(DataSections, folder / "pipeline.toml", {}).settings
    return catalogue_of(settings)


def test_counts_and_classes_are_the_published_ones() -> None:
    found = {
        name: benchmark.expected_totals(name)
        for benchmark in PUBLISHED
        for name in benchmark.sides
        if name not in ("ucf101", "hmdb51")
    }
    assert found == TOTALS == {d.name: TOTALS[d.name] for d in PUBLISHED_DATASETS}
    assert BY_NAME["daily-da"].expected_totals("hmdb51") == (560, 240)
    assert BY_NAME["sports-da"].expected_totals("ucf101") == (2145, 851)
    sizes = {name: len(benchmark.class_names) for name, benchmark in BY_NAME.items()}
    assert sizes == {
        "kinetics-gameplay": 30,
        "epic55": 8,
        "jester": 7,
        "kinetics-necdrone": 7,
        "kinetics-necdrone-udavt": 7,
        "daily-da": 8,
        "sports-da": 23,
    }
    assert EPIC55.class_names == ("take", "put", "open", "close", "wash", "cut", "mix", "pour")
    assert EPIC55.sides["epic55-d3"].expected == (
        *((919, 241), (1121, 280), (450, 102), (367, 71)),
        *((808, 245), (110, 29), (53, 1), (69, 5)),
    )
    assert BY_NAME["kinetics-gameplay"].class_names[8] == "drink"
    assert BY_NAME["kinetics-necdrone"].class_names[5] == "shake hands"
    for benchmark in PUBLISHED:
        for dataset in (d for d in PUBLISHED_DATASETS if d.name in benchmark.sides):
            assert dataset.class_names == benchmark.class_names


Counts = dict[Role, list[int]]


def expected(benchmark: Benchmark, dataset: str) -> Counts:
    """Return published counts by role and label; where only totals are known, of any classes."""
    by_label = benchmark.sides[dataset].expected
    if by_label is None:
        train, val = TOTALS[dataset]
        rest = [0] * (len(benchmark.class_names) - 2)
        by_label = tuple(zip([train - 1, 1, *rest], [val - 3, 3, *rest], strict=True))
    return {
        "train": [train for train, _ in by_label],
        "test": [val for _, val in by_label],
    }


def labels_of(counts: Iterable[int]) -> list[int]:
    return [label for label, count in enumerate(counts) for _ in range(count)]


def write_epic(folder: Path, counts: Mapping[str, Counts]) -> None:
    """Write annotation tables as pandas writes those of MM-SADA; narrations hold commas."""
    heading = (
        *("", "uid", "participant_id", "video_id", "narration", "start_timestamp"),
        *("stop_timestamp", "start_frame", "stop_frame", "verb", "verb_class"),
    )
    folder.mkdir()
    first_ids: tuple[tuple[Role, int], ...] = (("train", 0), ("test", 10_000))
    for domain, kitchen in (("d1", "P08"), ("d2", "P01"), ("d3", "P22")):
        for role, first in first_ids:
            with (folder / f"{domain.upper()}_{role}.csv").open("w", newline="") as file:
                table = csv.writer(file)
                table.writerow(heading)
                recording = f"{kitchen}_{'01' if role == 'train' else '02'}"
                for number, label in enumerate(labels_of(counts[f"epic55-{domain}"][role])):
                    told = ("put down knife, fork", "00:00:01.1", "00:00:02.0", 66, 120, "put-down")
                    row = (number, first + number, kitchen, recording, *told, label)
                    table.writerow(row)


def write_plain(folder: Path, name: str, lists: Mapping[str, Iterable[int]]) -> None:
    """Write lists in the published form of the benchmark."""
    forms = {
        "jester": "{n},{label}",
        "daily-da": "{n}\t{label}\tWave/Wave_{n}_1.mp4",
        "sports-da": "{n}\t{label}\ttrain/DOKjCTx_{n}.mp4",
        "kinetics-gameplay": "/data0/somebody/gameplay_val/Fortnite_2018_{n} 90 {label}",
        "kinetics-necdrone": "dataset_i3d/kinetics/RGB-feature_i3d/Y3kxj7-bBbE_{n} 250 {label}",
        "kinetics-necdrone-udavt": "./dataset/nec/RGB-feature/NEC-Phantom-{n} 89 {label}",
    }
    for file, labels in lists.items():
        start = sum(map(ord, file)) * 1_000_000
        lines = (forms[name].format(n=start + n, label=label) for n, label in enumerate(labels))
        path = folder / "repository" / name / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{line}\n" for line in lines))


def lists_of(benchmark: Benchmark) -> dict[str, list[int]]:
    found = {}
    for dataset in (d for d in PUBLISHED_DATASETS if d.name in benchmark.sides):
        counts = expected(benchmark, dataset.name)
        found[dataset.train_names[0]] = labels_of(counts["train"])
        found[dataset.val_names[0]] = labels_of(counts["test"])
    return found


@pytest.mark.parametrize("name", [name for name in BY_NAME if name != "epic55"])
def test_lists_of_the_published_form_have_the_published_counts(tmp_path: Path, name: str) -> None:
    benchmark = BY_NAME[name]
    lists = lists_of(benchmark)
    write_plain(tmp_path, name, lists)
    result = run("check", name, "--splits", tmp_path, "--ignore", "domains,parts")
    assert result.exit_code == 0, result.output
    assert result.stdout.endswith("nothing wrong\n")
    dataset = min(
        (d for d in PUBLISHED_DATASETS if d.name in benchmark.sides), key=lambda d: TOTALS[d.name]
    )
    (file,) = dataset.train_names
    write_plain(tmp_path, name, {file: lists[file][:-5]})
    result = run(
        *("check", dataset.name, "--benchmark", name, "--splits", tmp_path, "--ignore", "parts")
    )
    assert result.exit_code == 16
    total, _ = TOTALS[dataset.name]
    told = f"expected {total} train rows of {dataset.name}, found {total - 5}"
    assert counts_of(result.stdout.splitlines()) == [told]


@pytest.fixture
def epic_counts() -> dict[str, Counts]:
    return {name: expected(EPIC55, name) for name in EPIC55.sides}


def test_annotation_tables_have_the_published_counts(
    tmp_path: Path, epic_counts: dict[str, Counts]
) -> None:
    write_epic(tmp_path / "lists", epic_counts)
    result = run("check", "epic55", "--splits", tmp_path / "lists")
    assert result.exit_code == 0, result.output
    rows = [line.split("│")[1:-1] for line in result.stdout.splitlines() if "take " in line]
    assert [cell.strip() for cell in rows[0]] == [
        *("take", "421", "124", "0", "715", "208", "0", "919", "241", "0")
    ]
    (d3,) = [text for text in counts_of(result.stdout.splitlines(), "few") if "d3" in text]
    assert d3 == (
        "epic55-d3: one of 974 test clips is 0.10 points of accuracy; of mean class accuracy it is "
        "12.50 of mix (1 of 1), 2.50 of pour (1 of 5)"
    )


def test_missing_rows_are_told_by_class_and_split(
    tmp_path: Path, epic_counts: dict[str, Counts]
) -> None:
    epic_counts["epic55-d1"]["test"][0] -= 5
    epic_counts["epic55-d2"]["train"][1] -= 1
    epic_counts["epic55-d2"]["train"][7] += 1
    write_epic(tmp_path / "lists", epic_counts)
    result = run("check", "epic55", "--splits", tmp_path / "lists")
    assert result.exit_code == 16
    assert counts_of(result.stdout.splitlines()) == [
        "expected 435 test rows of epic55-d1, found 430 (take 119 instead of 124)",
        "2495 train rows of epic55-d2 as expected, but of other classes "
        "(put 691 instead of 692, pour 130 instead of 129)",
    ]
    assert run("check", "epic-d3", "--splits", tmp_path / "lists").exit_code == 0
    ignored = run("check", "epic55", "--splits", tmp_path / "lists", "--ignore", "counts")
    assert ignored.exit_code == 0


def test_another_order_of_classes_is_told_as_such(
    tmp_path: Path, epic_counts: dict[str, Counts]
) -> None:
    for of_role in epic_counts["epic55-d2"].values():
        of_role[0], of_role[1] = of_role[1], of_role[0]
    write_epic(tmp_path / "lists", epic_counts)
    result = run("check", "epic55", "--splits", tmp_path / "lists")
    assert result.exit_code == 16
    assert counts_of(result.stdout.splitlines()) == [
        "the labels of epic55-d2 are in another order of classes than published: take has the "
        "counts of put, put has the counts of take"
    ]


def test_lists_with_names_for_classes_need_no_order(tmp_path: Path) -> None:
    folder = tmp_path / "lists"
    folder.mkdir()
    for role, count in (("train", 560), ("test", 228)):
        lines = (f"x/{role}_{n} 90 {'hug' if n else 'walk'}\n" for n in range(count))
        file = folder / f"list_necdrone_{role}_kinetics_necdrone-feature.txt"
        file.write_text("".join(lines))
    result = run(
        *("check", "nec-drone", "--splits", folder, "--benchmark", "kinetics-necdrone"),
        *("--ignore", "parts"),
    )
    assert result.exit_code == 0, result.output
    (row,) = [line.split("│") for line in result.stdout.splitlines() if "│ hug" in line]
    assert [cell.strip() for cell in row[2:4]] == ["559", "227"]


def test_lists_named_in_the_settings_find_their_clips(tmp_path: Path) -> None:
    """Absolute paths of another machine, numbers for labels, commas in names."""
    for path in ("walk/a,b.mp4", "hug/c.mp4", "hug/d.mp4"):
        (tmp_path / "clips" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "clips" / path).write_text(path)
    (tmp_path / "mine_t.csv").write_text('/home/other/x/a,b.mp4,0\n"/home/other/x/c.mp4",6\n')
    (tmp_path / "mine_v.txt").write_text("/home/other/x/d 90 6\n")
    known = catalogue(
        tmp_path,
        "[data.nec-drone]\nroot = 'clips'\ntrain = 'mine_t.csv'\nval = 'mine_v.txt'\n",
    )
    listing = known.dataset("nec-drone").scan(tmp_path / "clips")
    assert [(c.path, c.class_name, dict(c.splits)) for c in listing.clips] == [
        ("hug/c.mp4", "hug", {"1": "train"}),
        ("hug/d.mp4", "hug", {"1": "test"}),
        ("walk/a,b.mp4", "walk", {"1": "train"}),
    ]
    benchmark = known.benchmark("kinetics-necdrone")
    assert benchmark.place_of("nec-drone", "hug", {"1": "test"}) == ("val", 6)
    result = run(
        *("check", "nec-drone", "--benchmark", "kinetics-necdrone"),
        *("--config", tmp_path / "pipeline.toml"),
    )
    assert result.exit_code == 14
    assert "counts: expected 560 train rows of nec-drone, found 2" in result.stdout.splitlines()


def test_folders_of_frames_are_clips_of_jester(tmp_path: Path) -> None:
    for clip in ("9287", "58961"):
        for number in (1, 2, 3):
            frame = tmp_path / "20bn-jester-v1" / clip / f"{number:05d}.jpg"
            frame.parent.mkdir(parents=True, exist_ok=True)
            frame.write_bytes(b"x")
    (tmp_path / "jester_source_train.csv").write_text("9287,6\n")
    (tmp_path / "jester_source_val.csv").write_text("58961,0\n")
    listing = (
        catalogue(tmp_path, "").dataset("jester-source").scan(tmp_path / "20bn-jester-v1", tmp_path)
    )
    assert [(c.path, c.class_name, dict(c.splits)) for c in listing.clips] == [
        ("58961", "gesture 0", {"1": "test"}),
        ("9287", "gesture 6", {"1": "train"}),
    ]


def test_kitchens_are_sections_of_recordings_or_clips_cut_from_them(tmp_path: Path) -> None:
    heading = "uid,video_id,start_frame,stop_frame,verb_class\n"
    (tmp_path / "D1_train.csv").write_text(f"{heading}7,P08_01,60,119,0\n8,P08_01,90,99,1\n")
    (tmp_path / "D1_test.csv").write_text(f"{heading}9,P08_02,1,60,7\n")
    recordings = tmp_path / "recordings" / "P08"
    recordings.mkdir(parents=True)
    for name in ("P08_01.mp4", "P08_02.mp4"):
        (recordings / name).write_text(name)
    convention = "first_frame = 1\nstop_frame = 'included'\n"
    d1 = catalogue(tmp_path, f"[data.epic55-d1]\n{convention}").dataset("epic-d1")
    listing = d1.scan(tmp_path / "recordings", tmp_path)
    found = {c.path: (c.video, c.section, c.class_name, c.splits["1"]) for c in listing.clips}
    assert found == {
        "P08_01_7": ("P08/P08_01.mp4", Section(start=59, stop=119, unit="frames"), "take", "train"),
        "P08_01_8": ("P08/P08_01.mp4", Section(start=89, stop=99, unit="frames"), "put", "train"),
        "P08_02_9": ("P08/P08_02.mp4", Section(start=0, stop=60, unit="frames"), "pour", "test"),
    }
    notes = list(find_notes(select_clips(d1, listing, None, None)))
    assert notes[0] == "groups: epic55-d1: 3 of 3 names hold a group, 2 groups"
    assert not any("archives of frames" in note for note in notes)
    assert len({d1.recording_of("", c.path, c.video) for c in listing.clips}) == 2
    cut = tmp_path / "cut" / "P08"
    cut.mkdir(parents=True)
    for name in ("P08_01_7", "P08_01_8", "P08_02_9"):
        (cut / f"{name}.mp4").write_text(name)
    listing = catalogue(tmp_path, "").dataset("epic-d1").scan(tmp_path / "cut", tmp_path)
    assert [(c.path, c.video, c.section) for c in listing.clips] == [
        ("P08/P08_01_7.mp4", None, None),
        ("P08/P08_01_8.mp4", None, None),
        ("P08/P08_02_9.mp4", None, None),
    ]
    with pytest.raises(ConfigError, match=r"\[data.epic55-d1\]: .*D1_train.csv' has sections"):
        catalogue(tmp_path, "[data.epic55-d1]\nfirst_frame = 1\n").dataset("epic-d1").scan(
            tmp_path / "recordings", tmp_path
        )


def test_mistakes_with_lists_are_told(tmp_path: Path) -> None:
    known = catalogue(tmp_path, "")
    d1 = known.dataset("epic-d1")
    with pytest.raises(UsageError, match=r"give --splits DIR, a folder with D1_train\.csv"):
        d1.listed(None)
    with pytest.raises(DataMissingError, match=r"looked for D1_train\.csv, list_P08_train\.txt"):
        d1.listed(tmp_path)
    (tmp_path / "D1_train.pkl").write_bytes(b"")
    with pytest.raises(DataMissingError, match="is a pickle, which may run code"):
        d1.listed(tmp_path)
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "D1_train.csv").write_text("uid,video_id,verb_class\n1,P08_01,8\n")
    with pytest.raises(DataConflictError, match="may both be the list of epic55-d1"):
        d1.listed(tmp_path)
    (tmp_path / "D1_test.csv").write_text("uid,video_id,verb_class\n2,P08_02,0\n")
    (tmp_path / "a/D1_train.csv").rename(tmp_path / "D1_train.csv")
    with pytest.raises(DataConflictError, match="not a label from 0 to 7"):
        d1.listed(tmp_path)
    with pytest.raises(ConfigError, match=r"\[data.ucf101\]: train and val are for kg-kinetics"):
        catalogue(tmp_path, "[data.ucf101]\ntrain = 'a.txt'\nval = 'b.txt'\n")
    with pytest.raises(ConfigError, match="train and val lists come together"):
        catalogue(tmp_path, "[data.nec-drone]\ntrain = 'a.txt'\n")


def test_what_is_ones_own_keeps_its_name(tmp_path: Path) -> None:
    tables = "".join(f"[datasets.{name}]\nval_ratio = 0.4\n" for name in ("epic-d1", "mine"))
    known = catalogue(
        tmp_path,
        f"{tables}[benchmarks.jester]\ndatasets = ['epic-d1', 'mine']\nclasses = ['a', 'b']\n",
    )
    assert known.benchmark("jester").class_names == ("a", "b")
    assert known.dataset("epic-d1").name == "epic-d1"
    names = {benchmark.name for benchmark in known.benchmarks}
    assert "epic55" not in names
    assert "daily-da" in names


def test_a_pair_of_published_datasets_has_its_benchmark(tmp_path: Path) -> None:
    known = catalogue(tmp_path, "")
    assert known.find_benchmark("epic-d2", "epic-d3").name == "epic55"
    assert known.find_benchmark("daily-arid", "hmdb").name == "daily-da"
    assert known.find_benchmark("ucf", "sports-1m").name == "sports-da"
    assert known.find_benchmark("ucf", "hmdb").name == "ucf-hmdb-full"
