"""The procedure behind the published features, written plainly: what `bench` compares with.

One video at a time is decoded to its end, its frames go through Pillow and torchvision's
transforms, zero images fill up its last batch, and the network runs as torchvision builds it.
Modelled on the feature extraction of Chen et al. 2019; nothing else uses it. A network of clips
gets the window around every frame.

Legend: B batch, D feature width, F frames of a video, T frames of a window, S side of a crop.
"""

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms import CenterCrop, Compose, Normalize, Resize, ToTensor

from ta3n.common.sampling import Window
from ta3n.common.video import VideoReader
from ta3n.extract.backbones import Backbone


class PlainProcedure:
    """Extracts one video after another.

    `body` maps normalised images [B, 3, S, S], or windows [B, 3, T, S, S], to features [B, D].
    """

    def __init__(
        self, body: nn.Module, backbone: Backbone, device: torch.device, batch_size: int
    ) -> None:
        self._body = body
        self._device = device
        self._batch_size = batch_size
        self._window = backbone.window
        self._transform = Compose(
            [
                Resize(backbone.image_size),
                CenterCrop(backbone.image_size),
                ToTensor(),
                Normalize(backbone.mean, backbone.std),
            ]
        )

    def extract(self, path: Path) -> Tensor:
        """Return the features of a video [F, D]."""
        with VideoReader(path) as reader:
            images = [self._transform(Image.fromarray(frame.rgb())) for frame in reader.frames()]
        num_frames = len(images)
        if self._window is not None:
            images = [self._around(number, images, self._window) for number in range(num_frames)]
        # As published: a video that fills its batches gets one of zeros on top.
        num_zeros = self._batch_size - num_frames % self._batch_size
        images += [torch.zeros_like(images[0])] * num_zeros
        features = []
        with torch.no_grad():
            for first in range(0, len(images), self._batch_size):
                batch = torch.stack(images[first : first + self._batch_size])
                features.append(self._body(batch.to(self._device)).cpu())
        return torch.cat(features)[:num_frames]

    def _around(self, centre: int, images: list[Tensor], window: Window) -> Tensor:
        zeros = torch.zeros_like(images[0])
        numbers = window.frames(centre, len(images))
        return torch.stack([zeros if n is None else images[n] for n in numbers], dim=1)
