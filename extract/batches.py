"""Fixed-size batches through the network, with the next one filled while a GPU works.

Legend: B batch, D feature width, N crops of a shard.
"""

from collections import deque
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ta3n.common.errors import DeviceError
from ta3n.common.log import LOGGER
from ta3n.common.streams import RgbImage
from ta3n.extract.pixels import IMAGE_SIZE
from ta3n.extract.spool import RowSpool


@dataclass(slots=True)
class _Slot:
    """Host memory of one batch; pinned for a GPU, so that copies overlap with computing."""

    crops: Tensor
    features: Tensor
    done: torch.cuda.Event | None
    count: int = 0


class BatchRunner:
    """Collects crops into batches that mix clips and runs them in order.

    Every batch has the same size, the last one padded with what was there before: a row's value
    does not depend on how many others there are. Where the device has not enough memory for one,
    it is computed in two halves from then on.

    Args:
        network: Maps uint8 [B, 224, 224, 3] to float32 [B, D], on `device`.
        device: Where it runs.
        batch_size: B.
        feature_dim: D.
        spool_folder: Where features wait that are too many for memory.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        device: torch.device,
        batch_size: int,
        feature_dim: int,
        spool_folder: Path | None = None,
    ) -> None:
        self._network = network
        self._device = device
        self._batch_size = batch_size
        self._frames_at_once = batch_size
        self._feature_dim = feature_dim
        self._spool_folder = spool_folder
        # On a GPU one batch is filled while the other is computed.
        self._free = deque(self._new_slot() for _ in range(2 if device.type == "cuda" else 1))
        self._running: deque[_Slot] = deque()
        self._filling = self._free.popleft()
        self._results = RowSpool(feature_dim, spool_folder)

    def add(self, crop: RgbImage) -> None:
        """Add a crop [224, 224, 3]; its features come out of `flush` in the order of adding."""
        np.copyto(self._filling.crops[self._filling.count].numpy(), crop)
        self._filling.count += 1
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

    def _new_slot(self) -> _Slot:
        on_gpu = self._device.type == "cuda"
        size = (self._batch_size, IMAGE_SIZE, IMAGE_SIZE, 3)
        return _Slot(
            crops=torch.zeros(size, dtype=torch.uint8, pin_memory=on_gpu),
            features=torch.empty((self._batch_size, self._feature_dim), pin_memory=on_gpu),
            done=torch.cuda.Event() if on_gpu else None,  # type: ignore[no-untyped-call]
        )

    def _launch(self) -> None:
        slot = self._filling
        if not self._compute(slot):
            self._halve()
            if not self._compute(slot):
                raise DeviceError(
                    f"{self._device} has not enough memory for {self._frames_at_once} frames "
                    "at a time; use a smaller --batch-size, or a device with nothing else on it"
                )
        if slot.done is not None:
            slot.done.record()
        self._running.append(slot)
        if not self._free:
            self._collect()
        self._filling = self._free.popleft()

    def _compute(self, slot: _Slot) -> bool:
        """Queue a batch on the device; return False if its memory does not suffice."""
        crops = torch.split(slot.crops, self._frames_at_once)
        rows = torch.split(slot.features, self._frames_at_once)
        try:
            with torch.inference_mode():
                for some_crops, some_rows in zip(crops, rows, strict=True):
                    features = self._network(some_crops.to(self._device, non_blocking=True))
                    some_rows.copy_(features, non_blocking=True)
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
        if slot.done is not None:
            slot.done.synchronize()
        self._results.append(slot.features[: slot.count].numpy())
        slot.count = 0
        self._free.append(slot)
