"""If this breaks, a report shows other videos than those it speaks of."""

from pathlib import Path

import numpy as np
import pytest
import torch

from ta3n.train.report.data.embed import RunEmbedding, SubsetEmbedding, SubsetFeatures
from ta3n.train.report.figures.frames import ShownVideo, by_attention, plot_frames, read_videos

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
    return RunEmbedding(seed=seed, parts={"target val": part})


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
