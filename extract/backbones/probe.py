"""How wide the features of a network are, without its weights."""

from collections.abc import Callable

import torch
from torch import nn


def feature_shape(build: Callable[[], nn.Module], image_size: int) -> tuple[int, ...]:
    """Return the shape of what a network makes of one image, without the batch.

    Args:
        build: Returns the network; it is called where tensors hold no data, which takes neither
            memory nor time, and once more with data if the network computes while it is built.
        image_size: Side of the image in pixels.
    """
    try:
        with torch.device("meta"):
            features = _features(build(), image_size)
    except (NotImplementedError, RuntimeError):
        features = _features(build(), image_size)
    return tuple(features.shape[1:])


def _features(network: nn.Module, image_size: int) -> torch.Tensor:
    with torch.inference_mode():
        features: torch.Tensor = network.eval()(torch.zeros(1, 3, image_size, image_size))
    return features
