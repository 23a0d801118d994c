"""ResNet blocks whose convolutions add their bias, the shortcut and ReLU in one pass, on CPUs.

On a CPU additions and activations cost about as much memory traffic as convolutions do. oneDNN,
which PyTorch convolves with, can apply them while a result is still in the cache, with weights laid
out once for its kernels. PyTorch has operators for this that its own compiler uses; where they are
missing the network stays as it is.

Legend: B batch, C and D channels, H and W height and width of a feature map.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

_OPERATORS = ("_convolution_pointwise", "_convolution_pointwise_", "_reorder_convolution_weight")


def can_fuse() -> bool:
    """Say whether this PyTorch has the operators."""
    has_library = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return has_library and all(hasattr(torch.ops.mkldnn, name) for name in _OPERATORS)


class FusedConvolution(nn.Module):
    """A convolution that goes on with an addition and ReLU.

    Args:
        conv: With its bias; batch norm is folded into it.
        relu: Whether ReLU follows where nothing is added.
    """

    def __init__(self, conv: nn.Conv2d, *, relu: bool) -> None:
        super().__init__()
        self.conv = conv
        self._after = "relu" if relu else "none"
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
            result = ops._convolution_pointwise(*given, self._after, [], "")
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
        self.first = nn.Sequential(*(FusedConvolution(conv, relu=True) for conv in convs[:-1]))
        self.last = FusedConvolution(convs[-1], relu=False)
        self.shortcut = None if shortcut is None else FusedConvolution(shortcut, relu=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return the block's output [B, D, H', W']; the input may be overwritten."""
        added = images if self.shortcut is None else self.shortcut(images)
        result: Tensor = self.last(self.first(images), added)
        return result


def fuse_resnet(network: nn.Module) -> nn.Module:
    """Fuse the blocks of a ResNet in place, and return it; other networks stay as they are.

    Args:
        network: Holds a `ResNet` of torchvision, batch norm folded, channels last in memory.
    """
    for module in list(network.modules()):
        if isinstance(module, ResNet):
            module.conv1 = FusedConvolution(module.conv1, relu=True)
            module.relu = nn.Identity()
        for name, child in list(module.named_children()):
            if isinstance(child, BasicBlock | Bottleneck):
                setattr(module, name, _fused(child))
    return network


def _fused(block: BasicBlock | Bottleneck) -> FusedBlock:
    convs = [block.conv1, block.conv2]
    if isinstance(block, Bottleneck):
        convs.append(block.conv3)
    shortcut = None if block.downsample is None else block.downsample[0]
    return FusedBlock(convs, shortcut)
