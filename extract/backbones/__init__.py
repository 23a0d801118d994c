"""The networks whose features are written, and their weights.

Describing the paper's networks needs no torch, so that a finished folder is recognised in a moment;
describing others, and loading one, does. Legend: B batch, D feature width, S side of the crop.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING

from ta3n.common.errors import Ta3nError, UsageError, WeightsError, first_line
from ta3n.common.files import expand_home, sha256_of_file
from ta3n.common.records import PYTHON_PREFIX
from ta3n.common.sampling import Window, WindowPad
from ta3n.extract.backbones.base import IMAGE_SIZE, IMAGENET_V1, TIMM_PREFIX, VIDEO_PREFIX, Backbone

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
    "with_window",
]

_RANDOM = "random:"
_LARGEST_SEED = 2**63 - 1
# Of each library; they import torch.
_MODULES = {
    "timm": "from_timm",
    "torchvision": "from_torchvision",
    "video": "from_torchvision",
    "package": "packaged",
    "python": "from_python",
}
_PREFIXES = (PYTHON_PREFIX, TIMM_PREFIX, VIDEO_PREFIX)
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
        body: Maps normalised images [B, 3, S, S], or windows [B, 3, T, S, S], to features [B, D],
            in evaluation mode.
        weights_sha256: SHA-256 of the weights file, or of the drawn weights.
    """

    body: nn.Module
    weights_sha256: str


def get_backbone(name: str, weights: str | None = None) -> Backbone:
    """Return a backbone by name.

    Args:
        name: One of `BACKBONES`, any classifier of torchvision, `timm:NAME`, `video:NAME`, or
            `python:MODULE:FACTORY`, whose code is run.
        weights: What it is to be loaded with; another generation of published weights may want
            other images.

    Raises:
        UsageError: If there is none of that name, or it is not as its factory says.
        WeightsError: If the library that it comes from is not installed.
    """
    known = BACKBONES.get(name)
    # One word that is no file may name published weights of another generation.
    may_be_others = weights not in (None, IMAGENET_V1) and re.fullmatch(r"\w+", weights or "")
    if known is not None and (known.library == "package" or not may_be_others):
        return known
    library = name.partition(":")[0] if name.startswith(_PREFIXES) else "torchvision"
    describe = resolve_name(f"ta3n.extract.backbones.{_MODULES[library]}:describe")
    described: Backbone = describe(name, weights)
    return known if known is not None and described.pretrained == IMAGENET_V1 else described


def with_window(
    backbone: Backbone, length: int | None, step: int | None, pad: WindowPad | None
) -> Backbone:
    """Return a backbone with windows other than its own; None keeps what it has.

    Raises:
        UsageError: If it is of images, or its network does not take windows so long.
    """
    if length is None and step is None and pad is None:
        return backbone
    own = backbone.window
    if own is None:
        raise UsageError(
            f"backbone {backbone.name} makes features of single frames; --window, --window-step "
            "and --window-pad are for networks of clips, such as video:r3d_18"
        )
    window = Window(length or own.length, step or own.step, pad or own.pad)
    found = replace(backbone, window=window)
    if window.length != own.length:
        _check_length(found, own.length)
    return found


def _check_length(backbone: Backbone, own_length: int) -> None:
    sizes, library = backbone.input_shape[:-1], _library_of(backbone)
    try:
        shape = library.feature_shape(lambda: library.build(backbone), *sizes)
    except (Ta3nError, MemoryError):
        raise
    except Exception as error:  # networks fail in many ways
        raise UsageError(
            f"backbone {backbone.name} takes no windows of {sizes[0]} frames, its own are of "
            f"{own_length}: {first_line(error)}"
        ) from error
    if shape != (backbone.feature_dim,):
        raise UsageError(
            f"backbone {backbone.name} makes {list(shape)} of a window of {sizes[0]} frames, not "
            f"[{backbone.feature_dim}] as of its own {own_length}"
        )


def weights_identity(backbone: Backbone, weights: str) -> str:
    """Return what names the weights for good: file name with hash, file content, or seed.

    Args:
        weights: Name of its published weights, `random:SEED`, or a file.

    Raises:
        UsageError: If the seed is not a number, or of a network that comes trained.
        WeightsError: If the file is not there.
    """
    if backbone.is_published(weights):
        return f"{backbone.pretrained}:{backbone.pretrained_file}"
    if (seed := _seed_of(weights)) is not None:
        if backbone.library == "python" and backbone.pretrained:
            raise UsageError(
                f"backbone {backbone.name} comes with weights, so that {weights} draws none; leave "
                "--weights out, or name a file"
            )
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

    from ta3n.extract.backbones.library import check_weights, state_digest

    library = _library_of(backbone)
    is_published = backbone.is_published(weights)
    if (seed := _seed_of(weights)) is not None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = library.build(backbone)
        digest = state_digest(network)
    elif is_published and (built := library.built_with_weights(backbone)) is not None:
        network, digest = built, backbone.pretrained_file
    else:
        path = (
            library.published_file(backbone) if is_published else _existing_file(weights, backbone)
        )
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
        if not weights and not backbone.pretrained:
            raise WeightsError(
                f"backbone {backbone.name} comes without trained weights; name a file of them with "
                "--weights FILE, or random:0 for a trial"
            )
        published = f"neither {backbone.pretrained}, nor" if backbone.pretrained else "neither"
        raise WeightsError(f"weights {weights!r} are {published} random:SEED, nor an existing file")
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
