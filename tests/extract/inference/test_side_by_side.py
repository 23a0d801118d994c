"""If this breaks, several cores compute other features than one, or get in each other's way."""

import torch
from torch import nn

from ta3n.extract.backbones import BACKBONES, load_backbone
from ta3n.extract.inference.engine import SideBySide
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
