"""From crops to features: normalisation, the backbone, and what makes it fast.

Batch norm is folded into the convolutions. On a CPU additions and activations cost about as much
memory traffic as convolutions do. oneDNN, which PyTorch convolves with, can apply them while a
result is still in the cache, with weights laid out once for its kernels. PyTorch has operators for
this that its own compiler uses; where they are missing the network stays as it is. Networks of
clips run as their library builds them: folded, or channels last, they were no faster.

Legend: B batch, C and D channels or feature width, T frames of a window, H and W height and width
of a feature map.
"""

import copy
from functools import lru_cache
from typing import Any, Literal, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from ta3n.common.errors import first_line
from ta3n.common.log import LOGGER
from ta3n.extract.backbones import BACKBONES, Backbone, load_backbone

Activation = Literal["none", "relu", "relu6"]

# As oneDNN's operators call them, with their bounds.
_ACTIVATIONS: dict[Activation, tuple[str, list[float]]] = {
    "none": ("none", []),
    "relu": ("relu", []),
    "relu6": ("hardtanh", [0.0, 6.0]),
}
_OPERATORS = ("_convolution_pointwise", "_convolution_pointwise_", "_reorder_convolution_weight")

_NUM_COMPARED = 2
# Relative: of the profile `ta3n`.
_TOLERANCE = 1e-4


class FeatureNetwork(nn.Module):
    """A backbone that takes crops as they come from decoding.

    Args:
        body: Maps normalised images [B, 3, H, W], or windows of them [B, 3, T, H, W], to features
            [B, D], in evaluation mode.
        backbone: Gives the normalisation.

    Attributes:
        channels_last: Whether the body gets the channels of a pixel side by side in memory.
    """

    def __init__(self, body: nn.Module, backbone: Backbone) -> None:
        super().__init__()
        self.body = body
        self.channels_last = True
        self.mean: Tensor
        self.std: Tensor
        shape = (1, 3, *(1 for _ in backbone.input_shape[:-1]))
        self.register_buffer("mean", torch.tensor(backbone.mean).view(shape))
        self.register_buffer("std", torch.tensor(backbone.std).view(shape))

    def forward(self, crops: Tensor) -> Tensor:
        """Compute features, float32 [B, D], of crops, RGB pixels, uint8 [B, H, W, 3].

        Windows are of T of them, [B, T, H, W, 3].
        """
        if crops.ndim == 5:
            # As torchvision's transform of clips lays them out.
            crops = crops.permute(0, 4, 1, 2, 3).contiguous()
            clips = crops.float().div_(255).sub_(self.mean).div_(self.std)
            of_clips: Tensor = self.body(clips)
            return of_clips
        # Channels stay last in memory: the permuted view is what fast convolutions want.
        images = crops.permute(0, 3, 1, 2).float().div_(255).sub_(self.mean).div_(self.std)
        features: Tensor = self.body(images if self.channels_last else images.contiguous())
        return features


