"""The tensors of a run, and what its videos are called.

Legend: N target validation videos, M held-out source videos, K segments, D feature width.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ta3n.train.loop.batches import TrainingData


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Labelled source videos that nothing is learned from.

    Attributes:
        features: [M, K, D].
        labels: int64 [M].
    """

    features: Tensor
    labels: Tensor


@dataclass(frozen=True, kw_only=True)
class RunData:
    """The tensors of a run.

    Attributes:
        training: What training may see.
        source_videos: Paths of the videos learned from.
        target_videos: Paths of the unlabelled target training videos; empty without them.
        held_out: What label-free rules may look at beside; None where the source is not learned
            from, or holds nothing out.
        val_features: Target validation features [N, K, D].
        val_labels: Their labels, int64 [N], for the evaluator alone.
        val_videos: Their paths.
    """

    training: TrainingData
    source_videos: Sequence[str]
    target_videos: Sequence[str]
    held_out: HeldOut | None
    val_features: Tensor
    val_labels: Tensor
    val_videos: Sequence[str]

    def to(self, device: torch.device) -> "RunData":
        """Return the data with all features on a device, in single precision."""
        return replace(
            self,
            training=self.training.to(device, torch.float32),
            held_out=self.held_out
            and replace(self.held_out, features=self.held_out.features.to(device)),
            val_features=self.val_features.to(device),
        )
