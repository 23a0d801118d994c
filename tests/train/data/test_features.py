"""If this breaks, a video is trained with another one's features."""

from pathlib import Path

import numpy as np
import pytest
import torch

from ta3n.common.errors import DataConflictError, FeatureStoreError
from ta3n.common.store import ShardReader, shard_path
from ta3n.datasets.benchmarks.registry import BUILT_IN_CATALOGUE
from ta3n.train.data.features import labels_of, load_features
from ta3n.train.data.videos import DomainVideos, load_videos

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
    features = load_features(side.folder, side.val, DIM)
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
        load_features(side.folder, side.train, DIM)


def test_shard_of_another_extraction_is_refused(side: DomainVideos, tmp_path: Path) -> None:
    make_features(tmp_path / "b", "ucf101", made_clips("ucf101"), frames="all", seed=1)
    other = shard_path(tmp_path / "b" / "ucf101", SHARD)
    shard_path(side.folder, SHARD).write_bytes(other.read_bytes())
    with pytest.raises(DataConflictError, match="and the manifest disagree on"):
        load_features(side.folder, side.train, DIM)


def test_missing_shard_is_named(side: DomainVideos) -> None:
    shard_path(side.folder, SHARD).unlink()
    with pytest.raises(FeatureStoreError, match=r"shard-00000\.h5 cannot be read"):
        load_features(side.folder, side.train, DIM)
