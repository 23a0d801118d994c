"""Torchvision's classifiers of clips, without their last layer."""

from typing import Any

import torchvision.models.video
from torchvision.models import get_model, get_model_weights, list_models

from ta3n.common.errors import UsageError, did_you_mean
from ta3n.common.sampling import Window
from ta3n.extract.backbones.base import VIDEO_PREFIX, Backbone
from ta3n.extract.backbones.from_torchvision import LIBRARY, file_name

# Frames of a clip where they are not 16: as torchvision says of the published weights, for S3D as
# its paper does (Xie et al., ECCV 2018).
_FRAMES = {"s3d": 64, "swin3d_t": 32, "swin3d_s": 32, "swin3d_b": 32}
_USUAL_FRAMES = 16


def names() -> list[str]:
    """Return the names of torchvision's classifiers of clips."""
    return list(list_models(module=torchvision.models.video))


def describe(name: str, weights: str | None) -> Backbone:
    """Return what is known of a classifier, with windows as long as the clips of its weights.

    Args:
        name: `video:` with its name.
        weights: Name of published weights in any case; what is no such name means the first.

    Raises:
        UsageError: If torchvision has none of that name.
    """
    bare = name.removeprefix(VIDEO_PREFIX)
    if bare not in names():
        raise UsageError(
            f"torchvision has no classifier of clips {bare!r}{did_you_mean(bare, names())}; use "
            f"one of {', '.join(names())}"
        )
    choices = {choice.name.lower(): choice for choice in get_model_weights(bare)}
    asked = (weights or "").lower()
    pretrained = asked if asked in choices else next(iter(choices))
    preset = choices[pretrained].transforms()
    size, num_frames = int(preset.crop_size[0]), _FRAMES.get(bare, _USUAL_FRAMES)
    (feature_dim,) = LIBRARY.feature_shape(lambda: get_model(bare), num_frames, size, size)
    return Backbone(
        name=name,
        library="video",
        feature_dim=feature_dim,
        pretrained=pretrained,
        pretrained_file=file_name(choices[pretrained]),
        transform=_in_words(preset),
        default_profile="torchvision",
        image_size=size,
        mean=tuple(preset.mean),
        std=tuple(preset.std),
        window=Window(num_frames),
    )


def _in_words(preset: Any) -> str:
    sides = preset.resize_size
    resized = f"short side to {sides[0]}" if len(sides) == 1 else f"{sides[1]} by {sides[0]}"
    return f"{resized} {preset.interpolation.value}, centre {preset.crop_size[0]}"
