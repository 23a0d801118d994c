"""What a user's own network is, as its factory returns it.

Legend: B batch, D feature width, T frames of a window, H and W height and width of a frame, S side
of a crop.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ta3n.common.errors import UsageError
from ta3n.common.sampling import Window
from ta3n.extract.backbones.base import IMAGE_SIZE, IMAGENET_MEAN, IMAGENET_STD

if TYPE_CHECKING:
    from torch import nn

    from ta3n.common.video import RgbImage

_LARGEST = 2**16


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CustomBackbone:
    """A network of one's own: what the factory of `--backbone python:MODULE:FACTORY` returns.

    Attributes:
        network: Maps normalised windows, float32 [B, 3, T, S, S], to features [B, D]; without a
            window images, [B, 3, S, S].
        feature_dim: D.
        image_size: S, in pixels.
        mean: Subtracted from pixels in 0 to 1, a value a channel.
        std: Divides them after that.
        crop: Makes a crop, uint8 [S, S, 3], of a frame, RGB pixels, uint8 [H, W, 3]; None is the
            paper's: the short side to S, antialiased, and the centre.
        window: The frames that it takes at a time, where `--window` says nothing else; None for a
            network of images.
        trained: Whether the network has trained weights already. Else they are to be given with
            `--weights FILE`.
        unused: How names in such a file begin that are no part of the features, as those of a
            classifier.

    Raises:
        UsageError: For a value that makes no sense.
    """

    network: nn.Module
    feature_dim: int
    image_size: int = IMAGE_SIZE
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    crop: Callable[[RgbImage], RgbImage] | None = None
    window: Window | None = None
    trained: bool = False
    unused: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("feature_dim", "image_size"):
            value = getattr(self, name)
            if type(value) is not int or not 0 < value <= _LARGEST:
                raise UsageError(f"CustomBackbone: {name} is {value!r}, not a whole number above 0")
        for name in ("mean", "std"):
            values = getattr(self, name)
            if not isinstance(values, tuple) or len(values) != 3:
                raise UsageError(f"CustomBackbone: {name} is {values!r}, not three values, a tuple")
        if 0 in self.std:
            raise UsageError(f"CustomBackbone: std is {self.std!r}, and pixels are divided by it")
        if not (self.window is None or isinstance(self.window, Window)):
            raise UsageError(f"CustomBackbone: window is {self.window!r}, not a Window, or None")
        if not isinstance(self.unused, tuple):
            raise UsageError(f"CustomBackbone: unused is {self.unused!r}, not a tuple of names")
