"""If this breaks, the fast form of the network no longer computes the plain one's features."""

import logging

import pytest
import torch
from torch import nn

from ta3n.extract.backbones import BACKBONES, load_backbone
from ta3n.extract.inference.network import (
    FeatureNetwork,
    FusedBlock,
    FusedConvolution,
    absorb_padding,
    can_fuse,
    fold_batch_norm,
    optimised,
)

from ...support.networks import trained_looking

CROPS = torch.randint(0, 256, (2, 224, 224, 3), dtype=torch.uint8)


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "efficientnet_lite0"])
def test_folded_network_computes_the_same(name: str) -> None:
    if name == "efficientnet_lite0":
        pytest.importorskip("efficientnet_lite_pytorch", reason="extra 'offline' not installed")
    backbone = BACKBONES[name]
    network = FeatureNetwork(trained_looking(load_backbone(backbone, "random:0").body), backbone)
    network.eval()
    fast = optimised(network, torch.device("cpu"))
    assert not [m for m in fast.modules() if isinstance(m, nn.BatchNorm2d | nn.ZeroPad2d)]
    with torch.inference_mode():
        expected, found = network(CROPS), fast(CROPS)
    assert found.shape == (2, backbone.feature_dim)
    assert (found - expected).norm() / expected.norm() < 1e-4


def test_blocks_of_a_resnet_run_fused_on_a_cpu() -> None:
    """Where PyTorch lacks the operators, extraction is as right, but slower."""
    if not can_fuse():
        pytest.skip("this PyTorch has no fused convolutions")
    backbone = BACKBONES["resnet18"]
    network = FeatureNetwork(load_backbone(backbone, "random:0").body, backbone).eval()
    fast = optimised(network, torch.device("cpu"))
    assert len([m for m in fast.modules() if isinstance(m, FusedBlock)]) == 8
    with torch.inference_mode():
        first, again = fast(CROPS), fast(CROPS)
        alone = fast(CROPS[:1])
    assert torch.equal(first, again)
    assert torch.allclose(alone, first[:1], rtol=1e-4, atol=1e-6)


def test_convolutions_of_the_packaged_network_run_fused_on_a_cpu() -> None:
    pytest.importorskip("efficientnet_lite_pytorch", reason="extra 'offline' not installed")
    if not can_fuse():
        pytest.skip("this PyTorch has no fused convolutions")
    backbone = BACKBONES["efficientnet_lite0"]
    network = FeatureNetwork(load_backbone(backbone, "random:0").body, backbone).eval()
    num_convolutions = sum(isinstance(m, nn.Conv2d) for m in network.modules())
    fast = optimised(network, torch.device("cpu"))
    assert sum(isinstance(m, FusedConvolution) for m in fast.modules()) == num_convolutions
    assert not [m for m in fast.modules() if isinstance(m, nn.ReLU6)]


def _of_another_version(*_: object) -> torch.Tensor:
    raise TypeError("takes 9 arguments")


@pytest.mark.parametrize("broken", [lambda *_: torch.zeros(1), _of_another_version])
def test_operators_that_changed_are_not_used(
    broken: object, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """They are private to PyTorch: another version may compute something else, or take others."""
    if not can_fuse():
        pytest.skip("this PyTorch has no fused convolutions")
    monkeypatch.setattr(torch.ops.mkldnn, "_convolution_pointwise", broken)
    monkeypatch.setattr(logging.getLogger("ta3n"), "propagate", True)
    can_fuse.cache_clear()
    try:
        backbone = BACKBONES["resnet18"]
        network = FeatureNetwork(load_backbone(backbone, "random:0").body, backbone).eval()
        fast = optimised(network, torch.device("cpu"))
        with torch.inference_mode():
            assert torch.allclose(fast(CROPS), network(CROPS), rtol=1e-3, atol=1e-4)
        assert "fused convolutions are not as expected" in caplog.text
    finally:
        can_fuse.cache_clear()


def test_folding_leaves_the_original_alone() -> None:
    body = load_backbone(BACKBONES["resnet18"], "random:0").body
    before = {key: value.clone() for key, value in body.state_dict().items()}
    fold_batch_norm(body)
    assert all(torch.equal(value, before[key]) for key, value in body.state_dict().items())


class _SamePadded(nn.Conv2d):
    """A convolution with TensorFlow's "same" padding, as the packaged network has it."""

    def __init__(self, kernel: int, stride: int, pad: tuple[int, int]) -> None:
        super().__init__(4, 4, kernel, stride=stride, groups=4)
        self.static_padding = nn.ZeroPad2d((*pad, *pad))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        padded = self.static_padding(images)
        return nn.functional.conv2d(
            padded, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups
        )


@pytest.mark.parametrize(
    ("kernel", "stride", "pad"), [(3, 1, (1, 1)), (3, 2, (0, 1)), (5, 2, (1, 2)), (5, 1, (2, 2))]
)
def test_absorbed_padding_computes_the_same(kernel: int, stride: int, pad: tuple[int, int]) -> None:
    convolution = _SamePadded(kernel, stride, pad).eval()
    images = torch.randn(2, 4, 14, 14)
    expected = convolution(images)
    found = absorb_padding(convolution)(images)
    assert isinstance(convolution.static_padding, nn.Identity)
    assert torch.allclose(found, expected, atol=1e-5)


def test_pixels_are_normalised_as_torchvision_does() -> None:
    from torchvision.transforms.functional import normalize

    backbone = BACKBONES["resnet18"]
    network = FeatureNetwork(nn.Identity(), backbone)
    images = CROPS.permute(0, 3, 1, 2).float() / 255
    expected = normalize(images, list(backbone.mean), list(backbone.std))
    assert torch.allclose(network(CROPS), expected, atol=1e-6)
