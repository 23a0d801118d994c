"""If this breaks, a run on an own benchmark cannot be evaluated or shown later."""

from dataclasses import replace

import pytest

from ta3n.common.errors import DataConflictError, UsageError
from ta3n.datasets.benchmarks.benchmark import Benchmark, Side
from ta3n.datasets.benchmarks.registry import BUILT_IN_CATALOGUE
from ta3n.train.runs.folder import RunConfig
from ta3n.train.runs.records import benchmark_of, benchmark_record, side_named

OWN = Benchmark(
    name="mine",
    class_names=("a", "b"),
    split="2",
    sides={
        "ucf101": Side(labels={"X": 0, "Y": 1}),
        "web": Side(labels={"x": 0, "y": 1, "z": 1}, split="1"),
    },
)
CONFIG = RunConfig(
    benchmark="mine",
    source="ucf101",
    target="web",
    method="ta3n",
    temporal="relation",
    label="TA3N",
    identity={},
    settings={"classes": ["a", "b"]},
    data={"benchmark": benchmark_record(OWN)},
)


def test_a_run_knows_its_own_benchmark() -> None:
    found = benchmark_of(CONFIG)
    assert found.class_names == OWN.class_names
    splits = {"1": "train", "2": "test"}
    for dataset, folder in (("ucf101", "Y"), ("web", "z")):
        place = OWN.place_of(dataset, folder, splits)  # type: ignore[arg-type]
        assert place is not None
        assert found.place_of(dataset, folder, splits) == place  # type: ignore[arg-type]


def test_a_built_in_benchmark_is_the_built_in_one() -> None:
    config = replace(CONFIG, benchmark="ucf-olympic")
    assert benchmark_of(config) is BUILT_IN_CATALOGUE.benchmark("ucf-olympic")


def test_a_run_without_the_record_is_told() -> None:
    with pytest.raises(DataConflictError, match="has no record of it; train again"):
        benchmark_of(replace(CONFIG, data={}))


def test_datasets_are_found_by_name() -> None:
    assert (side_named(OWN, "UCF"), side_named(OWN, "web")) == ("ucf101", "web")
    with pytest.raises(UsageError, match="it holds ucf101, web"):
        side_named(OWN, "hmdb")
