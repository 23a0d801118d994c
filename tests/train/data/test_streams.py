"""If this breaks, a feature of one clip, or of one moment, is joined to that of another."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ta3n.common.errors import DataConflictError, DataMissingError, UsageError
from ta3n.datasets.benchmarks.registry import BUILT_IN_CATALOGUE
from ta3n.train.data.features import load_part, size_of
from ta3n.train.data.streams import load_streams
from ta3n.train.data.videos import DomainVideos
from ta3n.train.model.videos import StoredVideos, take_videos

from ...support.feature_folders import DIM, MadeClip, made_clips, make_features

SMALL = BUILT_IN_CATALOGUE.benchmark("ucf-hmdb-small")


def load(folders: Sequence[Path], **options: Any) -> DomainVideos:
    options = {"num_segments": 5, "allow_missing": True, **options}
    return load_streams(folders, SMALL, "ucf101", **options)


def make(folder: Path, clips: Sequence[MadeClip] | None = None, **options: Any) -> Path:
    make_features(folder, "ucf101", clips or made_clips("ucf101"), **options)
    return folder


def test_one_folder_is_as_it_was(tmp_path: Path) -> None:
    folder = make(tmp_path / "rgb", frames="all")
    side = load([folder])
    assert side.others == ()
    assert side == load_streams(folder, SMALL, "ucf101", num_segments=5, allow_missing=True)


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("drawn", [False, True])
def test_clips_are_joined_by_path_and_moment(tmp_path: Path, drawn: bool, mapped: bool) -> None:
    rgb = make(tmp_path / "rgb", frames="all")
    flow = make(tmp_path / "flow", list(reversed(made_clips("ucf101"))), frames="all", seed=1)
    side = load([rgb, flow])
    assert side.widths == (DIM, DIM)
    (other,) = side.others
    assert [v.clip.path for v in other.val] == [v.clip.path for v in side.val]
    joined = load_part(side, "val", drawn=drawn, mapped={} if mapped else None)
    assert joined.shape == (15, 5, 2 * DIM)
    numbers = torch.arange(15)
    alone_each = [load_part(replace(s, others=()), "val") for s in side.streams]
    each = [take_videos(videos, numbers) for videos in alone_each]
    assert torch.equal(take_videos(joined, numbers), torch.cat(each, dim=2))
    assert size_of(side, "val", drawn=drawn) == 2 * size_of(load([rgb]), "val", drawn=drawn)
    if isinstance(joined, StoredVideos):
        frames = joined.draw(torch.Generator().manual_seed(0))
        alone = load_part(load([flow]), "val", drawn=True)
        place = {v.clip.path: n for n, v in enumerate(load([flow]).val)}
        order = torch.tensor([place[v.clip.path] for v in side.val])
        by_order = torch.empty_like(frames).index_copy_(0, order, frames)
        taken = take_videos(joined, numbers, frames)[..., DIM:]
        assert torch.equal(taken, take_videos(alone, order, by_order))


def test_clip_that_a_stream_lacks_is_named_or_left_out(
    tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    # What the benchmark has beside is nobody's concern here.
    sides = {name: replace(side, expected=None) for name, side in SMALL.sides.items()}
    own = replace(SMALL, sides=sides)
    clips = made_clips("ucf101")
    folders = [make(tmp_path / "rgb", clips), make(tmp_path / "flow", clips[1:])]
    with pytest.raises(DataMissingError) as refusal:
        load_streams(folders, own, "ucf101", num_segments=5, allow_missing=False)
    assert f"{folders[1] / 'ucf101'} lacks 1 train clips" in str(refusal.value)
    assert clips[0].path in str(refusal.value)
    side = load_streams(folders, own, "ucf101", num_segments=5, allow_missing=True)
    assert len(side.train) == len(side.others[0].train) == len(clips) - 15 - 1
    assert any(clips[0].path in line and "left out" in line for line in log.messages)


def test_sampled_frames_alone_are_joined_with_all_frames(tmp_path: Path) -> None:
    folders = [make(tmp_path / "rgb", frames="all"), make(tmp_path / "flow", frames="segments:5")]
    side = load(folders)
    assert side.train[0].rows == (1, 3, 6, 8, 10)
    assert side.others[0].train[0].rows == (0, 1, 2, 3, 4)
    with pytest.raises(DataConflictError, match="frames are drawn of streams that hold the same"):
        load([make(tmp_path / "half", frames="every:2"), folders[0]], sampling="random")


def test_other_moments_are_refused(tmp_path: Path) -> None:
    every = make(tmp_path / "every", frames="every:3")
    everything = make(tmp_path / "all", frames="all")
    with pytest.raises(DataConflictError, match="hold other moments of 30 clips"):
        load([everything, every])
    # Frames that were kept twice as often would be another matter than one that is missing.
    double = [replace(clip, num_frames=30) for clip in made_clips("ucf101")]
    with pytest.raises(DataConflictError, match="hold other moments of 30 clips"):
        load([everything, make(tmp_path / "double", double, frames="all")])
    longer = [replace(clip, num_frames=13) for clip in made_clips("ucf101")]
    with pytest.raises(DataConflictError, match="hold other moments of 30 clips"):
        load([make(tmp_path / "a"), make(tmp_path / "b", longer)])


def test_a_frame_less_of_optical_flow_ends_the_clip(
    tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    less = [replace(clip, num_frames=11) for clip in made_clips("ucf101")]
    folders = [make(tmp_path / "rgb", frames="all"), make(tmp_path / "flow", less, frames="all")]
    side = load(folders)
    assert side.train[0].rows == side.others[0].train[0].rows == (1, 3, 5, 7, 9)
    assert any("30 clips have up to 15 frames less" in line for line in log.messages)
    drawn = load_part(side, "train", drawn=True)
    assert isinstance(drawn, StoredVideos)
    assert drawn.lengths.tolist() == [11] * 30


def test_folder_given_twice_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is given twice"):
        load([tmp_path, tmp_path])
