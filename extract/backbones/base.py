"""What is known of a network before it is built.

Nothing heavy is imported here: a finished folder is recognised in a moment.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ta3n.common.errors import UsageError, WeightsError

if TYPE_CHECKING:
    from torch import nn

Library = Literal["torchvision", "timm", "package"]

IMAGENET_V1 = "imagenet1k_v1"
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
IMAGE_SIZE = 224
"""Side of the crop that the paper's features are of, in pixels."""

TIMM_PREFIX = "timm:"
"""Begins the names of timm's models."""

_RANDOM = "random:"
_LARGEST_SEED = 2**63 - 1


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
    library: Library
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


@dataclass(frozen=True, slots=True)
class LoadedBackbone:
    """A network ready for `FeatureNetwork`.

    Attributes:
        body: Maps normalised images [B, 3, S, S] to features [B, D], in evaluation mode.
        weights_sha256: SHA-256 of the weights file, or of the drawn weights.
    """

    body: nn.Module
    weights_sha256: str


def is_random(weights: str) -> bool:
    """Say whether weights are to be drawn."""
    return weights.startswith(_RANDOM)


def seed_of(weights: str) -> int:
    """Return the seed of `random:SEED`.

    Raises:
        UsageError: If it is no number.
    """
    seed = weights.removeprefix(_RANDOM)
    if not (seed.isascii() and seed.isdigit() and int(seed) <= _LARGEST_SEED):
        raise UsageError(
            f"weights {weights!r} need a whole number below 2**63 as seed, such as random:0"
        )
    return int(seed)


def existing_file(weights: str, backbone: Backbone) -> Path:
    """Return a weights file that is there.

    Raises:
        WeightsError: If there is none of that name.
    """
    # A home that is nobody's stays as it is, and then is no file.
    path = Path(os.path.expanduser(weights))  # noqa: PTH111  pathlib's raises there
    if not path.is_file():
        raise WeightsError(
            f"weights {weights!r} are neither {backbone.pretrained}, nor random:SEED, nor an "
            "existing file"
        )
    return path


def hub_path(backbone: Backbone) -> Path:
    """Return where torch caches the published weights, or where they may be brought to."""
    import torch

    return Path(torch.hub.get_dir()) / "checkpoints" / backbone.pretrained_file


def not_downloaded(backbone: Backbone, reason: str, url: str) -> WeightsError:
    """Return the error for published weights that could not be fetched."""
    return WeightsError(
        f"the weights of {backbone.name} could not be downloaded ({reason}); on a machine with a "
        f"network fetch {url}, then put the file at {hub_path(backbone)} or name it with "
        "--weights FILE"
    )


def check_digest(path: Path, digest: str, backbone: Backbone) -> None:
    """Refuse a file that is not the published one.

    Raises:
        WeightsError: If its SHA-256 does not start as its name says.
    """
    if not digest.startswith(backbone.hash_prefix):
        raise WeightsError(
            f"{path} is damaged: its SHA-256 starts with {digest[:8]}, not {backbone.hash_prefix}; "
            "remove it and run again"
        )
