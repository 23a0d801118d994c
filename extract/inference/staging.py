"""The memory of one batch: frames on the host, their crops on the device, features back.

Legend: B batch, D feature width, H and W height and width of a frame, S side of a crop.
"""

import math
from itertools import groupby

import numpy as np
import torch
from torch import Tensor

from ta3n.common.video import RgbImage
from ta3n.extract.inference.resize import resize_and_crop


class Slot:
    """Host and device memory of one batch.

    Host memory is pinned for a GPU, and frames are copied on a stream of their own: a batch is on
    its way while the one before is computed.

    Args:
        batch_size: B.
        feature_dim: D.
        image_size: S.
        device: Where crops are needed.

    Attributes:
        features: Host memory for the results, float32 [B, D].
    """

    def __init__(
        self, batch_size: int, feature_dim: int, image_size: int, device: torch.device
    ) -> None:
        self._image_size = image_size
        self._device = device
        self._on_gpu = device.type == "cuda"
        self._shapes: list[tuple[int, ...]] = []
        self._used = 0
        crops_shape = (batch_size, image_size, image_size, 3)
        self._pixels = self._host(math.prod(crops_shape))
        self.features = torch.empty((batch_size, feature_dim), pin_memory=self._on_gpu)
        # What no frame was put into stays as it was: it pads the last batch.
        self._crops = torch.zeros(crops_shape, dtype=torch.uint8, device=device)
        self._copies = torch.cuda.Stream(device) if self._on_gpu else None  # type: ignore[no-untyped-call]
        self._done = torch.cuda.Event() if self._on_gpu else None  # type: ignore[no-untyped-call]

    @property
    def count(self) -> int:
        """Frames put in so far."""
        return len(self._shapes)

    def put(self, pixels: RgbImage) -> None:
        """Copy a frame [H, W, 3] behind those that are there."""
        end = self._used + pixels.size
        if end > len(self._pixels):
            larger = self._host(max(end, 2 * len(self._pixels)))
            larger[: self._used] = self._pixels[: self._used]
            self._pixels = larger
        np.copyto(self._pixels[self._used : end].numpy(), pixels.reshape(-1))
        self._shapes.append(pixels.shape)
        self._used = end

    def crops(self) -> Tensor:
        """Return the crops of all frames on the device, uint8 [B, S, S, 3], the rest as before."""
        first, offset = 0, 0
        for shape, length in _runs(self._shapes):
            end = offset + length * math.prod(shape)
            frames = self._to_device(self._pixels[offset:end].view(length, *shape))
            # A crop is its own crop: nothing is resized then.
            self._crops[first : first + length] = resize_and_crop(frames, self._image_size)
            first, offset = first + length, end
        return self._crops

    def mark_end(self) -> None:
        """Note that the device has got all work on this batch."""
        if self._done is not None:
            self._done.record(torch.cuda.current_stream(self._device))

    def wait(self) -> None:
        """Wait until the features are there."""
        if self._done is not None:
            self._done.synchronize()

    def clear(self) -> None:
        """Forget the frames."""
        self._shapes.clear()
        self._used = 0

    def _host(self, num_bytes: int) -> Tensor:
        return torch.empty(num_bytes, dtype=torch.uint8, pin_memory=self._on_gpu)

    def _to_device(self, frames: Tensor) -> Tensor:
        if self._copies is None:
            return frames.to(self._device)
        with torch.cuda.stream(self._copies):
            copied = frames.to(self._device, non_blocking=True)
        computing = torch.cuda.current_stream(self._device)
        computing.wait_stream(self._copies)
        # Its memory must not be given to the next copy while it is still read.
        copied.record_stream(computing)
        return copied


def _runs(shapes: list[tuple[int, ...]]) -> list[tuple[tuple[int, ...], int]]:
    """Return the shapes that follow each other, each with how often it does."""
    return [(shape, len(list(group))) for shape, group in groupby(shapes)]
