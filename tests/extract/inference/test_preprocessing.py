"""If this breaks, features are computed from other pixels than the chosen transforms give."""

import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models import ResNet18_Weights
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize

from ta3n.common.errors import UsageError
from ta3n.common.video import RgbImage
from ta3n.extract.backbones import BACKBONES, get_backbone
from ta3n.extract.inference.network import FeatureNetwork
from ta3n.extract.inference.preprocessing import crop, cropper_for

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
RESNET18, CPU = BACKBONES["resnet18"], torch.device("cpu")


def noise(width: int, height: int) -> RgbImage:
    return np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("profile", ["ta3n", "fast"])
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_equals_resize_and_centre_crop_of_an_image(width: int, height: int, profile: str) -> None:
    pixels = noise(width, height)
    reference = Compose([Resize(224, InterpolationMode.BILINEAR), CenterCrop(224)])
    expected = np.asarray(reference(Image.fromarray(pixels)))
    assert np.array_equal(cropper_for(profile, RESNET18, CPU)(pixels), expected)


def test_a_strip_is_cropped_without_the_picture_that_it_would_become() -> None:
    """An image of 2 by 8192 pixels would become one of 224 by 917,504."""
    pixels = noise(2, 8192)
    pixels.setflags(write=False)
    middle = noise(2, 8192)[4046:4146]
    assert crop(pixels).shape == (224, 224, 3)
    # Far from the ends the resize sees nothing of them.
    assert np.array_equal(crop(pixels), crop(middle))


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_torchvision_profile_gives_what_the_weights_transform_gives(
    width: int, height: int
) -> None:
    pixels = noise(width, height)
    expected = ResNet18_Weights.IMAGENET1K_V1.transforms()(Image.fromarray(pixels))
    crops = torch.from_numpy(cropper_for("torchvision", RESNET18, CPU)(pixels).copy())[None]
    found = FeatureNetwork(torch.nn.Identity(), RESNET18)(crops)[0]
    assert torch.allclose(found, expected, atol=1e-6)


def test_small_frames_are_left_to_a_gpu() -> None:
    cropper = cropper_for("ta3n", RESNET18, torch.device("cuda"))
    small, large = noise(320, 240), noise(1280, 720)
    assert cropper(small) is small
    assert np.array_equal(cropper(large), crop(large))


def test_backbone_without_weights_of_torchvision_has_no_such_transform() -> None:
    with pytest.raises(UsageError, match="efficientnet_lite0 is not torchvision's"):
        BACKBONES["efficientnet_lite0"].profile_of("torchvision")
    RESNET18.profile_of("torchvision")
    BACKBONES["efficientnet_lite0"].profile_of("fast")


@pytest.mark.parametrize("profile", ["ta3n", "torchvision"])
def test_another_process_makes_the_same_crops(profile: str) -> None:
    cropper = cropper_for(profile, get_backbone("resnet18"), torch.device("cpu"))
    pixels = np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    theirs = pickle.loads(pickle.dumps(cropper))
    assert np.array_equal(theirs(pixels), cropper(pixels))
