"""From a decoded frame to the network's crop, profile by profile, on CPUs and on GPUs.

`ta3n` and `fast`: the short side is resized to 224 with Pillow's antialiased bilinear filter and
the centre is cropped, as in the transforms behind the paper's features. `torchvision`, `timm`: the
transform that the library gives with the weights, `own`: the one that a network of one's own comes
with; `fast` has it too where it is the backbone's own.

On a GPU the same resize is done by tensor operations, byte for byte. Pillow resizes 8-bit images in
two passes, one a dimension, in fixed-point arithmetic: weights of 22 fractional bits, sums in
32-bit integers, rounding to bytes after each pass. Integers round the same everywhere.

Legend: N images, H and W their height and width in pixels, S side of the crop, T taps (source
pixels that one output pixel is made of). Torch is imported late: decoding alone must not wait.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache, partial
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from ta3n.common.video import RgbImage
from ta3n.extract.backbones import IMAGE_SIZE, Backbone, geometry_of

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Cropper = Callable[[RgbImage], RgbImage]
"""Takes a frame [H, W, 3] and returns what the network, or the device's resize, is to get."""

# The picture that Pillow would make of a long strip, only to crop it, does not fit in memory.
_MAX_RESIZED_PIXELS = 32 * IMAGE_SIZE**2
MAX_DEVICE_PIXELS = 640 * 480
"""Larger frames are resized before they go to the device: copying them would take longer."""
# Pillow's PRECISION_BITS: 32 bits less 8 for the pixel and 2 to spare.
_WEIGHT_BITS = 32 - 8 - 2


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
    """Resize the short side of a frame [H, W, 3] and crop the centre, [size, size, 3]."""
    height, width = pixels.shape[:2]
    new_width, new_height = resized_size(width, height, size)
    if new_width * new_height > _MAX_RESIZED_PIXELS:
        # Only what is not cropped off is computed: the same bytes.
        import torch

        # Tensors share only memory that may be written to.
        strip = torch.from_numpy(np.require(pixels, requirements="W"))
        return np.asarray(resize_and_crop(strip[None], size)[0].numpy())
    image = Image.fromarray(pixels)
    if (new_width, new_height) != (width, height):
        image = image.resize((new_width, new_height), Image.Resampling.BILINEAR)
    left, top = centre_offset(new_width, size), centre_offset(new_height, size)
    return np.asarray(image.crop((left, top, left + size, top + size)))


def crop_if_large(pixels: RgbImage, size: int = IMAGE_SIZE) -> RgbImage:
    """Return a frame as it is if the device is to resize it, else its crop."""
    height, width = pixels.shape[:2]
    return pixels if height * width <= MAX_DEVICE_PIXELS else crop(pixels, size)


def max_frame_bytes(backbone: Backbone, device: torch.device) -> int:
    """Return the most that a frame takes as it comes from decoding, or a window of frames."""
    on_device = MAX_DEVICE_PIXELS * 3 if device.type == "cuda" else 0
    return max(math.prod(backbone.input_shape), on_device)


class _LibraryCrop:
    """The transform that comes with a backbone: another process makes its own, at its start."""

    def __init__(self, backbone: Backbone) -> None:
        self._backbone = backbone
        self._crop = geometry_of(backbone)

    def __call__(self, pixels: RgbImage) -> RgbImage:
        return self._crop(pixels)

    def __reduce__(self) -> tuple[type[_LibraryCrop], tuple[Backbone]]:
        return _LibraryCrop, (self._backbone,)


def cropper_for(profile: str, backbone: Backbone, device: torch.device) -> Cropper:
    """Return what is done to a frame in a profile where it is decoded, also in another process.

    On a GPU small frames stay as they are: they are resized there to the same bytes. On a CPU
    Pillow is several times faster than the same arithmetic in tensors. A frame is in many windows,
    so that those are of crops on every device.
    """
    if backbone.has_library_transform(profile):
        return _LibraryCrop(backbone)
    on_device = device.type == "cuda" and backbone.window is None
    return partial(crop_if_large if on_device else crop, size=backbone.image_size)


