"""If this breaks, two jobs split an own dataset differently, or clips of one recording leak."""

import random
import re

import pytest

from ta3n.common.errors import DataConflictError
from ta3n.datasets.custom.dataset import group_in, split_by_pattern, split_by_ratio

CLIPS = [("wave", ("wave", f"w{n}")) for n in range(10)] + [
    ("turn", ("turn", f"t{n // 2}")) for n in range(20)
]


def chosen(clips: list[tuple[str, tuple[str, str]]], ratio: float, seed: int = 0) -> list[str]:
    roles = split_by_ratio(clips, ratio, seed)
    return sorted(clip[1][1] for clip, role in zip(clips, roles, strict=True) if role == "test")


def test_a_ratio_holds_in_every_class() -> None:
    found = chosen(CLIPS, 0.3)
    assert sum(name.startswith("w") for name in found) == 3
    assert sum(name.startswith("t") for name in found) == 6
    assert all(found.count(name) == 2 for name in found if name.startswith("t"))


def test_a_split_depends_on_names_and_seed_alone() -> None:
    shuffled = random.Random(3).sample(CLIPS, len(CLIPS))
    assert chosen(CLIPS, 0.3) == chosen(shuffled, 0.3)
    assert len({tuple(chosen(CLIPS, 0.3, seed)) for seed in range(5)}) > 1


def test_groups_that_span_classes_stay_whole() -> None:
    clips = [(name, ("", f"P{n:02d}")) for name in ("cut", "wash") for n in range(10)]
    found = chosen(clips, 0.2)
    assert len(found) == 4
    assert all(found.count(name) == 2 for name in found)


def test_a_class_of_two_groups_has_one_on_either_side() -> None:
    clips = [("a", ("a", "g1"))] * 5 + [("a", ("a", "g2"))] * 5 + [("b", ("b", "only"))] * 4
    roles = split_by_ratio(clips, 0.1, 0)
    assert set(roles[:10]) == {"train", "test"}
    assert set(roles[10:]) == {"train"}


def test_a_group_is_what_the_pattern_captures() -> None:
    assert group_in(re.compile(r"v_(\w+?)_(g\d+)"), "v_Jump_g07_c01") == "Jump/g07"
    assert group_in(re.compile(r"g\d+"), "v_Jump_g07_c01") == "g07"
    assert group_in(re.compile(r"g\d+"), "clip") is None


def test_patterns_name_the_parts() -> None:
    stems = ["a_2024", "b_2025", "c_2023"]
    val, train = re.compile("2025"), re.compile("2024")
    assert split_by_pattern(stems, None, val) == ["train", "test", "train"]
    assert split_by_pattern(stems, train, val) == ["train", "test", None]
    with pytest.raises(DataConflictError, match="both found in 'b_2025'"):
        split_by_pattern(stems, re.compile("20"), val)
