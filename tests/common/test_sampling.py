"""If this breaks, training reads other frames than the paper's recipe takes."""

import json
from pathlib import Path

import pytest

from ta3n.common.errors import ClipError, UsageError
from ta3n.common.sampling import FrameSelection, segment_indices, view_indices

REFERENCE = Path(__file__).parents[1] / "golden" / "functions_reference.json"


def test_equals_the_official_program_in_every_recorded_case() -> None:
    reference = json.loads(REFERENCE.read_text())["segment_indices_zero_based"]
    cases = [(int(k), int(n), v) for k, by_n in reference.items() for n, v in by_n.items()]
    assert len(cases) > 100
    for num_segments, num_frames, expected in cases:
        assert segment_indices(num_frames, num_segments) == expected


def test_short_clip_repeats_its_last_frame() -> None:
    assert segment_indices(3, 5) == [0, 1, 2, 2, 2]


@pytest.mark.parametrize(("frames", "segments"), [(0, 5), (5, 0)])
def test_counts_below_one_are_refused(frames: int, segments: int) -> None:
    with pytest.raises(ValueError, match="must be >= 1"):
        segment_indices(frames, segments)


def test_selection_keeps_each_frame_once() -> None:
    assert list(FrameSelection.parse("segments:5").indices(3)) == [0, 1, 2]
    assert list(FrameSelection.parse("segments:5").indices(0)) == []
    assert list(FrameSelection.parse("all").indices(4)) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("text", "num_frames", "frame_rate", "expected"),
    [
        ("every:1", 3, None, [0, 1, 2]),
        ("every:3", 8, None, [0, 3, 6]),
        ("every:9", 3, None, [0]),
        ("fps:5", 12, 25.0, [0, 5, 10]),
        ("fps:10", 12, 25.0, [0, 3, 5, 8, 10]),
        ("fps:30", 4, 25.0, [0, 1, 2, 3]),
        ("fps:29.97", 4, 29.97, [0, 1, 2, 3]),
        ("fps:0.5", 101, 25.0, [0, 50, 100]),
    ],
)
def test_frames_at_a_fixed_distance(
    text: str, num_frames: int, frame_rate: float | None, expected: list[int]
) -> None:
    selection = FrameSelection.parse(text)
    assert str(selection) == text
    assert selection.is_regular
    assert list(selection.indices(num_frames, frame_rate)) == expected


def test_rate_is_needed_to_keep_frames_by_time() -> None:
    with pytest.raises(ClipError, match="declares no frame rate, which frames fps:2 need"):
        FrameSelection.parse("fps:2").indices(3)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "segments",
        "segments:0",
        "segments:-1",
        "segments:x",
        "any",
        "every:0",
        "every:1.5",
        "fps",
        "fps:0",
        "fps:-1",
        "fps:nan",
    ],
)
def test_unknown_selection_says_what_is_known(text: str) -> None:
    with pytest.raises(UsageError, match="use 'all', 'segments:K' or 'every:N'"):
        FrameSelection.parse(text)


def test_views_are_spread_over_the_parts_and_one_is_the_centres() -> None:
    assert view_indices(30, 5, 1) == [segment_indices(30, 5)]
    assert view_indices(30, 5, 3) == [[1, 7, 13, 19, 25], [3, 9, 15, 21, 27], [5, 11, 17, 23, 29]]
    # Fewer frames than all views together, but enough for one; and not enough.
    assert view_indices(6, 3, 4) == [[0, 2, 4], [0, 2, 4], [1, 3, 5], [1, 3, 5]]
    assert view_indices(2, 3, 2) == [[0, 1, 1]] * 2
    with pytest.raises(ValueError, match="num_views=0"):
        view_indices(5, 5, 0)


def test_middle_view_is_the_centres_however_they_are_rounded() -> None:
    for num_frames in (12, 15, 16, 29, 100, 257):
        first, middle, last = view_indices(num_frames, 3, 3)
        assert middle == segment_indices(num_frames, 3)
        assert all(a <= b <= c for a, b, c in zip(first, middle, last, strict=True))
