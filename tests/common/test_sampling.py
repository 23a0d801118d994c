"""If this breaks, training reads other frames than the paper's recipe takes."""

import json
from pathlib import Path

import pytest

from ta3n.common.errors import UsageError
from ta3n.common.sampling import FrameSelection, segment_indices

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


@pytest.mark.parametrize("text", ["", "segments", "segments:0", "segments:-1", "segments:x", "any"])
def test_unknown_selection_says_what_is_known(text: str) -> None:
    with pytest.raises(UsageError, match="'all' or 'segments:K'"):
        FrameSelection.parse(text)
