"""From a decoded frame to the network's crop: the `ta3n` profile.

The short side is resized to 224 with Pillow's antialiased bilinear filter and the centre is
cropped, as in the transforms behind the paper's features. Pillow itself does it, so the bytes are
Pillow's.
"""

import numpy as np
from PIL import Image

from ta3n.common.streams import RgbImage

PROFILE = "ta3n"
IMAGE_SIZE = 224


def resized_size(width: int, height: int, short_side: int) -> tuple[int, int]:
    """Return width and height in pixels once the short side is `short_side`.

    The long side is rounded down, as torchvision's `Resize` does.
    """
    if width <= height:
        return short_side, int(short_side * height / width)
    return int(short_side * width / height), short_side


def crop(pixels: RgbImage, size: int = IMAGE_SIZE) -> RgbImage:
    """Resize the short side and crop the centre.

    Args:
        pixels: Frame [H, W, 3].
        size: Side of the crop in pixels.

    Returns:
        Crop [size, size, 3].
    """
    height, width = pixels.shape[:2]
    image = Image.fromarray(pixels)
    new_width, new_height = resized_size(width, height, size)
    if (new_width, new_height) != (width, height):
        image = image.resize((new_width, new_height), Image.Resampling.BILINEAR)
    # Python's rounding to even is torchvision's CenterCrop.
    left, top = round((new_width - size) / 2), round((new_height - size) / 2)
    return np.asarray(image.crop((left, top, left + size, top + size)))
