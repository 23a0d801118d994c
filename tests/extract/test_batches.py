"""If this breaks, features are attributed to the wrong frames."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

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
        assert features[:, 0].tolist() == list(range(num_crops))
    assert set(network.sizes) <= {4}
