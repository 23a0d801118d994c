"""If this breaks, a partial or open target has other classes than were asked for."""

from collections.abc import Collection

import pytest

from ta3n.common.errors import UsageError
from ta3n.datasets.benchmarks.benchmark import Benchmark, LabelSets
from ta3n.datasets.benchmarks.label_sets import with_label_sets
from ta3n.datasets.benchmarks.registry import BUILT_IN_CATALOGUE

SMALL = BUILT_IN_CATALOGUE.benchmark("ucf-hmdb-small")
FOLDERS = ("cartwheel", "dive", "golf", "ride_bike")


def made(*, target_classes: Collection[str] = (), unknown: Collection[str] = ()) -> Benchmark:
    return with_label_sets(
        SMALL,
        ("ucf101",),
        "hmdb51",
        lambda: FOLDERS,
        target_classes=tuple(target_classes),
        unknown=tuple(unknown),
    )


def test_a_partial_target_keeps_some_classes_and_the_source_all() -> None:
    partial = made(target_classes=["shoot_ball, golf"])
    assert partial.class_names == SMALL.class_names
    assert partial.sides["ucf101"] == SMALL.sides["ucf101"]
    side = partial.sides["hmdb51"]
    assert side.labels == {"golf": 0, "shoot_ball": 4}
    assert side.expected == ((70, 30), (0, 0), (0, 0), (0, 0), (70, 30))
    assert partial.labels_in("hmdb51") == (0, 4)
    assert not partial.is_open
    assert partial.label_sets == LabelSets(
        base="ucf-hmdb-small", target_classes=("golf", "shoot_ball")
    )
    # In whatever order they are named, and never under the name of the benchmark itself.
    assert partial.name == "ucf-hmdb-small-partial-golf+shoot_ball"
    assert made(target_classes=["golf", "shoot_ball"]) == partial
    assert made(target_classes=SMALL.class_names) == SMALL


def test_what_the_source_loses_is_unknown_in_the_target() -> None:
    opened = made(unknown=["pullup,ride_horse"])
    assert opened.class_names == ("golf", "ride_bike", "shoot_ball")
    assert opened.sides["ucf101"].labels == {"GolfSwing": 0, "Biking": 1, "Basketball": 2}
    assert opened.sides["ucf101"].expected == ((100, 39), (96, 38), (99, 35))
    side = opened.sides["hmdb51"]
    assert side.labels == {
        "golf": 0, "ride_bike": 1, "shoot_ball": 2, "pullup": 3, "ride_horse": 3,
    }  # fmt: skip
    assert side.expected == ((70, 30), (70, 30), (70, 30), (140, 60))
    assert opened.label_names == ("golf", "ride_bike", "shoot_ball", "unknown")
    assert (opened.is_open, opened.base) == (True, "ucf-hmdb-small")
    assert opened.name == "ucf-hmdb-small-open-pullup+ride_horse"


def test_classes_that_the_benchmark_does_not_use_are_unknown_in_the_target_alone() -> None:
    opened = made(unknown=["dive"])
    assert opened.class_names == SMALL.class_names
    assert opened.sides["ucf101"] == SMALL.sides["ucf101"]
    assert opened.sides["hmdb51"].labels == {**SMALL.sides["hmdb51"].labels, "dive": 5}
    # How many videos of it there should be nobody knows.
    assert opened.sides["hmdb51"].expected == SMALL.sides["hmdb51"].expected
    every = made(unknown=["others"])
    assert every.label_sets is not None
    assert every.label_sets.unknown == ("cartwheel", "dive")
    both = made(unknown=["dive", "golf"], target_classes=["pullup"])
    assert both.sides["hmdb51"].labels == {"pullup": 0, "golf": 4, "dive": 4}
    assert both.name == "ucf-hmdb-small-partial-pullup-open-golf+dive"


def test_many_classes_or_odd_names_do_not_make_odd_folders() -> None:
    partial = made(unknown=["others"], target_classes=["golf", "pullup", "ride_bike", "ride_horse"])
    assert (
        partial.name
        == "ucf-hmdb-small-partial-golf+pullup+ride_bike+ride_horse-open-cartwheel+dive"
    )
    target, read = "hmdb51", lambda: ("../up", "a b")
    odd = with_label_sets(SMALL, ("ucf101",), target, read, unknown=["others"])
    prefix, number, digits = odd.name.rsplit("-", 2)
    assert (prefix, number, len(digits)) == ("ucf-hmdb-small-open", "2", 6)
    other = with_label_sets(SMALL, ("ucf101",), target, read, unknown=["a b"])
    assert other.name != odd.name


def test_every_dataset_but_the_source_has_the_classes_of_the_target() -> None:
    synthetic = BUILT_IN_CATALOGUE.benchmark("synthetic")
    target, read = "synthetic-b", lambda: ()
    opened = with_label_sets(synthetic, ("synthetic-a",), target, read, unknown=["Rise"])
    assert len(opened.sides["synthetic-a"].labels) == 11
    assert opened.sides["synthetic-b"].labels == opened.sides["synthetic-c"].labels
    assert opened.sides["synthetic-c"].labels["Rise"] == 11


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"target_classes": ["golv"]}, r"no class 'golv' \(did you mean 'golf'\?\); it has golf, "),
        ({"unknown": ["dyve"]}, r"has the class 'dyve' \(did you mean 'dive'\?\); classes that"),
        ({"unknown": ["pulup"]}, r"\(did you mean 'pullup'\?\).*only in hmdb51: cartwheel, dive"),
        ({"unknown": ["golf"], "target_classes": ["golf"]}, "it is known or it is not"),
        ({"unknown": ["golf,pullup,ride_bike,ride_horse"]}, "leaves 1 of the 5 classes"),
    ],
)
def test_mistakes_are_told_with_the_nearest_name(options: dict[str, list[str]], told: str) -> None:
    with pytest.raises(UsageError, match=told) as caught:
        made(**options)
    assert "\n" not in str(caught.value)


def test_a_folder_of_a_class_names_the_class() -> None:
    target, read = "ucf101", lambda: ("GolfSwing", "Biking")
    with pytest.raises(UsageError, match="'GolfSwing' is a folder of the class 'golf'; name the"):
        with_label_sets(SMALL, ("hmdb51",), target, read, unknown=["GolfSwing"])
    with pytest.raises(UsageError, match="ucf101 has no features of a class that 'ucf-hmdb-small'"):
        with_label_sets(SMALL, ("hmdb51",), target, read, unknown=["others"])
    epic = BUILT_IN_CATALOGUE.benchmark("epic100-tune")
    with pytest.raises(UsageError, match="several heads"):
        with_label_sets(epic, ("epic100-source",), target, read, unknown=["others"])
