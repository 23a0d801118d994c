"""Wrong labels or a clip too many would make every accuracy incomparable with the paper."""

import csv
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from ta3n.common.errors import ConfigError, DataConflictError, Ta3nError, UsageError
from ta3n.datasets.benchmarks.benchmark import (
    BUILT_IN,
    Benchmark,
    Label,
    Place,
    Side,
)
from ta3n.datasets.benchmarks.registry import BUILT_IN_CATALOGUE
from ta3n.datasets.reading.base import Listing, OfficialDataset
from ta3n.datasets.reading.folders import published_name
from ta3n.datasets.reading.split_files import Role

MakeTree = Callable[[Path, Iterable[str]], Path]
OneLine = Callable[[pytest.ExceptionInfo[Ta3nError]], str]

TOTALS = {"ucf-hmdb-full": 3209, "ucf-hmdb-small": 1171, "ucf-olympic": 1145}
SIDE_TOTALS = {
    ("ucf-hmdb-full", "ucf101"): (1438, 571),
    ("ucf-hmdb-full", "hmdb51"): (840, 360),
    ("ucf-hmdb-small", "ucf101"): (482, 189),
    ("ucf-hmdb-small", "hmdb51"): (350, 150),
    ("ucf-olympic", "ucf101"): (601, 240),
    ("ucf-olympic", "olympic"): (250, 54),
}


def test_the_class_maps_have_the_published_labels() -> None:
    full = BUILT_IN_CATALOGUE.benchmark("ucf-hmdb-full")
    assert len(full.class_names) == 12
    assert full.class_names[5] == "punch"
    assert full.classes_of("ucf101")[:3] == ("RockClimbingIndoor", "RopeClimbing", "Fencing")
    assert [full.label_of("ucf101", name) for name in ("BoxingSpeedBag", "Diving")] == [5, None]
    assert full.label_of("hmdb51", "walk") == 11
    small = BUILT_IN_CATALOGUE.benchmark("ucf-hmdb-small")
    assert small.label_of("hmdb51", "shoot_ball") == small.label_of("ucf101", "Basketball") == 4
    olympic = BUILT_IN_CATALOGUE.benchmark("ucf-olympic")
    assert olympic.label_of("ucf101", "Diving") == 3
    assert olympic.label_of("olympic", "diving_springboard_3m") == 3
    assert olympic.label_of("olympic", "diving_platfrom_10m") is None


def test_a_clip_of_several_heads_names_its_label_in_each(one_line: OneLine) -> None:
    tune, final = (BUILT_IN_CATALOGUE.benchmark(f"epic100-{name}") for name in ("tune", "final"))
    assert [(h.name, len(h.class_names), h.weight) for h in tune.heads] == [
        ("verb", 97, 1.0),
        ("noun", 300, 1.0),
    ]
    assert len(tune.class_names) == 397
    of_source_val: dict[str, Role] = {"tune": "train", "final": "test"}
    assert tune.place_of("epic100-source", "3,14", of_source_val) == Place("train", (3, 14))
    assert final.place_of("epic100-source", "3,14", of_source_val) == Place("val", (3, 14))
    assert final.place_of("epic100-target", "", {"final": "test"}) == Place("val", (-1, -1))
    assert (tune.side("epic100-target").tested, final.side("epic100-target").tested) == (
        "train",
        "val",
    )
    for wrong in ("3", "3,14,1", "take,lid", "3,", "-1,3", "97,0", "0,300"):
        with pytest.raises(DataConflictError) as caught:
            tune.label_of("epic100-source", wrong)
        assert "epic100-source" in one_line(caught)


def test_a_benchmark_without_heads_has_one() -> None:
    small = BUILT_IN_CATALOGUE.benchmark("ucf-hmdb-small")
    assert [(head.name, head.class_names) for head in small.heads] == [("class", small.class_names)]


@pytest.mark.parametrize(("name", "dataset"), SIDE_TOTALS)
def test_expected_totals_are_the_published_ones(name: str, dataset: str) -> None:
    assert BUILT_IN_CATALOGUE.benchmark(name).expected_totals(dataset) == SIDE_TOTALS[name, dataset]


def test_the_official_test_clips_validate() -> None:
    full = BUILT_IN_CATALOGUE.benchmark("ucf-hmdb-full")
    assert full.place_of("hmdb51", "golf", {"1": "train"}) == Place("train", 2)
    assert full.place_of("hmdb51", "golf", {"1": "test", "2": "train"}) == Place("val", 2)
    assert full.place_of("hmdb51", "golf", {"2": "train"}) is None
    assert full.place_of("hmdb51", "wave", {"1": "train"}) is None


@pytest.mark.parametrize(
    ("source", "target", "name", "found"),
    [
        ("ucf", "hmdb", None, "ucf-hmdb-full"),
        ("hmdb51", "UCF101", None, "ucf-hmdb-full"),
        ("hmdb", "ucf", "ucf-hmdb-small", "ucf-hmdb-small"),
        ("olympic", "ucf", None, "ucf-olympic"),
        ("ucf", "olympic", "UCF-Olympic", "ucf-olympic"),
        ("syn-a", "syn-b", None, "synthetic"),
        ("syn-c", "synthetic-a", None, "synthetic"),
        ("syn-b", "syn-c", None, "synthetic"),
    ],
)
def test_a_pair_has_a_benchmark_in_both_directions(
    source: str, target: str, name: str | None, found: str
) -> None:
    assert BUILT_IN_CATALOGUE.find_benchmark(source, target, name).name == found


