"""A network on several CPU cores: each takes frames of its own.

Legend: B batch, D feature width.
"""

from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor, nn


class SideBySide(nn.Module):
    """Runs pieces of a batch through one network in threads of one core each.

    Cores that share every layer wait for each other at its end: with small layers often, and for
    very long where other jobs take a core away in between. Cores with frames of their own wait once
    a batch. All pieces but the last have one size, so a row does not depend on how many cores
    there are.

    Args:
        network: Maps uint8 [B, 224, 224, 3] to float32 [B, D] on a CPU, in inference.
        num_threads: Cores to use.
        frames_at_once: Size of a piece.
    """

    def __init__(self, network: nn.Module, *, num_threads: int, frames_at_once: int) -> None:
        super().__init__()
        self.network = network
        self._frames_at_once = frames_at_once
        self._threads = ThreadPoolExecutor(
            num_threads, "network", initializer=torch.set_num_threads, initargs=(1,)
        )

    def forward(self, crops: Tensor) -> Tensor:
        """Compute features, float32 [B, D], of crops, uint8 [B, 224, 224, 3]."""
        pieces = torch.split(crops, self._frames_at_once)
        return torch.cat(list(self._threads.map(self._infer, pieces)))

    def _infer(self, crops: Tensor) -> Tensor:
        # The mode is each thread's own.
        with torch.inference_mode():
            features: Tensor = self.network(crops)
            return features