def resize_and_crop(images: Tensor, size: int) -> Tensor:
    """Resize the short side of uint8 [N, H, W, 3] and crop the centre, [N, S, S, 3].

    The bytes are Pillow's, on any device; what is cropped off is not computed.
    """
    height, width = images.shape[1:3]
    new_width, new_height = resized_size(width, height, size)
    # Bytes are rounded between the passes, so their order shows.
    is_far_higher = height - new_height > max(2 * (width - new_width), 0)
    if is_far_higher and _pillow_chooses_order():
        images = _along(images, 1, new_height, size)
        return _along(images, 2, new_width, size)
    images = _along(images, 2, new_width, size)
    return _along(images, 1, new_height, size)


@lru_cache(maxsize=1)
def _pillow_chooses_order() -> bool:
    """Say whether Pillow begins with the height if that shrinks more; older ones never do."""
    import torch

    height, width, new_height, new_width = 40, 9, 12, 8
    rows, columns = np.ogrid[:height, :width]
    gray = (7 * rows**2 + 37 * rows * columns + 131 * columns).astype(np.uint8)
    found = Image.fromarray(gray).resize((new_width, new_height), Image.Resampling.BILINEAR)
    images = torch.from_numpy(gray)[None, :, :, None]
    width_first = _along(_along(images, 2, new_width, new_width), 1, new_height, new_height)
    return not np.array_equal(width_first[0, :, :, 0].numpy(), np.asarray(found))


def _along(images: Tensor, dim: int, new_length: int, size: int) -> Tensor:
    """Resize one dimension to `new_length` and return its central `size` pixels."""
    import torch

    length, first = images.shape[dim], centre_offset(new_length, size)
    if length == new_length:
        return images.narrow(dim, first, size)
    shape = list(images.shape)
    shape[dim] = size
    # Half of the last fractional bit: what follows rounds to nearest.
    total = torch.full(shape, 1 << (_WEIGHT_BITS - 1), dtype=torch.int32, device=images.device)
    broadcast = [1] * images.dim()
    broadcast[dim] = size
    taps = _taps(length, new_length, first, size, images.device)
    for index, weight in zip(*taps, strict=True):
        pixels = images.index_select(dim, index).int()
        total.addcmul_(pixels, weight.view(broadcast))
    return total.bitwise_right_shift_(_WEIGHT_BITS).clamp_(0, 255).to(torch.uint8)


# A miss stops a GPU: of every size of frame, two are needed for as long as any clip has it.
@lru_cache(maxsize=1024)
def _taps(
    length: int, new_length: int, first: int, size: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return the taps of outputs `first` to `first + size` when `length` becomes `new_length`.

    These are source pixels, int64 [T, S], and their weights, fixed-point int32; any pixels where
    weights are 0. The arithmetic is Pillow's, in its order: another one would round some weights
    differently.
    """
    import torch

    scale = length / new_length
    support = max(scale, 1.0)  # the bilinear filter reaches one output pixel to each side
    rows = [_row(first + i, length, scale, support) for i in range(size)]
    num_taps = max(len(weights) for _, weights in rows)
    index = [[min(low + t, length - 1) for low, _ in rows] for t in range(num_taps)]
    weight = [[w[t] if t < len(w) else 0 for _, w in rows] for t in range(num_taps)]
    weights = torch.tensor(weight, dtype=torch.int32, device=device)
    return torch.tensor(index, device=device), weights


def _row(output: int, length: int, scale: float, support: float) -> tuple[int, list[int]]:
    """Return the first source pixel of an output pixel, and its weights."""
    centre, inverse = (output + 0.5) * scale, 1.0 / support
    low = max(int(centre - support + 0.5), 0)
    high = min(int(centre + support + 0.5), length)
    raw = [max(1.0 - abs((x - centre + 0.5) * inverse), 0.0) for x in range(low, high)]
    total = 0.0
    for value in raw:
        total += value
    return low, [int(0.5 + value / total * (1 << _WEIGHT_BITS)) for value in raw]
