"""If this breaks, features are attributed to the wrong frames."""

import logging

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ta3n.common.errors import DeviceError
from ta3n.common.log import LOGGER
from ta3n.extract.batches import BatchRunner


class FirstPixel(nn.Module):
    """A network whose feature is the first pixel; it notes the batch sizes it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def forward(self, crops: Tensor) -> Tensor:
        self.sizes.append(len(crops))
        return crops[:, 0, 0, :1].float()


def devices() -> list[object]:
    reason = "needs a CUDA device"
    gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason=reason)
    return ["cpu", pytest.param("cuda", marks=[gpu, pytest.mark.cuda])]


@pytest.mark.parametrize("device", devices())
@pytest.mark.parametrize("num_crops", [0, 1, 4, 5, 23])
def test_features_come_in_the_order_of_adding(num_crops: int, device: str) -> None:
    network = FirstPixel()
    runner = BatchRunner(network, device=torch.device(device), batch_size=4, feature_dim=1)
    for _ in range(2):
        for number in range(num_crops):
            runner.add(np.full((224, 224, 3), number, np.uint8))
        features = runner.flush()
        assert features.shape == (num_crops, 1)
        assert features[:][:, 0].tolist() == list(range(num_crops))
    assert set(network.sizes) <= {4}


class Greedy(FirstPixel):
    """A network that runs out of memory at more than so many frames, or always at first."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def forward(self, crops: Tensor) -> Tensor:
        if len(crops) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return super().forward(crops)


def test_too_large_a_batch_is_halved_once_with_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    handler = logging.Handler()
    monkeypatch.setattr(handler, "emit", lambda record: lines.append(record.getMessage()))
    monkeypatch.setattr(LOGGER, "handlers", [handler])
    network = Greedy(most=3)
    runner = BatchRunner(network, device=torch.device("cpu"), batch_size=5, feature_dim=1)
    for number in range(23):
        runner.add(np.full((224, 224, 3), number, np.uint8))
    features = runner.flush()[:]
    assert features[:, 0].tolist() == list(range(23))
    assert set(network.sizes) == {3, 2}
    assert lines == ["cpu is out of memory: 3 frames at a time instead of 5 from now on"]


@pytest.mark.parametrize(("most", "batch_size"), [(1, 4), (0, 1)])
def test_too_little_memory_even_for_half_a_batch_is_told(most: int, batch_size: int) -> None:
    runner = BatchRunner(
        Greedy(most), device=torch.device("cpu"), batch_size=batch_size, feature_dim=1
    )
    crop = np.zeros((224, 224, 3), np.uint8)
    for _ in range(batch_size - 1):
        runner.add(crop)
    with pytest.raises(DeviceError, match="use a smaller --batch-size"):
        runner.add(crop)
