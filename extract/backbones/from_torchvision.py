"""Any classifier of torchvision, of images or of clips, without its last layer."""

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import numpy as np
import torch
import torchvision.models.video
from PIL import Image
from torch import nn
from torchvision.models import get_model, get_model_weights, list_models
from torchvision.transforms import functional

from ta3n.common.errors import UsageError, did_you_mean
from ta3n.common.sampling import Window
from ta3n.common.video import RgbImage
from ta3n.extract.backbones.base import IMAGENET_V1, VIDEO_PREFIX, Backbone
from ta3n.extract.backbones.library import Library, hub_path, not_downloaded

# Classifiers that training alone uses; files of weights have them, networks here do not.
_AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")
# Frames of a clip where they are not 16: as torchvision says of the published weights, for S3D as
# its paper does (Xie et al., ECCV 2018).
_FRAMES = {"s3d": 64, "swin3d_t": 32, "swin3d_s": 32, "swin3d_b": 32}
_USUAL_FRAMES = 16


def names() -> list[str]:
    """Return the names of torchvision's classifiers of images."""
    return list(list_models(module=torchvision.models))


def video_names() -> list[str]:
    """Return the names of torchvision's classifiers of clips."""
    return list(list_models(module=torchvision.models.video))


def describe(name: str, weights: str | None) -> Backbone:
    """Return what is known of a classifier; windows are as long as the clips of its weights.

    Args:
        name: Of a classifier of images, or `video:` with that of one of clips.
        weights: Name of published weights in any case; what is no such name means the first
            generation (`imagenet1k_v1`), or what there is instead.

    Raises:
        UsageError: If torchvision has no classifier of that name.
    """
    bare = name.removeprefix(VIDEO_PREFIX)
    is_video = bare != name
    _check_known(bare, is_video=is_video)
    choices = {choice.name.lower(): choice for choice in get_model_weights(bare)}
    # For detectors, without a part of the classifier.
    choices = {key: choice for key, choice in choices.items() if not key.endswith("_features")}
    fallback = IMAGENET_V1 if IMAGENET_V1 in choices else next(iter(choices))
    pretrained = (weights or "").lower()
    if pretrained not in choices:
        pretrained = fallback
    preset = choices[pretrained].transforms()
    size = int(preset.crop_size[0])
    window = Window(_FRAMES.get(bare, _USUAL_FRAMES)) if is_video else None
    sizes = (size, size) if window is None else (window.length, size, size)
    (feature_dim,) = LIBRARY.feature_shape(lambda: _build(bare, size), *sizes)
    return Backbone(
        name=name,
        library="video" if is_video else "torchvision",
        feature_dim=feature_dim,
        pretrained=pretrained,
        pretrained_file=_file_name(choices[pretrained]),
        transform=transform_in_words(preset),
        default_profile="torchvision",
        image_size=size,
        mean=tuple(preset.mean),
        std=tuple(preset.std),
        window=window,
    )


def _check_known(bare: str, *, is_video: bool) -> None:
    if is_video and bare not in video_names():
        raise UsageError(
            f"torchvision has no classifier of clips {bare!r}{did_you_mean(bare, video_names())}; "
            f"use one of {', '.join(video_names())}"
        )
    if not is_video and bare not in names():
        # The first is no classifier of torchvision, but may be meant.
        nearest = did_you_mean(bare, ["efficientnet_lite0", *names()])
        raise UsageError(
            f"backbone {bare!r} is not known{nearest}; it is one of torchvision's classifiers, "
            "efficientnet_lite0, timm:NAME, video:NAME, or python:MODULE:FACTORY"
        )


def transform_in_words(preset: Any) -> str:
    """Return in words what `transforms` of published weights gives for classification."""
    sides = preset.resize_size
    resized = f"short side to {sides[0]}" if len(sides) == 1 else f"{sides[1]} by {sides[0]}"
    antialias = ", antialiased" if getattr(preset, "antialias", False) else ""
    return f"{resized} {preset.interpolation.value}{antialias}, centre {preset.crop_size[0]}"


