"""If this breaks, features are attributed to the wrong frames."""

import logging

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ta3n.common.errors import DeviceError
from ta3n.common.log import LOGGER
from ta3n.common.video import RgbImage
from ta3n.extract.inference.batches import BatchRunner, largest_batch_size, suitable_batch_size
from ta3n.extract.inference.preprocessing import crop

from ...support.computed import computed


class FirstPixel(nn.Module):
    """A network whose feature is the first pixel; it notes the batch sizes it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def forward(self, crops: Tensor) -> Tensor:
        self.sizes.append(len(crops))
        return crops[:, 0, 0, :1].float()


def numbered(count: int) -> list[RgbImage]:
    return [np.full((224, 224, 3), number, np.uint8) for number in range(count)]


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
        features = computed(runner, numbered(num_crops))
        assert features.shape == (num_crops, 1)
        assert features[:, 0].tolist() == list(range(num_crops))
    assert set(network.sizes) <= {4}


def test_rows_of_pieces_go_to_those_who_take_them() -> None:
    """Pieces of several frames, over the ends of batches."""
    runner = BatchRunner(FirstPixel(), device=torch.device("cpu"), batch_size=4, feature_dim=1)
    images, taken = np.stack(numbered(13)), [list[float](), list[float]()]
    for first, end, who in ((0, 3, 0), (3, 10, 1), (10, 13, 0)):
        take = taken[who]
        runner.add(images[first:end], lambda rows, take=take: take.extend(rows[:, 0].tolist()))  # type: ignore[misc]
    runner.flush()
    assert taken == [[0, 1, 2, 10, 11, 12], [3, 4, 5, 6, 7, 8, 9]]


class Means(nn.Module):
    """A network whose features depend on every pixel."""

    def forward(self, crops: Tensor) -> Tensor:
        weights = torch.arange(224 * 224, device=crops.device, dtype=torch.float64) % 97
        return torch.einsum("bpc,p->bc", crops.flatten(1, 2).double(), weights).float()


@pytest.mark.parametrize("device", devices())
def test_frames_are_resized_on_the_device_to_pillows_bytes(device: str) -> None:
    """Frames of several sizes in one batch, some of them larger than the room for crops."""
    rng = np.random.default_rng(0)
    sizes = [(240, 320), (240, 320), (224, 224), (600, 700), (600, 700), (64, 48), (240, 320)]
    frames = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]
    features = []
    for pixels in (frames, [crop(pixels) for pixels in frames]):
        runner = BatchRunner(Means(), device=torch.device(device), batch_size=5, feature_dim=3)
        features.append(computed(runner, pixels))
    assert np.array_equal(features[0], features[1])


def test_no_more_memory_is_held_than_a_batch_takes() -> None:
    """A GPU's is pinned: nobody else can have it."""
    runner = BatchRunner(Means(), device=torch.device("cpu"), batch_size=5, feature_dim=3)
    for height, width in ((224, 224), (240, 320), (200, 100), (480, 640)):
        computed(runner, list(np.zeros((7, height, width, 3), np.uint8)))
    assert len(runner._filling._pixels) == 5 * 480 * 640 * 3


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
    features = computed(runner, numbered(23))
    assert features[:, 0].tolist() == list(range(23))
    assert set(network.sizes) == {3, 2}
    assert lines == ["cpu is out of memory: 3 frames at a time instead of 5 from now on"]


@pytest.mark.parametrize(("most", "batch_size"), [(1, 4), (0, 1)])
def test_too_little_memory_even_for_half_a_batch_is_told(most: int, batch_size: int) -> None:
    runner = BatchRunner(
        Greedy(most), device=torch.device("cpu"), batch_size=batch_size, feature_dim=1
    )
    images = np.zeros((batch_size, 224, 224, 3), np.uint8)
    runner.add(images[1:], lambda _: None)
    with pytest.raises(DeviceError, match="use a smaller --batch-size"):
        runner.add(images[:1], lambda _: None)


def test_batch_size_is_halved_until_it_fits() -> None:
    network = Greedy(most=9)
    cpu = torch.device("cpu")
    assert largest_batch_size(network, cpu, at_most=32) == 8
    assert network.sizes == [8]
    assert suitable_batch_size(network, cpu) == 8
    with pytest.raises(DeviceError, match="not enough memory for one frame"):
        largest_batch_size(Greedy(most=0), cpu, at_most=2)
