"""Dropout as explicit masks, drawn from a run's own generator.

Shapes: B videos, K segments, H hidden width, V video feature width.

The global generator is never touched: what else a program draws cannot change a run, a resumed run
goes on with the same masks, and the masks of several seeds can be stacked for one batched program.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class DropoutMasks:
    """Factors of one step: 0 where dropped, 1 / (1 - probability) where kept.

    Args:
        frame: for the frame features after the spatial module, [B, K, H].
        video: for the video features before classifier and video discriminator, [B, V].
    """

    frame: Tensor
    video: Tensor


def draw_masks(
    generator: torch.Generator,
    *,
    frame_shape: tuple[int, int, int],
    video_dim: int,
    probability: float,
    dtype: torch.dtype,
) -> DropoutMasks | None:
    """Draw the masks of one step on the generator's device.

    Args:
        generator: the run's dropout generator.
        frame_shape: (B, K, H).
        video_dim: V.
        probability: of dropping, in [0, 1).
        dtype: of the features.

    Returns:
        The masks, or none if nothing is ever dropped.
    """
    if probability == 0:
        return None
    keep = 1 - probability

    def draw(*shape: int) -> Tensor:
        mask = torch.empty(shape, dtype=dtype, device=generator.device)
        return mask.bernoulli_(keep, generator=generator) / keep

    return DropoutMasks(frame=draw(*frame_shape), video=draw(frame_shape[0], video_dim))
