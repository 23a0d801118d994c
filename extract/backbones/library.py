"""Where networks come from: what each library does, and files of weights that any of them reads.

Nothing in a file of weights is ever run. Legend: B batch, D feature width, S side of the crop, T
frames of a window.
"""

import hashlib
import warnings
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Collection
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import nn

from ta3n.common.errors import WeightsError, first_line, printable, shorten
from ta3n.common.log import LOGGER
from ta3n.common.video import RgbImage
from ta3n.extract.backbones.base import Backbone

# Where people put a state dict among other things.
_WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model", "network", "net", "weights")
# How names begin of parameters that were saved from `DataParallel` or a compiled network.
_WRAPPED = ("module.", "_orig_mod.")
# What other programs call the network, or its part that makes features, inside of theirs.
_PARTS = (
    *("module", "_orig_mod", "model", "network", "net", "backbone", "encoder", "encoder_q"),
    *("base_encoder", "base_model", "feature_extractor", "student"),
)


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

    def built_with_weights(self, backbone: Backbone) -> nn.Module | None:  # noqa: ARG002
        """Return the network with its published weights where those are in no file, else None."""
        return None

    def load(self, backbone: Backbone, path: Path, _digest: str) -> nn.Module:
        """Return the network with the weights of a file.

        Parameters of the classifier may be missing, of another shape, or left over: it is not part
        of the features, so that any number of classes will do.

        Raises:
            WeightsError: If the file cannot be read, or is of another network.
        """
        network = self.build(backbone)
        ignored = (*self.classifier(network), *backbone.unused)
        whole = without_prefix(read_state(path), network.state_dict(), ignored, path)
        state = OrderedDict((k, v) for k, v in whole.items() if not k.startswith(ignored))
        own_versions = network.state_dict()._metadata  # type: ignore[attr-defined]
        versions = getattr(whole, "_metadata", None) or own_versions
        state._metadata = versions  # type: ignore[attr-defined]
        own = {k: v for k, v in network.state_dict().items() if not k.startswith(ignored)}
        # Files of 2018 and before count no batches, and nobody here does.
        needed = {k: v for k, v in own.items() if not k.endswith(".num_batches_tracked")}
        missing = [k for k, v in needed.items() if k not in state or state[k].shape != v.shape]
        unexpected = [key for key in state if key not in own]
        if missing or unexpected:
            raise WeightsError(
                f"weights {path} are not of {backbone.name}: {len(missing)} parameters are missing "
                f"(such as {missing[0] if missing else 'none'}), {len(unexpected)} do not belong "
                f"(such as {printable(unexpected[0]) if unexpected else 'none'})"
            )
        network.load_state_dict(state, strict=False)
        return network

    def geometry(self, backbone: Backbone) -> Callable[[RgbImage], RgbImage]:
        """See `geometry_of`."""
        raise NotImplementedError(f"no transform comes with {backbone.name}")

    def feature_shape(self, build: Callable[[], nn.Module], *sizes: int) -> tuple[int, ...]:
        """Return the shape of what a network makes of one input, without the batch.

        It is built where tensors hold no data, which takes neither memory nor time, and once more
        with data if the network computes while it is built.

        Args:
            sizes: S and S of an image; T before them for a window.
        """

        def shape() -> tuple[int, ...]:
            network = build()
            self.remove_classifier(network)
            with torch.inference_mode():
                features: torch.Tensor = network.eval()(torch.zeros(1, 3, *sizes))
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
    except (UnpicklingError, RuntimeError) as error:
        if not any(word in str(error) for word in ("Unsupported ", "TorchScript")):
            raise _unreadable(path, error) from error
        raise WeightsError(
            f"weights {path} cannot be read: they hold a whole network or other objects, and "
            "reading those would run code from the file; save network.state_dict() instead"
        ) from error
    except Exception as error:
        raise _unreadable(path, error) from error
    while isinstance(state, dict) and (
        inside := [w for w in _WRAPPERS if isinstance(state.get(w), dict)]
    ):
        state = state[inside[0]]
    entries = [printable(str(key)) for key in state] if isinstance(state, dict) else []
    if not entries or not all(isinstance(v, torch.Tensor) for v in state.values()):
        held = f", but {shorten(entries, 5)}" if entries else ""
        raise WeightsError(
            f"weights {path} hold no state dict of tensors{held}; save network.state_dict(), alone "
            f"or as {' or '.join(_WRAPPERS[:2])}"
        )
    return _renamed(state, lambda key: _unwrapped(str(key)))


