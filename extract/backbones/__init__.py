"""The networks whose features are written, and their weights.

Describing the paper's networks needs no torch, so that a finished folder is recognised in a moment;
describing others, and loading one, does. Legend: B batch, D feature width, S side of the crop.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING

from ta3n.common.errors import UsageError, WeightsError
from ta3n.common.files import expand_home, sha256_of, sha256_of_file
from ta3n.extract.backbones.base import IMAGE_SIZE, IMAGENET_V1, TIMM_PREFIX, Backbone

if TYPE_CHECKING:
    from torch import nn

    from ta3n.common.video import RgbImage
    from ta3n.extract.backbones.library import Library

__all__ = [
    "BACKBONES",
    "IMAGE_SIZE",
    "Backbone",
    "geometry_of",
    "get_backbone",
    "load_backbone",
    "weights_identity",
]

_RANDOM = "random:"
_LARGEST_SEED = 2**63 - 1
# Of each library; they import torch.
_MODULES = {"timm": "from_timm", "torchvision": "from_torchvision", "package": "packaged"}
_LITE_MEAN, _LITE_STD = (127 / 255,) * 3, (128 / 255,) * 3


def _resnet(depth: int, feature_dim: int, digits: str) -> Backbone:
    # The first generation of torchvision's weights: the paper's features were made with it.
    return Backbone(
        name=f"resnet{depth}",
        library="torchvision",
        feature_dim=feature_dim,
        pretrained=IMAGENET_V1,
        pretrained_file=f"resnet{depth}-{digits}.pth",
    )


BACKBONES = {
    backbone.name: backbone
    for backbone in (
        _resnet(18, 512, "f37072fd"),
        _resnet(34, 512, "b627a593"),
        _resnet(50, 2048, "0676ba61"),
        _resnet(101, 2048, "63fe2227"),
        _resnet(152, 2048, "394f9c45"),
        Backbone(
            name="efficientnet_lite0",
            library="package",
            feature_dim=1280,
            pretrained=IMAGENET_V1,
            pretrained_file="efficientnet-lite0-57934424.pth",
            mean=_LITE_MEAN,
            std=_LITE_STD,
        ),
    )
}
"""Those known without asking their library."""


@dataclass(frozen=True, slots=True)
class LoadedBackbone:
    """A network ready for `FeatureNetwork`.

    Attributes:
        body: Maps normalised images [B, 3, S, S] to features [B, D], in evaluation mode.
        weights_sha256: SHA-256 of the weights file, or of the drawn weights.
    """

    body: nn.Module
    weights_sha256: str


def get_backbone(name: str, weights: str | None = None) -> Backbone:
    """Return a backbone by name.

    Args:
        name: One of `BACKBONES`, any classifier of torchvision, or `timm:NAME`.
        weights: What it is to be loaded with; another generation of published weights may want
            other images.

    Raises:
        UsageError: If there is none of that name.
        WeightsError: If the library that it comes from is not installed.
    """
    if name.startswith(TIMM_PREFIX):
        from ta3n.extract.backbones import from_timm

        return from_timm.describe(name)
    known = BACKBONES.get(name)
    # One word that is no file may name published weights of another generation.
    may_be_others = weights not in (None, IMAGENET_V1) and re.fullmatch(r"\w+", weights or "")
    if known is not None and (known.library == "package" or not may_be_others):
        return known
    from ta3n.extract.backbones import from_torchvision

    described = from_torchvision.describe(name, weights)
    return known if known is not None and described.pretrained == IMAGENET_V1 else described


def weights_identity(backbone: Backbone, weights: str) -> str:
    """Return what names the weights for good: file name with hash, file content, or seed.

    Args:
        weights: Name of its published weights, `random:SEED`, or a file.

    Raises:
        UsageError: If the seed is not a number.
        WeightsError: If the file is not there.
    """
    if backbone.is_published(weights):
        return f"{backbone.pretrained}:{backbone.pretrained_file}"
    if (seed := _seed_of(weights)) is not None:
        return f"{_RANDOM}{seed}"
    return f"sha256:{sha256_of_file(_existing_file(weights, backbone))}"


def load_backbone(backbone: Backbone, weights: str) -> LoadedBackbone:
    """Build the network and load its weights.

    Args:
        weights: Name of its published weights, `random:SEED`, or a file with a state dict.

    Raises:
        WeightsError: If the weights are missing, damaged, not finite, or of another network.
        UsageError: If the seed is not a number.
    """
    import torch

    from ta3n.extract.backbones.library import check_weights

    library = _library_of(backbone)
    if (seed := _seed_of(weights)) is not None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = library.build(backbone)
        drawn = b"".join(value.numpy().tobytes() for value in network.state_dict().values())
        digest = sha256_of(drawn)
    else:
        is_published = backbone.is_published(weights)
        if is_published:
            path = library.published_file(backbone)
        else:
            path = _existing_file(weights, backbone)
        digest = sha256_of_file(path)
        if is_published and not digest.startswith(backbone.hash_prefix):
            raise WeightsError(
                f"{path} is damaged: its SHA-256 starts with {digest[:8]}, not "
                f"{backbone.hash_prefix}; remove it and run again"
            )
        network = library.load(backbone, path, digest)
    library.remove_classifier(network)
    check_weights(network, weights)
    return LoadedBackbone(network.eval().requires_grad_(False), digest)


def _seed_of(weights: str) -> int | None:
    """Return the seed of `random:SEED`, None for other weights."""
    if not weights.startswith(_RANDOM):
        return None
    seed = weights.removeprefix(_RANDOM)
    if not (re.fullmatch("[0-9]{1,20}", seed) and int(seed) <= _LARGEST_SEED):
        raise UsageError(
            f"weights {weights!r} need a whole number below 2**63 as seed, such as random:0"
        )
    return int(seed)


def _existing_file(weights: str, backbone: Backbone) -> Path:
    path = expand_home(Path(weights))
    if not path.is_file():
        raise WeightsError(
            f"weights {weights!r} are neither {backbone.pretrained}, nor random:SEED, nor an "
            "existing file"
        )
    return path


def geometry_of(backbone: Backbone) -> Callable[[RgbImage], RgbImage]:
    """Return the geometric part of the transform that comes with a backbone's published weights.

    It maps a frame [H, W, 3] to its crop [S, S, 3]; `FeatureNetwork` normalises.
    """
    return _library_of(backbone).geometry(backbone)


def _library_of(backbone: Backbone) -> Library:
    module = _MODULES[backbone.library]
    library: Library = resolve_name(f"ta3n.extract.backbones.{module}:LIBRARY")
    return library
