"""Dropout as explicit masks, drawn from a run's own generator.

Shapes: B videos, K segments, H hidden width, V video feature width.

The global generator is never touched: what else a program draws cannot change a run, a resumed run
goes on with the same masks, and the masks of several seeds can be stacked for one batched program.
"""

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

# A number of 16 random bits decides a place: four places cost one draw of 64 bits, which is a
# quarter of the time of drawing each by itself, and the same on processors of every make.
_BITS = 16
_PLACES_PER_DRAW = 64 // _BITS


@dataclass(frozen=True, kw_only=True)
class DropoutMasks:
    """Factors of one step: 0 where dropped, one over the probability of keeping elsewhere.

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
        frame_shape: (B, K, H).
        video_dim: V.
        probability: of dropping, in [0, 1); rounded to a multiple of 2 ** -16.

    Returns:
        The masks, or none if nothing is ever dropped.
    """
    if probability == 0:
        return None
    num_kept = max(1, round((1 - probability) * 2**_BITS))  # of all numbers there are

    def draw(*shape: int) -> Tensor:
        size = prod(shape)
        draws = torch.empty(
            -(-size // _PLACES_PER_DRAW), dtype=torch.int64, device=generator.device
        )
        draws.random_(-(2**63), None, generator=generator)  # all 64 bits
        numbers = draws.view(torch.int16)[:size].reshape(shape)
        kept = numbers < num_kept - 2 ** (_BITS - 1)
        mask: Tensor = kept.to(dtype).mul_(2**_BITS / num_kept)
        return mask

    return DropoutMasks(frame=draw(*frame_shape), video=draw(frame_shape[0], video_dim))
