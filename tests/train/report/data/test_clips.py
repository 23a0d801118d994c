"""If this breaks, the frames of a report are not those that the model saw."""

from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from ta3n.common.errors import ClipError
from ta3n.common.video import VideoReader
from ta3n.train.report.data.clips import find_clip, read_frames

from ....support.videos import WriteClip


def test_frames_are_those_of_the_numbers(tmp_path: Path, write_clip: WriteClip) -> None:
    clip = write_clip(tmp_path / "a.avi", 12)
    found = read_frames(clip, (1, 6, 6, 10), 96)
    with VideoReader(clip) as reader:
        every = [frame.rgb() for frame in islice(reader.frames(), 12)]
    assert len(found) == 4
    for number, pixels in zip((1, 6, 6, 10), found, strict=True):
        assert np.array_equal(pixels, every[number])


def test_frames_keep_their_proportions(tmp_path: Path, write_clip: WriteClip) -> None:
    clip = write_clip(tmp_path / "a.avi", 3)
    assert [frame.shape for frame in read_frames(clip, (0, 2), 48)] == [(32, 48, 3)] * 2


def test_short_and_broken_clips_are_told(tmp_path: Path, write_clip: WriteClip) -> None:
    clip = write_clip(tmp_path / "a.avi", 3)
    with pytest.raises(ClipError, match="gives no frame 7"):
        read_frames(clip, (0, 7), 48)
    clip.write_bytes(b"no video")
    with pytest.raises(ClipError, match="cannot be opened"):
        read_frames(clip, (0,), 48)


def test_clips_lie_in_the_datasets_folder_or_a_folder_of_datasets(tmp_path: Path) -> None:
    for folder in ("all/hmdb51/golf", "own/golf"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "a.avi").touch()
    for name in ("all", "own"):
        found = find_clip(tmp_path / name, "hmdb51", "golf/a.avi")
        assert found is not None
        assert found.is_file()
    assert find_clip(tmp_path / "own", "hmdb51", "golf/b.avi") is None
