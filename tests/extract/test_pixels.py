"""If this breaks, features are computed from other pixels than the paper's transforms give."""

import numpy as np
import pytest
from PIL import Image
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize

from ta3n.extract.pixels import crop

SIZES = [
    (320, 240),
    (240, 320),
    (224, 224),
    (225, 224),
    (224, 301),
    (64, 64),
    (97, 65),
    (1280, 720),
]


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_equals_resize_and_centre_crop_of_an_image(width: int, height: int) -> None:
    pixels = np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    reference = Compose([Resize(224, InterpolationMode.BILINEAR), CenterCrop(224)])
    expected = np.asarray(reference(Image.fromarray(pixels)))
    assert np.array_equal(crop(pixels), expected)
