"""If this breaks, several cores compute other features than one, or get in each other's way."""

import threading

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ta3n.extract.backbones import BACKBONES, load_backbone
from ta3n.extract.inference.batches import BatchRunner, SideBySide
from ta3n.extract.inference.network import FeatureNetwork, optimised

CROPS = torch.randint(0, 256, (19, 224, 224, 3), dtype=torch.uint8)


def network() -> nn.Module:
    backbone = BACKBONES["resnet18"]
    plain = FeatureNetwork(load_backbone(backbone, "random:0").body, backbone).eval()
    return optimised(plain, torch.device("cpu"))


def test_features_do_not_depend_on_the_number_of_cores() -> None:
    plain = network()
    with torch.inference_mode():
        expected = plain(CROPS)
        found = [SideBySide(plain, num_threads=cores, frames_at_once=8)(CROPS) for cores in (1, 3)]
    assert found[0].shape == expected.shape
    assert torch.equal(found[0], found[1])
    assert (found[0] - expected).norm() / expected.norm() < 1e-5


def test_each_piece_runs_on_one_core_and_the_caller_keeps_its_own() -> None:
    class CountThreads(nn.Module):
        def forward(self, crops: torch.Tensor) -> torch.Tensor:
            return torch.full((len(crops), 1), torch.get_num_threads())

    before = torch.get_num_threads()
    side_by_side = SideBySide(CountThreads(), num_threads=2, frames_at_once=8)
    assert side_by_side(CROPS).unique().tolist() == [1]
    assert torch.get_num_threads() == before


class Means(nn.Module):
    """Means of the colours, once it may."""

    def __init__(self) -> None:
        super().__init__()
        self.may_run = threading.Event()

    def forward(self, crops: Tensor) -> Tensor:
        assert self.may_run.wait(60), "the next batch is not filled meanwhile"
        return crops.float().mean(dim=(1, 2))


def runner_of(network: nn.Module) -> BatchRunner:
    return BatchRunner(
        SideBySide(network, num_threads=2, frames_at_once=2),
        device=torch.device("cpu"),
        batch_size=4,
        piece=2,
        feature_dim=3,
        input_shape=(8, 8, 3),
    )


def test_the_next_batch_is_filled_while_cores_work() -> None:
    network, rows = Means(), list[np.ndarray[tuple[int, int], np.dtype[np.float32]]]()
    runner = runner_of(network)
    crops = np.random.default_rng(0).integers(0, 256, (11, 8, 8, 3), dtype=np.uint8)
    runner.add(crops[:7], lambda some: rows.append(some.copy()))
    assert not rows
    network.may_run.set()
    runner.add(crops[7:], lambda some: rows.append(some.copy()))
    runner.flush()
    assert np.allclose(np.concatenate(rows), crops.mean(axis=(1, 2)))


def test_what_fails_on_a_core_is_raised() -> None:
    class Broken(nn.Module):
        def forward(self, crops: Tensor) -> Tensor:
            raise ValueError(f"not of this shape: {list(crops.shape)}")

    runner = runner_of(Broken())
    runner.add(CROPS[:3, :8, :8].numpy(), lambda _: None)
    with pytest.raises(ValueError, match="not of this shape"):
        runner.flush()
