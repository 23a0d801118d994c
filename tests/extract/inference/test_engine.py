"""If this breaks, a profile's features are not the plain network's any more."""

import logging

import pytest
import torch
import torch._inductor.config
from torch import Tensor, nn

from ta3n.common.log import LOGGER
from ta3n.extract.backbones import BACKBONES, load_backbone
from ta3n.extract.inference.engine import (
    compiled_if_faster,
    in_precision_of,
    is_compiled,
)
from ta3n.extract.inference.network import (
    FeatureNetwork,
    LowPrecision,
    load_network,
    optimised,
)

from ...support.networks import trained_looking

CPU, GPU = torch.device("cpu"), torch.device("cuda")
CROPS = torch.randint(
    0, 256, (2, 224, 224, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
)


def plain(name: str) -> FeatureNetwork:
    body = trained_looking(load_backbone(BACKBONES[name], "random:0").body)
    return FeatureNetwork(body, BACKBONES[name]).eval()


@pytest.mark.parametrize("name", ["resnet18", "resnet101"])
def test_features_are_those_of_the_plain_float32_network(name: str) -> None:
    """`ta3n` to 1e-4 of their length; `fast` to a cosine of 0.9999."""
    network = plain(name)
    with torch.inference_mode():
        expected = network(CROPS)
        exact = in_precision_of("ta3n", optimised(network, CPU), CPU)(CROPS)
        fast = in_precision_of("fast", optimised(network, CPU), CPU)(CROPS)
    assert ((exact - expected).norm(dim=1) / expected.norm(dim=1)).max() < 1e-4
    assert torch.cosine_similarity(fast, expected).min() >= 0.9999


def test_half_precision_keeps_the_direction_of_features() -> None:
    network = plain("resnet18")
    with torch.inference_mode():
        expected = network(CROPS)
        network.body = LowPrecision(network.body, torch.float16)
        found = network(CROPS)
    assert found.dtype == torch.float32
    assert torch.cosine_similarity(found, expected).min() >= 0.9999


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(("profile", "least"), [("ta3n", 1 - 1e-8), ("fast", 0.9999)])
def test_a_gpu_computes_the_same_features(profile: str, least: float) -> None:
    network = load_network(BACKBONES["resnet101"], "random:0", GPU)[0]
    network = in_precision_of(profile, network, GPU)
    body = load_backbone(BACKBONES["resnet101"], "random:0").body
    with torch.inference_mode():
        expected = FeatureNetwork(body, BACKBONES["resnet101"]).eval()(CROPS)
        found = network(CROPS.to(GPU)).cpu()
    assert torch.cosine_similarity(found.double(), expected.double()).min() >= least


def test_only_what_earns_it_back_is_compiled_unasked() -> None:
    assert is_compiled("auto", "fast", GPU)
    assert not is_compiled("auto", "fast", CPU)
    assert not is_compiled("auto", "ta3n", GPU)
    assert is_compiled("on", "ta3n", CPU)
    assert not is_compiled("off", "fast", GPU)


class Means(nn.Module):
    def forward(self, crops: Tensor) -> Tensor:
        return crops.float().mean(dim=(1, 2))


def test_without_a_compiler_the_plain_network_runs_with_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines: list[str] = []
    handler = logging.Handler()
    monkeypatch.setattr(handler, "emit", lambda record: lines.append(record.getMessage()))
    monkeypatch.setattr(LOGGER, "handlers", [handler])
    monkeypatch.setattr(torch._inductor.config.cpp, "cxx", ("no-such-compiler",))
    monkeypatch.setattr(torch._inductor.config, "force_disable_caches", True)
    network = Means()
    assert compiled_if_faster(network, CPU, 2) is network
    (line,) = lines
    assert line.startswith("the network is not compiled: ")
