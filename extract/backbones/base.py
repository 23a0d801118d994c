"""What is known of a network before it is built.

Nothing heavy is imported here: a finished folder is recognised in a moment.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ta3n.common.errors import UsageError

_LIBRARIES = ("torchvision", "timm")

IMAGENET_V1 = "imagenet1k_v1"
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
IMAGE_SIZE = 224
"""Side of the crop that the paper's features are of, in pixels."""

TIMM_PREFIX = "timm:"
"""Begins the names of timm's models."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backbone:
    """A network without its classifier.

    Attributes:
        name: As in records: `resnet101`, or `timm:` with the name of a model and its weights.
        library: Where it comes from.
        feature_dim: D.
        pretrained: Name of its published weights.
        pretrained_file: Their file; torchvision's end with the first digits of their SHA-256.
        transform: The transform that its library gives with the weights, in words; empty where the
            profile's name says it, as for the paper's networks.
        default_profile: The profile where none is asked for.
        image_size: Side of the square crop in pixels.
        mean: Subtracted from pixels in 0 to 1, a value a channel.
        std: Divides them after that.
    """

    name: str
    library: Literal["torchvision", "timm", "package"]
    feature_dim: int
    pretrained: str
    pretrained_file: str
    transform: str = ""
    default_profile: str = "ta3n"
    image_size: int = IMAGE_SIZE
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD

    @property
    def hash_prefix(self) -> str:
        """First hexadecimal digits of the SHA-256 of the published weights; empty if unknown."""
        # timm's files are named after their model, not after their content.
        return "" if self.library == "timm" else Path(self.pretrained_file).stem.rpartition("-")[2]

    def is_published(self, weights: str) -> bool:
        """Say whether these are its published weights, by name."""
        return weights.lower() == self.pretrained.lower()

    def profile_of(self, asked: str | None) -> str:
        """Return the profile to use: the one asked for, else its own.

        Profiles say how a frame becomes the network's input, and in which precision it runs.

        Raises:
            UsageError: If the transform of a library is asked for that it is not of.
        """
        if asked is None:
            return self.default_profile
        if asked in _LIBRARIES and asked != self.library:
            others = dict.fromkeys((self.default_profile, "ta3n", "fast"))
            raise UsageError(
                f"profile {asked} is the transform that {asked} gives with its weights, but "
                f"{self.name} is not {asked}'s; use profile {' or '.join(others)}"
            )
        return asked

    def has_library_transform(self, profile: str) -> bool:
        """Say whether frames get the library's transform in a profile, not the paper's.

        `fast` has the pixels of the backbone's own profile.
        """
        return (self.default_profile if profile == "fast" else profile) in _LIBRARIES

    def transform_of(self, profile: str) -> str:
        """Return the library's transform in words where a profile uses it, else nothing."""
        return self.transform if self.has_library_transform(profile) else ""
