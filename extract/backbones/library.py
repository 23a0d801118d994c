"""Where networks come from: what each library does, and files of weights that any of them reads.

Nothing in a file of weights is ever run. Legend: B batch, D feature width, S side of the crop.
"""

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ta3n.common.errors import WeightsError
from ta3n.common.video import RgbImage
from ta3n.extract.backbones.base import Backbone

# Where people put a state dict among other things.
_WRAPPERS = ("state_dict", "model")
# How names begin of parameters that were saved from `DataParallel`.
_WRAPPED = "module."


class Library(ABC):
    """Builds the networks of a library and loads their weights."""

    @abstractmethod
    def build(self, backbone: Backbone) -> nn.Module:
        """Return the network with random weights and its classifier.

        Raises:
            WeightsError: If the library is not installed.
        """

    @abstractmethod
    def classifier(self, network: Any) -> tuple[str, ...]:
        """Return how the names of parameters begin that are no part of the features."""

    @abstractmethod
    def remove_classifier(self, network: Any) -> None:
        """Change the network in place, so that it gives features."""

    @abstractmethod
    def published_file(self, backbone: Backbone) -> Path:
        """Return the file of the published weights, fetched if need be.

        Raises:
            WeightsError: If it is not there and cannot be fetched.
        """

    def load(self, backbone: Backbone, path: Path, _digest: str) -> nn.Module:
        """Return the network with the weights of a file.

        Parameters of the classifier may be missing, of another shape, or left over: it is not part
        of the features, so that any number of classes will do.

        Raises:
            WeightsError: If the file cannot be read, or is of another network.
        """
        network = self.build(backbone)
        ignored = self.classifier(network)
        whole = read_state(path)
        state = OrderedDict((k, v) for k, v in whole.items() if not k.startswith(ignored))
        own_versions = network.state_dict()._metadata  # type: ignore[attr-defined]
        versions = getattr(whole, "_metadata", None) or own_versions
        state._metadata = versions  # type: ignore[attr-defined]
        own = {k: v for k, v in network.state_dict().items() if not k.startswith(ignored)}
        missing = [k for k, v in own.items() if k not in state or state[k].shape != v.shape]
        unexpected = [key for key in state if key not in own]
        if missing or unexpected:
            raise WeightsError(
                f"weights {path} are not of {backbone.name}: {len(missing)} parameters are missing "
                f"(such as {missing[0] if missing else 'none'}), {len(unexpected)} do not belong "
                f"(such as {unexpected[0] if unexpected else 'none'})"
            )
        network.load_state_dict(state, strict=False)
        return network

    def geometry(self, backbone: Backbone) -> Callable[[RgbImage], RgbImage]:
        """See `geometry_of`."""
        raise NotImplementedError(f"no transform comes with {backbone.name}")

    def feature_shape(self, build: Callable[[], nn.Module], image_size: int) -> tuple[int, ...]:
        """Return the shape of what a network makes of one image, without the batch.

        It is built where tensors hold no data, which takes neither memory nor time, and once more
        with data if the network computes while it is built.
        """

        def shape() -> tuple[int, ...]:
            network = build()
            self.remove_classifier(network)
            with torch.inference_mode():
                features: torch.Tensor = network.eval()(torch.zeros(1, 3, image_size, image_size))
            return tuple(features.shape[1:])

        try:
            with torch.device("meta"):
                return shape()
        except (NotImplementedError, RuntimeError):
            return shape()


def hub_path(backbone: Backbone) -> Path:
    """Return where torch caches the published weights, or where they may be brought to."""
    return Path(torch.hub.get_dir()) / "checkpoints" / backbone.pretrained_file


def not_downloaded(backbone: Backbone, reason: str, url: str) -> WeightsError:
    """Return the error for published weights that could not be fetched."""
    return WeightsError(
        f"the weights of {backbone.name} could not be downloaded ({reason}); on a machine with a "
        f"network fetch {url}, then put the file at {hub_path(backbone)} or name it with "
        "--weights FILE"
    )


def read_state(path: Path) -> dict[str, torch.Tensor]:
    """Return a state dict from a file of `safetensors` or torch, in any form that people save.

    Raises:
        WeightsError: If it cannot be read, or holds no state dict.
    """
    try:
        state = _read(path)
    except Exception as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(f"weights {path} cannot be read: {first}") from error
    for wrapper in _WRAPPERS:
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    is_state = isinstance(state, dict) and len(state) > 0
    if not is_state or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise WeightsError(f"weights {path} hold no state dict of tensors")
    found = OrderedDict((str(key).removeprefix(_WRAPPED), value) for key, value in state.items())
    # Versions of layers, which some insist on.
    if (versions := getattr(state, "_metadata", None)) is not None:
        found._metadata = {  # type: ignore[attr-defined]
            f"{key}.".removeprefix(_WRAPPED).removesuffix("."): value
            for key, value in versions.items()
        }
    return found


def _read(path: Path) -> Any:
    if path.suffix != ".safetensors":
        return torch.load(path, map_location="cpu", weights_only=True)
    try:
        from safetensors.torch import load_file
    except ImportError as error:
        raise WeightsError("it needs a package: pip install 'ta3n[timm]'") from error
    return load_file(path)
