"""If this breaks, a report shows other videos than those it speaks of."""

from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from ta3n.common.errors import ClipError
from ta3n.common.video import VideoReader
from ta3n.train.report.data.embed import RunEmbedding, SubsetEmbedding, SubsetFeatures
from ta3n.train.report.figures.attention import (
    ShownVideo,
    attention_picture,
    by_attention,
    find_clip,
    plot_frames,
    read_frames,
    read_videos,
)

from ....support.made_runs import make_config, make_run
from ....support.reports import collect_runs
from ....support.videos import WriteClip

CLASSES = ("golf", "ride")
PEAKS = (0.4, 0.9, 0.5, 0.7, 0.6)
NUMBERS = (1, 3, 6, 8, 10)


def embedded(seed: int, predicted: int) -> RunEmbedding:
    """Five target videos whose 4-frame relation, of 2 to 5 frames, has the peak."""
    attention = np.full((len(PEAKS), 4), 0.31, np.float32)
    attention[:, 1] = PEAKS  # in the order n = 5..2
    part = SubsetEmbedding(
        features=np.zeros((len(PEAKS), 2), np.float32),
        attention=attention,
        labels=np.zeros(len(PEAKS), np.int64),
        predicted=np.full(len(PEAKS), predicted),
    )
    return RunEmbedding(seed=seed, subsets={"target val": part})


RUNS = (embedded(0, 1), embedded(1, 1), embedded(2, 0))
TARGET = SubsetFeatures(
    features=torch.zeros(len(PEAKS), 5, 2),
    labels=np.zeros(len(PEAKS), np.int64),
    videos=tuple(f"golf/{number}.avi" for number in range(len(PEAKS))),
    frames=(NUMBERS,) * len(PEAKS),
)


def read(videos: Path) -> tuple[list[ShownVideo], list[str]]:
    return read_videos(by_attention(RUNS).tolist(), TARGET, CLASSES, RUNS, videos, "hmdb51")


@pytest.fixture
def videos(tmp_path: Path, write_clip: WriteClip) -> Path:
    for number, path in enumerate(TARGET.videos):
        write_clip(tmp_path / path, 12, seed=number)
    return tmp_path


def test_the_most_attended_come_first_with_what_the_models_say(videos: Path) -> None:
    shown, failures = read(videos)
    assert failures == []
    assert [video.path for video in shown] == ["golf/1.avi", "golf/3.avi", "golf/4.avi"]
    first = shown[0]
    assert (first.label, first.predicted, first.agreeing) == ("golf", "ride", "2 of 3 seeds")
    assert first.numbers == NUMBERS
    panel = plot_frames("Videos", shown, "x")
    assert "golf/1.avi: golf, taken for ride (2 of 3 seeds)" in panel.alt
    assert "2-frame .310, 3-frame .310, 4-frame .900, 5-frame .310" in panel.alt


def test_clips_that_cannot_be_shown_give_way_to_the_next(videos: Path) -> None:
    (videos / "golf" / "1.avi").unlink()
    (videos / "golf" / "4.avi").write_bytes(b"no video")
    shown, failures = read(videos)
    assert [video.path for video in shown] == ["golf/3.avi", "golf/2.avi", "golf/0.avi"]
    assert failures[0] == "golf/1.avi is not there"
    assert failures[1].startswith("golf/4.avi cannot be opened")


def test_without_clips_it_gives_up(tmp_path: Path) -> None:
    shown, failures = read(tmp_path)
    assert shown == []
    assert len(failures) == 5


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


def test_the_levels_of_convolutions_are_named_as_such(tmp_path: Path) -> None:
    make_run(tmp_path, make_config(temporal="tcn"), 0, (1, 2, 3))
    (direction,) = collect_runs(tmp_path).directions
    embedding = embedded(0, 1)
    both = replace(embedding, subsets={**embedding.subsets, "source val": embedding.target})
    drawn = attention_picture(direction.rows[0], [both], "all")
    assert "for each level" in drawn.caption
    first, by_class = drawn.panels
    assert "level 4: source 0.31, target 0.31; level 3: source 0.31" in first.alt
    assert "level 2: source 0.62" in first.alt
    assert "by class and level" in by_class.alt
