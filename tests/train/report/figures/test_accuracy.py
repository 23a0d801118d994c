"""If this breaks, a class that adaptation ruins goes unnoticed."""

from pathlib import Path

import pytest

from ta3n.train.report.data.collect import DirectionRuns, RunGroup
from ta3n.train.report.figures.accuracy import class_changes, class_changes_picture

from ....support.made_runs import CLASSES, make_config, make_run
from ....support.reports import collect_runs


def rows(out: Path) -> tuple[RunGroup, RunGroup]:
    """Source only has videos 0 to 9 right; TA3N 4 to 13, and its second seed 4 to 7 alone."""
    make_run(out, make_config("source-only"), 0, (1, 2, 10))
    make_run(out, make_config("ta3n"), 0, (1, 2, 10), shift=4)
    make_run(out, make_config("ta3n"), 1, (1, 2, 4), shift=4)
    (direction,) = collect_runs(out).directions
    return found(direction, "ta3n"), found(direction, "source-only")


def found(direction: DirectionRuns, method: str) -> RunGroup:
    return next(row for row in direction.rows if row.config.method == method)


def test_changes_equal_a_hand_computation(tmp_path: Path) -> None:
    changes = class_changes(*rows(tmp_path))
    assert [change.name for change in changes] == list(CLASSES)
    assert [change.num_videos for change in changes] == [5, 5, 5, 5]
    # Class 0 is videos 0, 4, 8, 12, 16: before 1 1 1 0 0, after 0 1 ½ ½ 0.
    first = changes[0]
    assert (first.before, first.after) == (60, 40)
    # Differences -100, 0, -50, 50, 0: standard deviation 57.01, over the root of five.
    assert first.error == pytest.approx(25.4951, abs=1e-3)
    assert first.points == pytest.approx(-20)


def test_a_class_without_videos_is_named_and_not_drawn(tmp_path: Path) -> None:
    ours, theirs = rows(tmp_path)
    for run in (*ours.runs, *theirs.runs):
        object.__setattr__(run, "predictions", tuple(p for p in run.predictions if p.label != 2))
    changes = class_changes(ours, theirs)
    assert [change.num_videos for change in changes] == [5, 5, 0, 5]
    (panel,) = class_changes_picture(ours, theirs).panels
    assert "walk & run has no target video" in panel.alt
    assert "golf 60 to 40 % (5 videos)" in panel.alt
