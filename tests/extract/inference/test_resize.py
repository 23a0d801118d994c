"""If this breaks, features depend on whether a GPU or Pillow resized the frames."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ta3n.common.video import RgbImage
from ta3n.extract.inference.preprocessing import (
    _taps,
    centre_offset,
    resize_and_crop,
    resized_size,
)


def by_pillow(pixels: RgbImage, size: int) -> RgbImage:
    """Resize the whole picture, then crop: nothing of `resize_and_crop` is used."""
    width, height = resized_size(pixels.shape[1], pixels.shape[0], size)
    image = Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR)
    left, top = centre_offset(width, size), centre_offset(height, size)
    return np.asarray(image.crop((left, top, left + size, top + size)))


def noise(height: int, width: int, seed: int, *, extremes: bool) -> RgbImage:
    """Return random pixels; 0 and 255 only are where sums come nearest to overflowing."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return np.where(pixels > 127, 255, 0).astype(np.uint8) if extremes else pixels


def resized(pixels: RgbImage, size: int, device: str = "cpu") -> RgbImage:
    crops = resize_and_crop(torch.from_numpy(pixels)[None].to(device), size)
    return np.asarray(crops[0].cpu().numpy())


@settings(max_examples=150, deadline=None)
@given(
    height=st.integers(1, 400),
    width=st.integers(1, 400),
    size=st.sampled_from([1, 7, 32, 224]),
    extremes=st.booleans(),
    seed=st.integers(0, 100),
)
def test_equals_pillow_byte_for_byte(
    height: int, width: int, size: int, extremes: bool, seed: int
) -> None:
    pixels = noise(height, width, seed, extremes=extremes)
    assert np.array_equal(resized(pixels, size), by_pillow(pixels, size))


VIDEO_SIZES = [
    (240, 320), (240, 427), (320, 240), (576, 720), (720, 1280), (1920, 1080), (225, 223),
    (64, 64), (1000, 40), (40, 1000), (224, 224), (1, 1),
]  # fmt: skip


@pytest.mark.parametrize(("height", "width"), VIDEO_SIZES)
def test_equals_pillow_for_sizes_of_videos(height: int, width: int) -> None:
    pixels = noise(height, width, 0, extremes=False)
    assert np.array_equal(resized(pixels, 224), by_pillow(pixels, 224))


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(("height", "width"), VIDEO_SIZES)
def test_a_gpu_gives_the_same_bytes(height: int, width: int) -> None:
    pixels = noise(height, width, 0, extremes=False)
    assert np.array_equal(resized(pixels, 224, "cuda"), by_pillow(pixels, 224))


def test_every_step_runs_on_other_devices() -> None:
    """No step takes values back to the CPU: a device without values would refuse."""
    frames = torch.empty((5, 240, 320, 3), dtype=torch.uint8, device="meta")
    crops = resize_and_crop(frames, 224)
    assert (crops.shape, crops.dtype, crops.device.type) == ((5, 224, 224, 3), torch.uint8, "meta")


def test_weights_of_a_size_are_worked_out_once_however_many_sizes_there_are() -> None:
    """A GPU stands still meanwhile: clips of many sizes are decoded side by side."""
    frames = [torch.zeros((1, 240, width, 3), dtype=torch.uint8) for width in range(250, 350)]
    for _ in range(2):
        before = _taps.cache_info().misses
        for each in frames:
            resize_and_crop(each, 16)
    assert _taps.cache_info().misses == before
