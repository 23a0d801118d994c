"""From a decoded frame to the network's crop, profile by profile.

`ta3n` and `fast`: the short side is resized to 224 with Pillow's antialiased bilinear filter and
the centre is cropped, as in the transforms behind the paper's features. `torchvision`, `timm`: the
transform that the library gives with the weights; `fast` has it too where it is the backbone's own.

Shapes: H height, W width of a frame in pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from ta3n.common.video import RgbImage
from ta3n.extract.backbones import IMAGE_SIZE, Backbone
from ta3n.extract.inference.profiles import has_library_transform

if TYPE_CHECKING:
    import torch

Cropper = Callable[[RgbImage], RgbImage]
"""Takes a frame [H, W, 3] and returns what the network, or the device's resize, is to get."""

# The picture that Pillow would make of a long strip, only to crop it, does not fit in memory.
_MAX_RESIZED_PIXELS = 32 * IMAGE_SIZE**2
# Larger frames are resized before they go to the device: copying them would take longer.
_MAX_DEVICE_PIXELS = 640 * 480


def resized_size(width: int, height: int, short_side: int) -> tuple[int, int]:
    """Return width and height in pixels once the short side is `short_side`.

    The long side is rounded down, as torchvision's `Resize` does.
    """
    if width <= height:
        return short_side, int(short_side * height / width)
    return int(short_side * width / height), short_side


def centre_offset(length: int, size: int) -> int:
    """Return where the central `size` pixels of `length` begin, as torchvision's CenterCrop."""
    # Python's rounding to even is torchvision's.
    return round((length - size) / 2)


def crop(pixels: RgbImage, size: int = IMAGE_SIZE) -> RgbImage:
    """Resize the short side and crop the centre.

    Args:
        pixels: Frame [H, W, 3].
        size: Side of the crop in pixels.

    Returns:
        Crop [size, size, 3].
    """
    height, width = pixels.shape[:2]
    new_width, new_height = resized_size(width, height, size)
    if new_width * new_height > _MAX_RESIZED_PIXELS:
        return _crop_of_strip(pixels, size)
    image = Image.fromarray(pixels)
    if (new_width, new_height) != (width, height):
        image = image.resize((new_width, new_height), Image.Resampling.BILINEAR)
    left, top = centre_offset(new_width, size), centre_offset(new_height, size)
    return np.asarray(image.crop((left, top, left + size, top + size)))


def _crop_of_strip(pixels: RgbImage, size: int) -> RgbImage:
    """Compute only what is not cropped off: the same bytes."""
    # Decoding alone must not wait for torch, and such frames are rare.
    import torch

    from ta3n.extract.inference.resize import resize_and_crop

    # Tensors share only memory that may be written to.
    image = torch.from_numpy(np.require(pixels, requirements="W"))
    return np.asarray(resize_and_crop(image[None], size)[0].numpy())


def crop_if_large(pixels: RgbImage, size: int = IMAGE_SIZE) -> RgbImage:
    """Return a frame as it is if the device is to resize it, else its crop."""
    height, width = pixels.shape[:2]
    return pixels if height * width <= _MAX_DEVICE_PIXELS else crop(pixels, size)


def cropper_for(profile: str, backbone: Backbone, device: torch.device) -> Cropper:
    """Return what decoding threads do to a frame.

    On a GPU small frames stay as they are: `ta3n.extract.inference.batches` resizes them there to
    the same bytes. On a CPU Pillow is several times faster than the same arithmetic in tensors.

    Args:
        profile: `ta3n`, `fast`, `torchvision` or `timm`.
        backbone: Has the size, and the transform of its library.
        device: Where the network runs.
    """
    if has_library_transform(profile, backbone):
        return _CROPPERS[backbone.library](backbone)
    return partial(crop_if_large if device.type == "cuda" else crop, size=backbone.image_size)


def _torchvision_cropper(backbone: Backbone) -> Cropper:
    """Return the geometric part of torchvision's preset; `FeatureNetwork` normalises."""
    from torchvision.transforms import functional

    from ta3n.extract.backbones.from_torchvision import preset_of

    preset = preset_of(backbone)

    def crop_like_preset(pixels: RgbImage) -> RgbImage:
        image = functional.resize(
            Image.fromarray(pixels),
            preset.resize_size,
            interpolation=preset.interpolation,
            antialias=preset.antialias,
        )
        return np.asarray(functional.center_crop(image, preset.crop_size))

    return crop_like_preset


def _timm_cropper(backbone: Backbone) -> Cropper:
    """Return the geometric part of timm's transform; `FeatureNetwork` normalises."""
    from ta3n.extract.backbones.from_timm import geometry

    to_crop = geometry(backbone)

    def crop_like_timm(pixels: RgbImage) -> RgbImage:
        # An array or a tensor, by timm's version.
        channels_first = np.asarray(to_crop(Image.fromarray(pixels)))
        return np.ascontiguousarray(channels_first.transpose(1, 2, 0))

    return crop_like_timm


_CROPPERS = {"torchvision": _torchvision_cropper, "timm": _timm_cropper}
