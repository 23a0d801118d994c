"""What is known of a network before it is built.

Nothing heavy is imported here: a finished folder is recognised in a moment.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ta3n.common.errors import UsageError
from ta3n.common.sampling import Window

_LIBRARIES = ("torchvision", "timm", "own")

IMAGENET_V1 = "imagenet1k_v1"
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
IMAGE_SIZE = 224
"""Side of the crop that the paper's features are of, in pixels."""

TIMM_PREFIX = "timm:"
"""Begins the names of timm's models."""
VIDEO_PREFIX = "video:"
"""Begins the names of torchvision's classifiers of clips."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backbone:
    """A network without its classifier.

    Attributes:
        name: As in records: `resnet101`, or `timm:` with the name of a model and its weights,
            `video:r3d_18`, `python:my_network.py:build`.
        library: Where it comes from.
        feature_dim: D.
        pretrained: Name of its published weights; empty if it has none.
        pretrained_file: Their file; torchvision's end with the first digits of their SHA-256.
        transform: The transform that its library gives with the weights, in words; empty where the
            profile's name says it, as for the paper's networks.
        default_profile: The profile where none is asked for.
        image_size: Side of the square crop in pixels.
        mean: Subtracted from pixels in 0 to 1, a value a channel.
        std: Divides them after that.
        window: The frames that it takes at a time; None for a network of images.
        unused: How names in a file of its weights begin that are no part of the features, besides
            those of the classifier.
        source: SHA-256 of its code, where that is the user's own.
        location: Where that code is found: a file, or a module.
    """

    name: str
    library: Literal["torchvision", "timm", "package", "video", "python"]
    feature_dim: int
    pretrained: str
    pretrained_file: str
    transform: str = ""
    default_profile: str = "ta3n"
    image_size: int = IMAGE_SIZE
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    window: Window | None = None
    unused: tuple[str, ...] = ()
    source: str = ""
    location: str = ""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """What it makes a row of: a crop, (S, S, 3), or T of them, (T, S, S, 3)."""
        crop = (self.image_size, self.image_size, 3)
        return crop if self.window is None else (self.window.length, *crop)

    @property
    def hash_prefix(self) -> str:
        """First hexadecimal digits of the SHA-256 of the published weights; empty if unknown."""
        # timm's files are named after their model, not after their content.
        is_named = self.library not in ("timm", "python")
        return Path(self.pretrained_file).stem.rpartition("-")[2] if is_named else ""

    def is_published(self, weights: str) -> bool:
        """Say whether these are its published weights, by name."""
        return bool(self.pretrained) and weights.lower() == self.pretrained.lower()

    def profile_of(self, asked: str | None) -> str:
        """Return the profile to use: the one asked for, else its own.

        Profiles say how a frame becomes the network's input, and in which precision it runs.

        Raises:
            UsageError: If the transform of a library is asked for that it is not of.
        """
        if asked is None:
            return self.default_profile
        library = "torchvision" if self.library in ("torchvision", "video") else self.library
        if asked in _LIBRARIES and asked not in (library, self.default_profile):
            others = dict.fromkeys((self.default_profile, "ta3n", "fast"))
            what = (
                "the transform that comes with a network python:MODULE:FACTORY, which"
                f" {self.name} has not"
                if asked == "own"
                else f"the transform that {asked} gives with its weights, but {self.name} is not "
                f"{asked}'s"
            )
            raise UsageError(f"profile {asked} is {what}; use profile {' or '.join(others)}")
        return asked

    def has_library_transform(self, profile: str) -> bool:
        """Say whether frames get the library's transform in a profile, not the paper's.

        `fast` has the pixels of the backbone's own profile.
        """
        return (self.default_profile if profile == "fast" else profile) in _LIBRARIES

    def transform_of(self, profile: str) -> str:
        """Return the library's transform in words where a profile uses it, else nothing."""
        return self.transform if self.has_library_transform(profile) else ""
