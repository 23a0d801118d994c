"""If this breaks, dropout drops another share than it says, or a run cannot be repeated."""

import pytest
import torch

from ta3n.train.layers.dropout import DropoutMasks, draw_masks


def draw(probability: float, seed: int = 0, dtype: torch.dtype = torch.float32) -> DropoutMasks:
    masks = draw_masks(
        torch.Generator().manual_seed(seed),
        frame_shape=(37, 5, 101),
        video_dim=67,
        probability=probability,
        dtype=dtype,
    )
    assert masks is not None
    return masks


def values(mask: torch.Tensor) -> list[float]:
    return sorted(set(mask.flatten().tolist()))


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_the_share_that_is_dropped_and_the_mean_that_is_kept(probability: float) -> None:
    mask = draw(probability).frame
    assert mask.shape == (37, 5, 101)
    assert (mask == 0).float().mean().item() == pytest.approx(probability, abs=0.015)
    assert values(mask) == pytest.approx([0, 1 / (1 - probability)], rel=1e-3)
    assert mask.mean().item() == pytest.approx(1, rel=0.06)
    # Neighbours share a draw of 64 bits, and must not share their fate.
    kept = (mask.flatten()[: 4 * 4600] > 0).float().reshape(-1, 4)
    correlations = torch.corrcoef(kept.T) - torch.eye(4)
    assert correlations.abs().max() < 0.06


def test_half_is_exactly_twice_and_types_are_kept() -> None:
    masks = draw(0.5, dtype=torch.float64)
    assert masks.frame.dtype == masks.video.dtype == torch.float64
    assert masks.video.shape == (37, 67)
    assert values(masks.frame) == [0.0, 2.0]


def test_a_generator_gives_the_same_masks_again_and_then_others() -> None:
    assert torch.equal(draw(0.5).frame, draw(0.5).frame)
    assert not torch.equal(draw(0.5).frame, draw(0.5, seed=1).frame)


def test_nothing_is_drawn_where_nothing_is_dropped() -> None:
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    shape = (2, 5, 4)
    assert (
        draw_masks(generator, frame_shape=shape, video_dim=3, probability=0.0, dtype=torch.float32)
        is None
    )
    assert torch.equal(before, generator.get_state())
