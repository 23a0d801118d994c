"""The sampled frames of a run's videos, read from the shards onto the device's side.

Legend: N videos, K segments, D feature width.
"""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ta3n.common.errors import DataConflictError
from ta3n.common.records import with_splits_of
from ta3n.common.store import ShardReader, shard_path
from ta3n.train.data.videos import Video


def load_features(folder: Path, videos: Sequence[Video], feature_dim: int) -> Tensor:
    """Read the sampled frames of videos, each row against its checksum.

    Args:
        folder: Feature folder of the dataset.
        videos: The videos, at least one, all of K sampled frames.
        feature_dim: D as the manifest has it.

    Returns:
        Features, float32 [N, K, D].

    Raises:
        FeatureStoreError: If a shard is missing or damaged.
        DataConflictError: If a shard does not hold what the manifest says.
    """
    features = np.empty((len(videos), len(videos[0].rows), feature_dim), np.float32)
    by_shard: dict[str, list[int]] = defaultdict(list)
    for number, video in enumerate(videos):
        by_shard[video.clip.shard].append(number)
    for shard_name, numbers in by_shard.items():
        with ShardReader(shard_path(folder, shard_name)) as shard:
            wanted = (videos[number].clip for number in numbers)
            known = {clip.path: clip for clip in with_splits_of(shard.record.clips, wanted)}
            for number in numbers:
                video = videos[number]
                if known.get(video.clip.path) != video.clip:
                    raise DataConflictError(
                        f"{shard.path} and the manifest disagree on {video.clip.path}; run "
                        "ta3n-extract again with the line that made the features"
                    )
                features[number] = shard.rows(video.clip.start, video.rows)
    return torch.from_numpy(features)


def labels_of(videos: Sequence[Video]) -> Tensor:
    """Return the labels, int64 [N]."""
    return torch.tensor([video.label for video in videos], dtype=torch.int64)
