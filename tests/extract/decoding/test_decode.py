"""If this breaks, a clip's frames are wrong or its status does not tell what happened."""

from pathlib import Path

import numpy as np
import pytest

from ta3n.common.sampling import FrameSelection, segment_indices

from ...support.decoding import ALL, FIVE, decode
from ...support.videos import WriteClip, write_seq


def test_all_frames_become_crops(tmp_path: Path, write_clip: WriteClip) -> None:
    crops, outcome = decode(write_clip(tmp_path / "a.avi", 9))
    assert outcome.status == "ok"
    assert outcome.num_frames == 9
    assert outcome.frame_numbers == tuple(range(9))
    assert [crop.shape for crop in crops] == [(224, 224, 3)] * 9


@pytest.mark.parametrize("num_frames", [1, 3, 5, 40])
@pytest.mark.parametrize("name", ["a.avi", "a.mkv", "a.seq"])
def test_sampled_crops_are_rows_of_all(
    tmp_path: Path, write_clip: WriteClip, name: str, num_frames: int
) -> None:
    path = tmp_path / name
    if name.endswith(".seq"):
        write_seq(path, num_frames)
    else:
        write_clip(path, num_frames)
    every, _ = decode(path)
    some, outcome = decode(path, FIVE)
    assert outcome.num_frames == num_frames
    assert outcome.frame_numbers == tuple(sorted(set(segment_indices(num_frames, 5))))
    for crop, number in zip(some, outcome.frame_numbers, strict=True):
        assert np.array_equal(crop, every[number])


@pytest.mark.parametrize(("frames", "expected"), [("every:4", [0, 4, 8]), ("fps:10", [0, 3, 5, 8])])
def test_crops_at_a_fixed_distance_are_rows_of_all(
    tmp_path: Path, write_clip: WriteClip, frames: str, expected: list[int]
) -> None:
    path = write_clip(tmp_path / "a.avi", 10, frame_rate=25)
    every, _ = decode(path)
    some, outcome = decode(path, FrameSelection.parse(frames))
    assert list(outcome.frame_numbers) == expected
    assert outcome.num_frames == 10
    for crop, number in zip(some, expected, strict=True):
        assert np.array_equal(crop, every[number])


@pytest.mark.parametrize("selection", [ALL, FIVE])
def test_damage_in_the_middle_is_partial_and_sampling_follows_the_true_count(
    tmp_path: Path, write_clip: WriteClip, selection: FrameSelection
) -> None:
    path = write_clip(tmp_path / "a.avi", 60, width=160, height=120)
    data = bytearray(path.read_bytes())
    third = len(data) // 3
    data[third : 2 * third] = np.random.default_rng(0).bytes(third)
    path.write_bytes(data)
    crops, outcome = decode(path, selection)
    assert outcome.status == "partial"
    assert 0 < outcome.num_frames < 60
    assert f"{outcome.num_frames} frames decoded, 60 declared" in outcome.error
    assert outcome.frame_numbers == tuple(selection.indices(outcome.num_frames))
    assert len(crops) == len(outcome.frame_numbers)


def test_cut_clip_is_partial_with_both_counts(tmp_path: Path, write_clip: WriteClip) -> None:
    path = write_clip(tmp_path / "a.avi", 60)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    _, outcome = decode(path)
    assert outcome.status == "partial"
    assert f"{outcome.num_frames} frames decoded, 60 declared" in outcome.error
    assert "missing" in outcome.error


@pytest.mark.parametrize("selection", [ALL, FIVE])
def test_clip_without_a_frame_is_empty(
    tmp_path: Path, write_clip: WriteClip, selection: FrameSelection
) -> None:
    path = write_clip(tmp_path / "a.avi", 30)
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"movi") + 4])
    crops, outcome = decode(path, selection)
    assert outcome.status in {"empty", "failed"}
    assert outcome.error
    assert not crops


@pytest.mark.parametrize("content", [b"", b"garbage" * 1000])
def test_what_is_no_video_fails_with_a_reason(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.avi"
    path.write_bytes(content)
    crops, outcome = decode(path)
    assert outcome.status == "failed"
    assert "cannot be opened" in outcome.error
    assert not crops


def test_file_that_vanished_fails_with_a_reason(tmp_path: Path) -> None:
    _, outcome = decode(tmp_path / "none.avi")
    assert outcome.status == "failed"
    assert "No such file" in outcome.error
