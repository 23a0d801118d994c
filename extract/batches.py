"""Fixed-size batches through the network, with the next one filled while a GPU works.

Legend: B batch, D feature width, N crops of a shard.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ta3n.common.store import Features
from ta3n.common.streams import RgbImage
from ta3n.extract.pixels import IMAGE_SIZE


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
    does not depend on how many others there are.

    Args:
        network: Maps uint8 [B, 224, 224, 3] to float32 [B, D], on `device`.
        device: Where it runs.
        batch_size: B.
        feature_dim: D.
    """

    def __init__(
        self, network: nn.Module, *, device: torch.device, batch_size: int, feature_dim: int
    ) -> None:
        self._network = network
        self._device = device
        self._batch_size = batch_size
        self._feature_dim = feature_dim
        # On a GPU one batch is filled while the other is computed.
        self._free = deque(self._new_slot() for _ in range(2 if device.type == "cuda" else 1))
        self._running: deque[_Slot] = deque()
        self._filling = self._free.popleft()
        self._results: list[Features] = []

    def add(self, crop: RgbImage) -> None:
        """Add a crop [224, 224, 3]; its features come out of `flush` in the order of adding."""
        np.copyto(self._filling.crops[self._filling.count].numpy(), crop)
        self._filling.count += 1
        if self._filling.count == self._batch_size:
            self._launch()

    def flush(self) -> Features:
        """Run what is left and return the features of all crops since the last flush [N, D]."""
        if self._filling.count:
            self._launch()
        while self._running:
            self._collect()
        results, self._results = self._results, []
        return np.concatenate(results) if results else np.empty((0, self._feature_dim), np.float32)

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
        with torch.inference_mode():
            features = self._network(slot.crops.to(self._device, non_blocking=True))
            slot.features.copy_(features, non_blocking=True)
        if slot.done is not None:
            slot.done.record()
        self._running.append(slot)
        if not self._free:
            self._collect()
        self._filling = self._free.popleft()

    def _collect(self) -> None:
        slot = self._running.popleft()
        if slot.done is not None:
            slot.done.synchronize()
        self._results.append(slot.features[: slot.count].numpy().copy())
        slot.count = 0
        self._free.append(slot)
