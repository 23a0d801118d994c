"""Files of weights, read without running anything in them, and whether they fit a network."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ta3n.common.errors import WeightsError

if TYPE_CHECKING:
    import torch
    from torch import nn

# Where people put a state dict among other things.
_WRAPPERS = ("state_dict", "model")


def read_state(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a state dict by name, in any of the forms in which people save it.

    Args:
        path: A `.safetensors` file, or one of `torch.save`.

    Raises:
        WeightsError: If it cannot be read, or holds no state dict.
    """
    try:
        state = _read(path)
    except Exception as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(f"weights {path} cannot be read: {first}") from error
    return _plain(state, path)


def _read(path: Path) -> Any:
    import torch

    if path.suffix != ".safetensors":
        return torch.load(path, map_location="cpu", weights_only=True)
    try:
        from safetensors.torch import load_file
    except ImportError as error:
        raise WeightsError("it needs a package: pip install 'ta3n[timm]'") from error
    return load_file(path)


def _plain(state: Any, path: Path) -> dict[str, torch.Tensor]:
    import torch

    for wrapper in _WRAPPERS:
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    is_state = isinstance(state, dict) and len(state) > 0
    if not is_state or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise WeightsError(f"weights {path} hold no state dict of tensors")
    return _renamed(state, lambda key: str(key).removeprefix("module."))


def _renamed(state: Any, rename: Callable[[Any], str]) -> dict[str, torch.Tensor]:
    """Return a state dict with other keys; versions of layers, which some insist on, are kept."""
    found = OrderedDict((rename(key), value) for key, value in state.items())
    versions = getattr(state, "_metadata", None)
    if versions is not None:
        renamed = {rename(f"{key}.").removesuffix("."): value for key, value in versions.items()}
        found._metadata = renamed  # type: ignore[attr-defined]
    return found


def load_into(network: nn.Module, path: Path, *, name: str, ignored: tuple[str, ...] = ()) -> None:
    """Put the weights of a file into a network.

    Args:
        network: Changed in place.
        path: File with a state dict.
        name: Of the network, for messages.
        ignored: Beginnings of parameter names that may be missing, of another shape, or left over:
            the classifier is not part of the features, so that any number of classes will do.

    Raises:
        WeightsError: If the file cannot be read, or is of another network.
    """
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
            f"weights {path} are not of {name}: {len(missing)} parameters are missing "
            f"(such as {missing[0] if missing else 'none'}), {len(unexpected)} do not belong "
            f"(such as {unexpected[0] if unexpected else 'none'})"
        )
    network.load_state_dict(state, strict=False)
