"""If this breaks, a video is trained with another one's features."""

from pathlib import Path

import numpy as np
import pytest
import torch

from ta3n.common.errors import DataConflictError, FeatureStoreError
from ta3n.common.store import ShardReader, shard_path
from ta3n.datasets.benchmarks.registry import BUILT_IN_CATALOGUE
from ta3n.train.data.features import (
    labels_of,
    load_part,
    size_of,
)
from ta3n.train.data.videos import DomainVideos, load_videos
from ta3n.train.model.videos import StoredVideos, take_videos

from ...support.feature_folders import DIM, SHARD, made_clips, make_features


@pytest.fixture
def side(tmp_path: Path) -> DomainVideos:
    make_features(tmp_path, "ucf101", made_clips("ucf101"), frames="all")
    return load_videos(
        tmp_path,
        BUILT_IN_CATALOGUE.benchmark("ucf-hmdb-small"),
        "ucf101",
        num_segments=5,
        allow_missing=True,
    )


def test_each_video_gets_its_own_sampled_rows(side: DomainVideos) -> None:
    features = load_part(side, "val")
    assert isinstance(features, torch.Tensor)
    assert features.shape == (15, 5, DIM)
    assert features.dtype == torch.float32
    with ShardReader(shard_path(side.folder, SHARD)) as shard:
        for video, loaded in zip(side.val, features, strict=True):
            expected = shard.rows(video.clip.start, [1, 3, 6, 8, 10])
            assert np.array_equal(loaded.numpy(), expected)
    assert labels_of(side.val).tolist() == [video.label for video in side.val]


def test_damaged_row_stops_training(side: DomainVideos) -> None:
    path = shard_path(side.folder, SHARD)
    with ShardReader(path) as shard:
        row = shard.rows(side.train[0].clip.start, [3])
    data = bytearray(path.read_bytes())
    data[data.index(row.tobytes())] ^= 1
    path.write_bytes(data)
    with pytest.raises(FeatureStoreError, match="does not match its checksum"):
        load_part(side, "train")


def test_shard_of_another_extraction_is_refused(side: DomainVideos, tmp_path: Path) -> None:
    make_features(tmp_path / "b", "ucf101", made_clips("ucf101"), frames="all", seed=1)
    other = shard_path(tmp_path / "b" / "ucf101", SHARD)
    shard_path(side.folder, SHARD).write_bytes(other.read_bytes())
    with pytest.raises(DataConflictError, match="and the manifest disagree on"):
        load_part(side, "train")


def test_missing_shard_is_named(side: DomainVideos) -> None:
    shard_path(side.folder, SHARD).unlink()
    with pytest.raises(FeatureStoreError, match=r"shard-00000\.h5 cannot be read") as caught:
        load_part(side, "train")
    reason = "it is missing; ta3n-extract --repair makes it again, with the line that made the"
    assert reason in str(caught.value)


def flip(path: Path, place: int) -> None:
    """Flip a bit of a file where it is."""
    with path.open("r+b") as file:
        file.seek(place)
        (byte,) = file.read(1)
        file.seek(place)
        file.write(bytes([byte ^ 1]))


@pytest.mark.parametrize("drawn", [False, True])
def test_mapped_rows_are_those_in_memory(side: DomainVideos, drawn: bool) -> None:
    tensor = load_part(side, "val")
    assert isinstance(tensor, torch.Tensor)
    numbers = torch.tensor([14, 0, 3, 3])
    mapped = load_part(side, "val", drawn=drawn, mapped={})
    assert isinstance(mapped, StoredVideos)
    assert mapped.shape == (15, 5, DIM)
    assert torch.equal(take_videos(mapped, numbers), tensor[numbers])
    held = load_part(side, "val", drawn=True)
    assert isinstance(held, StoredVideos)
    frames = held.draw(torch.Generator().manual_seed(0))
    drawn_rows = [take_videos(each, numbers, frames) for each in (held, mapped)]
    assert torch.equal(*drawn_rows)
    assert not torch.equal(drawn_rows[0], tensor[numbers])
    assert size_of(side, "val", drawn=True) == 12 / 5 * size_of(side, "val", drawn=False)


def test_a_mapped_row_is_checked_when_it_is_read(side: DomainVideos) -> None:
    path = shard_path(side.folder, SHARD)
    with ShardReader(path) as shard:
        row = shard.rows(side.train[0].clip.start, [3]).tobytes()
    place = path.read_bytes().index(row)
    flip(path, place)
    videos = load_part(side, "train", mapped={})
    # Only what is asked for is read, and nothing is asked for twice.
    assert take_videos(videos, torch.arange(1, len(side.train))).shape[0] == len(side.train) - 1
    with pytest.raises(FeatureStoreError, match="does not match its checksum"):
        take_videos(videos, torch.tensor([0]))
    flip(path, place)
    assert take_videos(videos, torch.tensor([0])).shape == (1, 5, DIM)
    # Read before, and good: it is not held against its checksum again.
    flip(path, place)
    assert take_videos(videos, torch.tensor([0])).shape == (1, 5, DIM)


def test_mapped_shard_of_another_extraction_is_refused(side: DomainVideos, tmp_path: Path) -> None:
    make_features(tmp_path / "b", "ucf101", made_clips("ucf101"), frames="all", seed=1)
    other = shard_path(tmp_path / "b" / "ucf101", SHARD)
    shard_path(side.folder, SHARD).write_bytes(other.read_bytes())
    with pytest.raises(DataConflictError, match="and the manifest disagree on"):
        load_part(side, "train", mapped={})


def test_views_are_read_with_the_centres(tmp_path: Path) -> None:
    make_features(tmp_path, "ucf101", made_clips("ucf101"), frames="all")
    one, three = (
        load_videos(
            tmp_path,
            BUILT_IN_CATALOGUE.benchmark("ucf-hmdb-small"),
            "ucf101",
            num_segments=4,
            num_views=views,
            allow_missing=True,
        )
        for views in (1, 3)
    )
    assert one.lists_hash == three.lists_hash
    numbers = torch.arange(15)
    centres = take_videos(load_part(one, "val"), numbers)
    for videos in (load_part(three, "val"), load_part(three, "val", mapped={})):
        assert isinstance(videos, StoredVideos)
        assert torch.equal(take_videos(videos, numbers), centres)
        seen = videos.take_views(numbers)
        assert seen.shape == (15, 3, 4, DIM)
        # The second of three views are the centres; 12 frames in 4 parts of 3.
        assert torch.equal(seen[:, 1], centres)
        with ShardReader(shard_path(three.folder, SHARD)) as shard:
            rows = shard.rows(three.val[0].clip.start, [2, 5, 8, 11])
        assert np.array_equal(seen[0, 2].numpy(), rows)
