"""The profiles: how a frame becomes the network's input, and in which precision it runs.

Nothing heavy is imported here: a finished folder is recognised in a moment.
"""

from typing import Literal

from ta3n.common.errors import UsageError
from ta3n.extract.backbones import Backbone

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