@pytest.mark.parametrize(
    ("source", "target", "name", "told"),
    [
        ("ucf", "ucf101", None, "source and target are both ucf101"),
        ("hmdb", "olympic", None, "no benchmark holds both hmdb51 and olympic"),
        ("ucf", "hmdb", "ucf-olympic", "'ucf-olympic' does not hold both ucf101 and hmdb51"),
    ],
)
def test_a_pair_without_a_benchmark_is_told_the_pairs(
    one_line: OneLine, source: str, target: str, name: str | None, told: str
) -> None:
    with pytest.raises(UsageError) as caught:
        BUILT_IN_CATALOGUE.find_benchmark(source, target, name)
    message = one_line(caught)
    assert told in message
    assert "ucf and hmdb (ucf-hmdb-full, ucf-hmdb-small)" in message
    assert "ucf and olympic (ucf-olympic)" in message


def test_an_unknown_benchmark_gets_the_nearest(one_line: OneLine) -> None:
    with pytest.raises(UsageError) as caught:
        BUILT_IN_CATALOGUE.find_benchmark("ucf", "hmdb", "ucf-hmdb-ful")
    message = one_line(caught)
    assert "did you mean 'ucf-hmdb-full'?" in message
    assert all(benchmark.name in message for benchmark in BUILT_IN)


def test_a_dataset_outside_the_benchmark_is_refused(one_line: OneLine) -> None:
    with pytest.raises(UsageError) as caught:
        BUILT_IN_CATALOGUE.benchmark("ucf-olympic").label_of("hmdb51", "walk")
    assert "it holds ucf101, olympic" in one_line(caught)


def test_a_side_must_have_every_class(one_line: OneLine) -> None:
    whole = Side(labels={"a": 0, "b": 1})
    for broken in (
        Side(labels={"a": 0}),
        Side(labels={"a": 0, "b": 2}),
        Side(labels={"a": 0, "b": 1}, expected=((1, 1),)),
    ):
        with pytest.raises(ConfigError) as caught:
            Benchmark(name="mine", class_names=("a", "b"), sides={"x": whole, "y": broken})
        message = one_line(caught)
        assert "'mine'" in message
        assert " y " in message


def test_unknown_counts_have_no_totals() -> None:
    side = Side(labels={"a": 0})
    mine = Benchmark(name="mine", class_names=("a",), sides={"x": side})
    assert mine.expected_totals("x") is None


@pytest.fixture(scope="module")
def listings(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Listing]:
    """Return the scans of complete trees of empty files, made from the official split files."""
    root = tmp_path_factory.mktemp("official")
    found = {}
    for name, suffix in (("ucf101", "avi"), ("hmdb51", "avi"), ("olympic", "seq")):
        dataset = BUILT_IN_CATALOGUE.dataset(name)
        assert isinstance(dataset, OfficialDataset)
        folder = next(
            path
            for path in ((shared / "splits" / name), *(shared / "splits" / name).iterdir())
            if dataset.holds_splits(path)
        )
        for class_name, stem in dataset.read_splits(folder):
            (root / name / class_name).mkdir(parents=True, exist_ok=True)
            (root / name / class_name / f"{stem}.{suffix}").touch()
        found[name] = dataset.scan(root / name, shared / "splits")
    return found


@pytest.mark.shared
def test_complete_datasets_have_nothing_absent(listings: dict[str, Listing]) -> None:
    sizes = {
        name: (len(it.clips), len(it.classes), len(it.absent)) for name, it in listings.items()
    }
    assert sizes == {"ucf101": (13_320, 101, 0), "hmdb51": (6_766, 51, 0), "olympic": (783, 16, 0)}


Row = tuple[str, str, str, Label]


def derived_rows(benchmark: Benchmark, listings: dict[str, Listing]) -> list[Row]:
    return [
        (dataset, place.role, published_name(clip.stem), place.label)
        for dataset in benchmark.sides
        for clip in listings[dataset].clips
        if (place := benchmark.place_of(dataset, clip.class_name, clip.splits))
    ]


@pytest.mark.shared
@pytest.mark.parametrize("name", TOTALS)
def test_the_published_lists_are_derived_exactly(
    shared: Path, listings: dict[str, Listing], name: str
) -> None:
    with (shared / "lists" / f"{name}.csv").open(newline="") as file:
        published = [
            (row["dataset"], row["split"], row["video"], int(row["label"]))
            for row in csv.DictReader(file)
        ]
    derived = derived_rows(BUILT_IN_CATALOGUE.benchmark(name), listings)
    assert len(derived) == len(published) == TOTALS[name]
    assert sorted(derived) == sorted(published)
    assert len(set(derived)) == len(derived)  # the renaming merges no two clips


@pytest.mark.shared
@pytest.mark.parametrize(("name", "dataset"), SIDE_TOTALS)
def test_the_expected_counts_are_those_of_the_official_splits(
    listings: dict[str, Listing], name: str, dataset: str
) -> None:
    benchmark = BUILT_IN_CATALOGUE.benchmark(name)
    counts = Counter(
        (label, role)
        for row_dataset, role, _, label in derived_rows(benchmark, listings)
        if row_dataset == dataset
    )
    labels = range(len(benchmark.class_names))
    counted = tuple((counts[label, "train"], counts[label, "val"]) for label in labels)
    assert counted == benchmark.sides[dataset].expected
