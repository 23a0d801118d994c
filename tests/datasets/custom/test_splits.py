"""If this breaks, patterns of an own dataset place clips where nobody meant them."""

import re

import pytest

from ta3n.common.errors import DataConflictError
from ta3n.datasets.custom.dataset import split_by_pattern
from ta3n.datasets.reading.base import group_in


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
