"""If this breaks, jobs of one folder differ in what they think it is to hold."""

from pathlib import Path

import pytest

from ta3n.common.errors import DataConflictError
from ta3n.common.records import PLAN_NAME, Plan, read_record
from ta3n.datasets.reading.base import Clip, Listing
from ta3n.extract.job.plan import agree_on_plan, make_plan

from ...support.records import CONFIG


def listing(num_clips: int, size_bytes: int = 1000) -> Listing:
    clips = tuple(
        Clip(
            path=f"A/{number:04d}.avi",
            class_name="A",
            splits={"1": "train"},
            size_bytes=size_bytes,
            mtime_ns=0,
        )
        for number in range(num_clips)
    )
    return Listing(dataset="ucf101", root=Path("x"), clips=clips, absent=(), splits_origin="x")


def plan_of(num_clips: int, size_bytes: int = 1000, limit: int | None = None) -> Plan:
    return make_plan(listing(num_clips, size_bytes), CONFIG, selection="all classes", limit=limit)


def test_shards_are_bounded_in_clips_and_bytes() -> None:
    assert plan_of(130).shards == ["shard-00000", "shard-00001", "shard-00002"]
    assert len(plan_of(10, size_bytes=40 * 2**20).shards) == 5
    assert len(plan_of(3, size_bytes=2**31).shards) == 3


def test_limit_is_spread_over_the_dataset() -> None:
    paths = [clip.path for clip in plan_of(100, limit=4).clips]
    assert paths == ["A/0000.avi", "A/0025.avi", "A/0050.avi", "A/0075.avi"]
    assert plan_of(3, limit=10).clips == plan_of(3).clips


def test_first_plan_holds_and_an_equal_one_agrees(tmp_path: Path) -> None:
    assert agree_on_plan(tmp_path, plan_of(3)) == plan_of(3)
    assert agree_on_plan(tmp_path, plan_of(3)) == plan_of(3)


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        (plan_of(2), "1 clips are gone (A/0002.avi)"),
        (plan_of(3, size_bytes=7), "3 clips changed size"),
        (plan_of(3, limit=2), "1 clips are gone (A/0002.avi)"),
        (
            make_plan(
                listing(3),
                CONFIG.model_copy(update={"frames": "segments:5"}),
                selection="all classes",
                limit=None,
            ),
            "frames is all there, segments:5 now",
        ),
    ],
)
def test_other_plan_is_refused_with_the_difference(
    tmp_path: Path, other: Plan, difference: str
) -> None:
    agree_on_plan(tmp_path, plan_of(3))
    (tmp_path / "shard-00000.h5").touch()
    with pytest.raises(DataConflictError) as caught:
        agree_on_plan(tmp_path, other)
    assert difference in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "remove the folder to start afresh" in str(caught.value)


def test_other_splits_of_the_same_clips_are_taken_when_asked_for(tmp_path: Path) -> None:
    """Features do not depend on the split; extracting all anew would take hours."""
    agree_on_plan(tmp_path, plan_of(3))
    (tmp_path / "shard-00000.h5").touch()
    first, *others = plan_of(3).clips
    moved = first.model_copy(update={"splits": {"1": "test"}})
    now = plan_of(3).model_copy(update={"clips": (moved, *others), "splits_origin": "pattern"})
    with pytest.raises(DataConflictError, match=r"1 clips are in another split .* --new-splits"):
        agree_on_plan(tmp_path, now)
    assert agree_on_plan(tmp_path, now, new_splits=True) == now
    assert agree_on_plan(tmp_path, now) == now
    # Clips that are gone are another matter.
    with pytest.raises(DataConflictError, match="1 clips are gone"):
        agree_on_plan(tmp_path, plan_of(2), new_splits=True)


def test_other_settings_hold_where_nothing_was_made_with_the_first(tmp_path: Path) -> None:
    """A first call may fail for want of weights; the folder must not stay with its settings."""
    agree_on_plan(tmp_path, plan_of(3))
    other = make_plan(
        listing(3),
        CONFIG.model_copy(update={"backbone": "resnet34"}),
        selection="all classes",
        limit=None,
    )
    assert agree_on_plan(tmp_path, other) == other
    assert read_record(Plan, tmp_path / PLAN_NAME) == other
    with pytest.raises(DataConflictError, match="It holds no features yet: remove the folder"):
        agree_on_plan(tmp_path, plan_of(2).model_copy(update={"config": other.config}))
