"""Fixed-size batches through the network, with the next one filled while a GPU works.

Legend: B batch, D feature width, N crops of a shard, H and W height and width of a frame, S side of
a crop.
"""

from collections import deque
from pathlib import Path

import torch
from torch import nn

from ta3n.common.errors import DeviceError
from ta3n.common.log import LOGGER
from ta3n.common.video import RgbImage
from ta3n.extract.backbones import IMAGE_SIZE
from ta3n.extract.inference.spool import RowSpool
from ta3n.extract.inference.staging import Slot

# So many frames keep what a layer hands to the next one in the cache of a core, or near it.
_CPU_BATCH_SIZE = 8
# Beyond it a GPU gains nothing at 224 by 224 pixels; of larger images it takes fewer.
_MAX_TRIED_BATCH_SIZE = 256


class BatchRunner:
    """Collects frames into batches that mix clips and runs them in order.

    Every batch has the same size, the last one padded with what was there before: a row's value
    does not depend on how many others there are. What is padding alone is left out in whole
    pieces. Where the device has not enough memory for a batch, it is computed in two halves from
    then on.

    Args:
        network: Maps uint8 [B, S, S, 3] to float32 [B, D], on `device`.
        device: Where it runs.
        batch_size: B.
        piece: Frames that the network computes by themselves, a divisor of B; None means B.
        feature_dim: D.
        image_size: S.
        spool_folder: Where features wait that are too many for memory.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        device: torch.device,
        batch_size: int,
        piece: int | None = None,
        feature_dim: int,
        image_size: int = IMAGE_SIZE,
        spool_folder: Path | None = None,
    ) -> None:
        self._network = network
        self._device = device
        self._batch_size = batch_size
        self._piece = piece or batch_size
        self._frames_at_once = batch_size
        self._feature_dim = feature_dim
        self._spool_folder = spool_folder
        # On a GPU one batch is filled while the other is computed.
        num_slots = 2 if device.type == "cuda" else 1
        self._free = deque(
            Slot(batch_size, feature_dim, image_size, device) for _ in range(num_slots)
        )
        self._running: deque[Slot] = deque()
        self._filling = self._free.popleft()
        self._results = RowSpool(feature_dim, spool_folder)

    def add(self, pixels: RgbImage) -> None:
        """Add a frame [H, W, 3] or its crop [S, S, 3].

        Its features come out of `flush` in the order of adding. Frames that are no crops yet are
        resized on the device, to the same bytes.
        """
        self._filling.put(pixels)
        if self._filling.count == self._batch_size:
            self._launch()

    def flush(self) -> RowSpool:
        """Run what is left and return the features of all crops since the last flush [N, D].

        Raises:
            DeviceError: If the device has not enough memory even for half a batch.
            OSError: If the disk is full.
        """
        if self._filling.count:
            self._launch()
        while self._running:
            self._collect()
        results = self._results
        self._results = RowSpool(self._feature_dim, self._spool_folder)
        return results

    def _launch(self) -> None:
        slot = self._filling
        if not self._compute(slot):
            self._halve()
            if not self._compute(slot):
                raise DeviceError(
                    f"{self._device} has not enough memory for {self._frames_at_once} frames "
                    "at a time; use a smaller --batch-size, or a device with nothing else on it"
                )
        slot.mark_end()
        self._running.append(slot)
        if not self._free:
            self._collect()
        self._filling = self._free.popleft()

    def _compute(self, slot: Slot) -> bool:
        """Queue a batch on the device; return False if its memory does not suffice."""
        end = -(-slot.count // self._piece) * self._piece
        try:
            with torch.inference_mode():
                crops = torch.split(slot.crops()[:end], self._frames_at_once)
                rows = torch.split(slot.features[:end], self._frames_at_once)
                for some_crops, some_rows in zip(crops, rows, strict=True):
                    some_rows.copy_(self._network(some_crops), non_blocking=True)
        except torch.OutOfMemoryError:
            return False
        return True

    def _halve(self) -> None:
        """Compute in halves from now on: once only, a second time would hide a leak."""
        if self._frames_at_once < self._batch_size or self._batch_size == 1:
            return
        self._frames_at_once = (self._batch_size + 1) // 2
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        LOGGER.warning(
            "%s is out of memory: %d frames at a time instead of %d from now on",
            self._device,
            self._frames_at_once,
            self._batch_size,
        )

    def _collect(self) -> None:
        slot = self._running.popleft()
        slot.wait()
        self._results.append(slot.features[: slot.count].numpy())
        slot.clear()
        self._free.append(slot)


def suitable_batch_size(
    network: nn.Module, device: torch.device, image_size: int = IMAGE_SIZE
) -> int:
    """Return the batch size to use where none is given.

    On a CPU it is what each core computes at a time. On a GPU it is the largest of 256, 128 and so
    on that fits. Speed has no say in it, so that equal devices compute the same bits.

    Raises:
        DeviceError: If not even one frame fits.
    """
    if device.type != "cuda":
        return _CPU_BATCH_SIZE
    at_most = _MAX_TRIED_BATCH_SIZE
    while at_most > 1 and at_most * image_size**2 > _MAX_TRIED_BATCH_SIZE * IMAGE_SIZE**2:
        at_most //= 2
    return largest_batch_size(network, device, at_most=at_most, image_size=image_size)


def largest_batch_size(
    network: nn.Module, device: torch.device, *, at_most: int, image_size: int = IMAGE_SIZE
) -> int:
    """Return how many frames the device can take at a time: `at_most`, or half of it, and so on.

    Raises:
        DeviceError: If not even one fits.
    """
    size = at_most
    while size:
        try:
            with torch.inference_mode():
                shape = (size, image_size, image_size, 3)
                network(torch.zeros(shape, dtype=torch.uint8, device=device))
                if device.type == "cuda":
                    torch.cuda.synchronize(device)
        except torch.OutOfMemoryError:
            size //= 2
        else:
            break
        finally:
            if device.type == "cuda":
                torch.cuda.empty_cache()
    if not size:
        raise DeviceError(f"{device} has not enough memory for one frame; is it used by others?")
    return size