def without_prefix(
    state: dict[str, torch.Tensor], own: Collection[str], ignored: tuple[str, ...], path: Path
) -> dict[str, torch.Tensor]:
    """Return a state dict by the names of the network, where another program put it inside its own.

    A prefix is taken off, and what has none is left out, if every parameter is found under it; a
    line says so. It is one that is known, or one that all names share.

    Args:
        own: Names of the network's parameters.
        ignored: How those begin that may be missing.
        path: The file, for the line.
    """
    wanted = [key for key in own if not key.startswith(ignored)]
    if not wanted or wanted[0] in state:
        return state
    last = f".{wanted[0]}"
    prefixes = [key.removesuffix(last) for key in state if key.endswith(last)]
    fitting = [p for p in prefixes if all(f"{p}.{key}" in state for key in wanted)]
    for prefix in sorted(fitting, key=len):

        def rename(key: str, start: str = f"{prefix}.") -> str | None:
            return key.removeprefix(start) if key.startswith(start) else None

        inside = _renamed(state, rename)
        if len(inside) < len(state) and not set(prefix.split(".")) <= set(_PARTS):
            continue
        others = len(state) - len(inside)
        LOGGER.info(
            "weights %s: the names of %d parameters begin with %s, which is taken off%s",
            path,
            len(inside),
            printable(f"{prefix}."),
            f"; {others} others are no part of the network and are left out" if others else "",
        )
        return inside
    return state


def _renamed(
    state: dict[str, torch.Tensor], rename: Callable[[str], str | None]
) -> dict[str, torch.Tensor]:
    """Return a state dict by other names, without what gets none."""
    names = ((rename(key), value) for key, value in state.items())
    found = OrderedDict((key, value) for key, value in names if key is not None)
    # Versions of layers, which some insist on.
    if (versions := getattr(state, "_metadata", None)) is not None:
        layers = ((rename(f"{key}."), value) for key, value in versions.items())
        found._metadata = {  # type: ignore[attr-defined]
            key.removesuffix("."): value for key, value in layers if key is not None
        }
    return found


def state_digest(network: nn.Module) -> str:
    """Return the SHA-256 of all values of a network."""
    digest = hashlib.sha256()
    for value in network.state_dict().values():
        flat = value.detach().cpu().contiguous().reshape(-1)
        # Not every kind of number is NumPy's.
        digest.update(flat.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def check_weights(network: nn.Module, path: Path | str) -> None:
    """Refuse weights that give no numbers: fused operators would make zeros of them, silently.

    Raises:
        WeightsError: A parameter, or a statistic of batch norm, is not finite, or a variance is
            negative.
    """
    statistics = ((n, b) for n, b in network.named_buffers() if "running_" in n)
    for name, value in (*network.named_parameters(), *statistics):
        num_bad = value.numel() - int(value.isfinite().sum())
        is_variance = name.endswith("running_var")
        if num_bad or (is_variance and bool((value < 0).any())):
            what = f"{num_bad} of its {value.numel()} values are" if num_bad else "a variance is"
            raise WeightsError(
                f"weights {path}: the parameter {name} is unusable, {what} "
                f"{'not finite' if num_bad else 'negative'}; take weights from before training "
                "diverged"
            )


def _unwrapped(key: str) -> str:
    while key.startswith(_WRAPPED):
        key = key.removeprefix(_WRAPPED[0]).removeprefix(_WRAPPED[1])
    return key


def _unreadable(path: Path, error: Exception) -> WeightsError:
    first = first_line(error)
    # The one's text is about options of torch.load, the other's is a number that is no place in it.
    if isinstance(error, UnpicklingError | LookupError):
        first = "it is damaged, or no file that torch.save wrote"
    return WeightsError(f"weights {path} cannot be read: {first}")


def _read(path: Path) -> Any:
    if path.suffix != ".safetensors":
        with warnings.catch_warnings():  # about TorchScript, which the error is about as well
            warnings.simplefilter("ignore", UserWarning)
            return torch.load(path, map_location="cpu", weights_only=True)
    try:
        from safetensors.torch import load_file
    except ImportError as error:
        raise WeightsError("it needs a package: pip install 'ta3n[timm]'") from error
    return load_file(path)