class _TorchVision(Library):
    def build(self, backbone: Backbone) -> nn.Module:
        return _build(_name(backbone), backbone.image_size)

    def classifier(self, network: nn.Module) -> tuple[str, ...]:
        return (f"{head_of(network)[0]}.", *_AUXILIARY)

    def remove_classifier(self, network: nn.Module) -> None:
        parent, _, child = head_of(network)[0].rpartition(".")
        setattr(network.get_submodule(parent), child, nn.Identity())

    def load(self, backbone: Backbone, path: Path, digest: str) -> nn.Module:
        # A published file is loaded as torchvision does.
        if digest.startswith(backbone.hash_prefix):
            return _load_published(backbone, path)
        return super().load(backbone, path, digest)

    def published_file(self, backbone: Backbone) -> Path:
        path = hub_path(backbone)
        if path.is_file():
            return path
        url = _weights_of(backbone).url
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(path), backbone.hash_prefix, progress=False)
        except (OSError, RuntimeError) as error:
            raise not_downloaded(backbone, str(error), url) from error
        return path

    def geometry(self, backbone: Backbone) -> Callable[[RgbImage], RgbImage]:
        crop_as = _crop_frame_of_clip if backbone.library == "video" else _crop_image
        return partial(crop_as, preset=_weights_of(backbone).transforms())


LIBRARY = _TorchVision()
"""The classifiers of torchvision."""


def _crop_image(pixels: RgbImage, preset: Any) -> RgbImage:
    image = functional.resize(
        Image.fromarray(pixels),
        preset.resize_size,
        interpolation=preset.interpolation,
        antialias=preset.antialias,
    )
    return np.asarray(functional.center_crop(image, preset.crop_size))


def _crop_frame_of_clip(pixels: RgbImage, preset: Any) -> RgbImage:
    # Tensors share only memory that may be written to.
    frame = torch.from_numpy(np.require(pixels, requirements="W")).permute(2, 0, 1)
    resized = functional.resize(
        frame, preset.resize_size, interpolation=preset.interpolation, antialias=False
    )
    cropped = functional.center_crop(resized, preset.crop_size)
    return np.ascontiguousarray(cropped.permute(1, 2, 0).numpy())


def _build(name: str, image_size: int) -> nn.Module:
    options: dict[str, Any] = {}
    if name in ("googlenet", "inception_v3"):
        # Without its auxiliary classifiers, and with the input that its published weights want.
        options = {"aux_logits": False, "init_weights": False, "transform_input": True}
    if name.startswith("vit_"):
        options["image_size"] = image_size
    network: nn.Module = get_model(name, weights=None, **options)
    return network


def _load_published(backbone: Backbone, path: Path) -> nn.Module:
    """Let torchvision load a file: some networks differ, or rename parameters, with its weights."""
    # `set_dir` with what `get_dir` returned would hold that folder against a later TORCH_HOME.
    before = torch.hub._hub_dir
    with tempfile.TemporaryDirectory(prefix="ta3n-") as folder:
        link = Path(folder) / "checkpoints" / _file_name(_weights_of(backbone))
        link.parent.mkdir()
        link.symlink_to(path.absolute())
        torch.hub.set_dir(folder)
        try:
            network: nn.Module = get_model(_name(backbone), weights=_weights_of(backbone))
        finally:
            torch.hub._hub_dir = before
    return network


def head_of(network: nn.Module) -> tuple[str, nn.Module]:
    """Return name and module of the classifying layer: the last linear one, or convolution."""
    modules = list(network.named_modules())
    # SqueezeNet and S3D classify with a convolution.
    for kind in (nn.Linear, nn.Conv2d, nn.Conv3d):
        if layers := [(name, module) for name, module in modules if isinstance(module, kind)]:
            return layers[-1]
    raise AssertionError("classifiers have layers")


def _file_name(published: Any) -> str:
    return Path(urlparse(published.url).path).name


def _weights_of(backbone: Backbone) -> Any:
    """Return what torchvision knows of a backbone's published weights."""
    return get_model_weights(_name(backbone))[backbone.pretrained.upper()]


def _name(backbone: Backbone) -> str:
    return backbone.name.removeprefix(VIDEO_PREFIX)
