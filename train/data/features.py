"""The tensors of a run: the sampled frames of its videos, read from the shards.

Legend: N videos, M held-out source videos, K segments, D feature width, H heads.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ta3n.common.errors import DataConflictError
from ta3n.common.records import with_splits_of
from ta3n.common.store import ShardReader, shard_path
from ta3n.train.data.videos import Video
from ta3n.train.loop.batches import TrainingData


def load_features(folder: Path, videos: Sequence[Video], feature_dim: int) -> Tensor:
    """Read the sampled frames of videos, float32 [N, K, D], each row against its checksum.

    N is at least 1, D that of the manifest.

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
    """Return the labels, int64 [N], or [N, H] with several heads; -1 where there is none."""
    return torch.tensor([video.label for video in videos], dtype=torch.int64)


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Labelled source videos that nothing is learned from: [M, K, D], int64 [M] or [M, H]."""

    features: Tensor
    labels: Tensor


@dataclass(frozen=True, kw_only=True)
class RunData:
    """The tensors of a run, and the paths of its videos.

    Attributes:
        source_videos: Those learned from.
        target_videos: Those of the unlabelled target training videos; empty without them.
        held_out: What label-free rules may look at beside; None where the source is not learned
            from, or holds nothing out.
        rule_features: Unlabelled target training videos that label-free rules look at,
            [N', K, D]; None where they look at the validation videos.
        val_features: Target validation features [N, K, D].
        val_labels: Their labels, int64 [N] or [N, H], for the evaluator alone.
    """

    training: TrainingData
    source_videos: Sequence[str]
    target_videos: Sequence[str]
    held_out: HeldOut | None
    rule_features: Tensor | None
    val_features: Tensor
    val_labels: Tensor
    val_videos: Sequence[str]

    def to(self, device: torch.device) -> "RunData":
        """Return the data with all features on a device, in single precision."""
        held_out, rules = self.held_out, self.rule_features
        return replace(
            self,
            training=self.training.to(device, torch.float32),
            held_out=held_out and replace(held_out, features=held_out.features.to(device)),
            rule_features=None if rules is None else rules.to(device),
            val_features=self.val_features.to(device),
        )
