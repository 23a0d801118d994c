"""The profiles: how a frame becomes the network's input, and in which precision it runs.

Nothing heavy is imported here: a finished folder is recognised in a moment.
"""

from typing import TYPE_CHECKING, Literal

from ta3n.common.errors import UsageError
from ta3n.common.records import FeatureConfig
from ta3n.extract.backbones import Backbone, get_backbone, weights_identity

if TYPE_CHECKING:
    from ta3n.extract.job.settings import ExtractSettings

CompilePolicy = Literal["auto", "on", "off"]

_LIBRARIES = ("torchvision", "timm")


def profile_of(profile: str | None, backbone: Backbone) -> str:
    """Return the profile to use: the one asked for, else the backbone's.

    Raises:
        UsageError: If the transform of a library is asked for that the backbone is not of.
    """
    if profile is None:
        return backbone.default_profile
    if profile in _LIBRARIES and profile != backbone.library:
        others = dict.fromkeys((backbone.default_profile, "ta3n", "fast"))
        raise UsageError(
            f"profile {profile} is the transform that {profile} gives with its weights, but "
            f"{backbone.name} is not {profile}'s; use profile {' or '.join(others)}"
        )
    return profile


def has_library_transform(profile: str, backbone: Backbone) -> bool:
    """Say whether frames get the library's transform, not the paper's.

    `fast` has the pixels of the backbone's own profile.
    """
    return (backbone.default_profile if profile == "fast" else profile) in _LIBRARIES


def transform_of(profile: str, backbone: Backbone) -> str:
    """Return the library's transform in words where a profile uses it, else nothing."""
    return backbone.transform if has_library_transform(profile, backbone) else ""


def feature_config(
    settings: "ExtractSettings", dataset: str
) -> tuple[Backbone, str, FeatureConfig]:
    """Return the backbone, its weights as they are to be loaded, and what makes the features.

    Args:
        settings: Of stage one.
        dataset: Full name of the dataset.

    Raises:
        UsageError: If there is no such backbone, or its library does not give the profile.
        WeightsError: If a file of weights, or the backbone's library, is not there.
    """
    backbone = get_backbone(settings.backbone, settings.weights)
    weights = backbone.pretrained if settings.weights is None else settings.weights
    profile = profile_of(settings.profile, backbone)
    config = FeatureConfig(
        dataset=dataset,
        backbone=backbone.name,
        weights=weights_identity(backbone, weights),
        profile=profile,
        transform=transform_of(profile, backbone),
        image_size=backbone.image_size,
        frames=settings.frames,
        feature_dim=backbone.feature_dim,
        timing=settings.timing,
    )
    return backbone, weights, config