class LowPrecision(nn.Module):
    """A network body that computes in 16-bit floats, converted in place; its ends have 32 bits."""

    def __init__(self, body: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.body = body.to(dtype)
        self._dtype = dtype

    def forward(self, images: Tensor) -> Tensor:
        """Compute features, float32 [B, D], of normalised images or clips, float32 [B, 3, ...]."""
        features: Tensor = self.body(images.to(self._dtype))
        return features.float()


def fold_batch_norm(network: nn.Module) -> nn.Module:
    """Return a copy with every batch norm folded into the convolution registered before it.

    The paper's networks register each batch norm right after its convolution, as they apply it. In
    evaluation mode both forms compute the same function.
    """
    folded = copy.deepcopy(network)
    for parent in folded.modules():
        previous: tuple[str, nn.Module] | None = None
        for name, child in list(parent.named_children()):
            if (
                type(child) is nn.BatchNorm2d  # subclasses may do more
                and previous is not None
                and isinstance(previous[1], nn.Conv2d)
                and previous[1].out_channels == child.num_features
            ):
                setattr(parent, previous[0], fuse_conv_bn_eval(previous[1], child))
                setattr(parent, name, nn.Identity())
            previous = (name, child)
    return folded


def absorb_padding(network: nn.Module) -> nn.Module:
    """Let convolutions, in place, pad by themselves where a zero padding goes before them.

    TensorFlow's "same" padding is larger on the right and at the bottom by one; the kernel then
    gets a first row and column of zeros, which see the pixel that the left and top do not pad.
    What is computed stays the same, without a copy of every input.
    """
    for conv in network.modules():
        padding = getattr(conv, "static_padding", None)
        if isinstance(conv, nn.Conv2d) and isinstance(padding, nn.ZeroPad2d):
            left, right, top, bottom = padding.padding
            widened = F.pad(conv.weight, (right - left, 0, bottom - top, 0))
            conv.weight = nn.Parameter(widened, requires_grad=False)
            conv.padding = (bottom, right)
            conv.static_padding = nn.Identity()
    return network


@lru_cache(maxsize=1)
def can_fuse() -> bool:
    """Say whether this PyTorch has the operators, and they compute here what ours rely on.

    They are PyTorch's own affair: their arguments and numbers are tried once in a process.
    """
    has_library = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if not has_library or not all(hasattr(torch.ops.mkldnn, name) for name in _OPERATORS):
        return False
    wrong: list[str]
    try:
        wrong = [name for name in _ACTIVATIONS if not _computes_the_same(name)]
    except (RuntimeError, TypeError) as error:
        wrong = [first_line(error)]
    if wrong:
        LOGGER.warning(
            "this PyTorch's fused convolutions are not as expected (%s); the network runs without "
            "them, as right but slower",
            ", ".join(wrong),
        )
    return not wrong


@torch.inference_mode()
def _computes_the_same(activation: Activation) -> bool:
    """Hold a small fused convolution, alone and with an addition, to the plain one."""
    generator = torch.Generator().manual_seed(0)
    conv = nn.Conv2d(16, 32, 3, stride=2, padding=1).to(memory_format=torch.channels_last)
    for values in conv.parameters():
        values.normal_(0, 1, generator=generator)
    images = torch.randn(2, 16, 9, 9, generator=generator)
    images = images.to(memory_format=torch.channels_last)
    plain = conv(images)
    added = torch.randn(plain.shape, generator=generator).to(memory_format=torch.channels_last)
    after = {"none": nn.Identity(), "relu": nn.ReLU(), "relu6": nn.ReLU6()}[activation]
    fused = FusedConvolution(conv, activation)
    pairs = [
        (fused(images), after(plain)),
        (fused(images, added.clone()), F.relu(plain + added)),
    ]
    return all(torch.allclose(found, right, rtol=1e-4, atol=1e-4) for found, right in pairs)


class FusedConvolution(nn.Module):
    """A convolution, batch norm folded into it, that goes on with an addition and ReLU.

    Args:
        activation: What follows where nothing is added.
    """

    def __init__(self, conv: nn.Conv2d, activation: Activation) -> None:
        super().__init__()
        self.conv = conv
        self._activation = _ACTIVATIONS[activation]
        self._geometry = [list(conv.padding), list(conv.stride), list(conv.dilation), conv.groups]
        self._packed: Tensor | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy needs, which packs its weights by itself."""
        return self.__dict__ | {"_packed": None}

    def _apply(self, *args: Any, **options: Any) -> Self:
        # Weights of another type are packed anew.
        self._packed = None
        super()._apply(*args, **options)  # type: ignore[no-untyped-call]
        return self

    def forward(self, images: Tensor, added: Tensor | None = None) -> Tensor:
        """Convolve [B, C, H, W], channels last in memory; the result is [B, D, H', W'].

        What is `added`, of the result's shape, is so before ReLU; the result overwrites it.
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
    """A residual block of ResNet: ReLU follows each convolution, the last with the shortcut."""

    def __init__(self, block: BasicBlock | Bottleneck) -> None:
        super().__init__()
        convs = [block.conv1, block.conv2]
        if isinstance(block, Bottleneck):
            convs.append(block.conv3)
        self.first = nn.Sequential(*(FusedConvolution(conv, "relu") for conv in convs[:-1]))
        self.last = FusedConvolution(convs[-1], "none")
        shortcut = block.downsample
        self.shortcut = None if shortcut is None else FusedConvolution(shortcut[0], "none")

    def forward(self, images: Tensor) -> Tensor:
        """Return the block's output [B, D, H', W']; the input may be overwritten."""
        added = images if self.shortcut is None else self.shortcut(images)
        result: Tensor = self.last(self.first(images), added)
        return result


def fuse(network: nn.Module) -> nn.Module:
    """Fuse a ResNet of torchvision or an EfficientNet-Lite in place; others stay as they are.

    Batch norm and padding are folded, channels last in memory.
    """
    for module in list(network.modules()):
        if isinstance(module, ResNet):
            module.conv1 = FusedConvolution(module.conv1, "relu")
            module.relu = nn.Identity()
        if isinstance(getattr(module, "_swish", None), nn.ReLU6):
            _fuse_lite(module)
        for name, child in list(module.named_children()):
            if isinstance(child, BasicBlock | Bottleneck):
                setattr(module, name, FusedBlock(child))
    return network


def _fuse_lite(module: nn.Module) -> None:
    """Fuse one block, or stem and head; in both ReLU6 follows every convolution but the last."""
    for name, child in list(module.named_children()):
        if isinstance(child, nn.Conv2d):
            activation: Activation = "none" if name == "_project_conv" else "relu6"
            setattr(module, name, FusedConvolution(child, activation))
    module._swish = nn.Identity()


def full_precision() -> list[tuple[Any, str, Any]]:
    """Return the switches of torch that keep TF32 off: place, name and value of each.

    TF32 would cost three decimal digits of every feature. Once a process has used the newer
    switches, the older ones cannot even be read.
    """
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    if hasattr(matmul, "fp32_precision"):
        return [(place, "fp32_precision", "ieee") for place in (matmul, cudnn.conv)]  # type: ignore[attr-defined]
    return [(place, "allow_tf32", False) for place in (matmul, cudnn)]


def _switch_to_full_precision(device: torch.device) -> None:
    if device.type == "cuda":
        for place, name, value in full_precision():
            setattr(place, name, value)


def optimised(network: nn.Module, device: torch.device) -> nn.Module:
    """Return the network folded, channels-last, fused if need be, on its device, for inference."""
    _switch_to_full_precision(device)
    folded = absorb_padding(fold_batch_norm(network)).to(device=device)
    for module in folded.modules():
        if isinstance(module, nn.ReLU6):
            # It follows a convolution whose output nothing else reads; fresh memory is slow.
            module.inplace = True
    # Only weights of convolutions have four dimensions; the rest is left alone.
    folded = folded.to(memory_format=torch.channels_last)
    return fuse(folded) if device.type == "cpu" and can_fuse() else folded


def load_network(backbone: Backbone, weights: str, device: torch.device) -> tuple[nn.Module, str]:
    """Load a backbone and make it ready; return it with the SHA-256 of its weights.

    Raises:
        WeightsError: If the weights are missing, damaged, or of another network.
    """
    loaded = load_backbone(backbone, weights)
    plain = FeatureNetwork(loaded.body, backbone).eval()
    if backbone.window is not None:
        _switch_to_full_precision(device)
        return plain.to(device), loaded.weights_sha256
    if backbone.name in BACKBONES:
        return optimised(plain, device), loaded.weights_sha256
    return _optimised_if_it_agrees(plain, backbone, device), loaded.weights_sha256


def _optimised_if_it_agrees(
    plain: FeatureNetwork, backbone: Backbone, device: torch.device
) -> nn.Module:
    try:
        network = optimised(plain, device)
        if _agree(network, plain.to(device), backbone, device):
            return network
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        LOGGER.debug("%s: %s", backbone.name, error)
    LOGGER.warning(
        "%s does not allow for faster convolutions; it runs as its library builds it",
        backbone.name,
    )
    return plain.to(device)


def _agree(network: nn.Module, plain: nn.Module, backbone: Backbone, device: torch.device) -> bool:
    """Say whether two forms of a network give the same features of images, drawn here.

    Tests hold the forms of the paper's networks to this; others may be built in ways that folding
    does not expect.
    """
    shape = (_NUM_COMPARED, backbone.image_size, backbone.image_size, 3)
    generator = torch.Generator().manual_seed(0)
    crops = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator).to(device)
    with torch.inference_mode():
        # A network may compute in place what it is given.
        found, expected = network(crops.clone()), plain(crops.clone())
    error = torch.linalg.vector_norm(found - expected)
    return bool(error <= _TOLERANCE * torch.linalg.vector_norm(expected))
