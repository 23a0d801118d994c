"""Any model of timm (PyTorch Image Models), without its classifier; timm is an optional package."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from ta3n.common.errors import UsageError, WeightsError, did_you_mean, first_line
from ta3n.common.log import LOGGER
from ta3n.common.video import RgbImage
from ta3n.extract.backbones.base import TIMM_PREFIX, Backbone
from ta3n.extract.backbones.library import (
    Library,
    hub_path,
    not_downloaded,
    read_state,
    without_prefix,
)

_ROUNDING = 6


def describe(name: str, _weights: str | None) -> Backbone:
    """Return what is known of a model.

    Args:
        name: `timm:` with the name of a model; without the name of its weights, such as
            `.openai`, those that timm takes by default.

    Raises:
        UsageError: If timm has no model of that name, or it gives no vector for an image.
        WeightsError: If timm is not installed.
    """
    timm = _timm()
    asked = name.removeprefix(TIMM_PREFIX)
    try:
        cfg = timm.get_pretrained_cfg(asked) if timm.is_model(asked) else None
    except RuntimeError:  # a model, but no such weights of it
        cfg = None
    if cfg is None:
        known = [*timm.list_models(), *timm.list_pretrained()]
        raise UsageError(f"timm has no model {asked!r}{did_you_mean(asked, known)}")
    data = _data_config(cfg)
    channels, size, other_size = data["input_size"]
    if channels != 3 or size != other_size:
        raise UsageError(f"{name} takes no square colour images, but {data['input_size']}")
    full_name = f"{cfg.architecture}.{cfg.tag}" if cfg.tag else cfg.architecture
    shape = LIBRARY.feature_shape(
        lambda: timm.create_model(full_name, pretrained=False), size, size
    )
    if len(shape) != 1:
        raise UsageError(f"timm:{full_name} gives {shape} for an image, not a vector of features")
    return Backbone(
        name=TIMM_PREFIX + full_name,
        library="timm",
        feature_dim=shape[0],
        pretrained=cfg.tag or "pretrained",
        pretrained_file=f"{full_name}.safetensors",
        transform=(
            f"{data['interpolation']}, crop_pct {round(data['crop_pct'], _ROUNDING)} "
            f"{data['crop_mode']}, {size}"
        ),
        default_profile="timm",
        image_size=size,
        mean=tuple(data["mean"]),
        std=tuple(data["std"]),
    )


def _timm() -> Any:
    try:
        import timm
        import timm.data
    except ImportError as error:
        raise WeightsError(
            "timm is not installed, which backbones timm:NAME come from: pip install 'ta3n[timm]'"
        ) from error
    return timm


class _Timm(Library):
    def build(self, backbone: Backbone) -> nn.Module:
        network: nn.Module = _timm().create_model(_name(backbone), pretrained=False)
        return network

    def classifier(self, network: Any) -> tuple[str, ...]:
        return _classifiers(network.pretrained_cfg)

    def remove_classifier(self, network: Any) -> None:
        network.reset_classifier(0)

    def load(self, backbone: Backbone, path: Path, _digest: str) -> nn.Module:
        # Weights may have any form that timm knows of this model.
        timm, name = _timm(), _name(backbone)
        cfg = timm.get_pretrained_cfg(name)
        with torch.device("meta"):
            own = self.build(backbone).state_dict()
        state = without_prefix(read_state(path), own, _classifiers(cfg), path)
        # With as many classes as the file has, so that its classifier fits.
        weights = (f"{name}weight" for name in _classifiers(cfg))
        found = [state[weight].shape[0] for weight in weights if weight in state]
        num_classes = int(found[0]) if found else int(cfg.num_classes)
        overlay = {"state_dict": state, "num_classes": num_classes, "label_offset": 0}
        try:
            with _watching_loads() as loads:
                network: Any = timm.create_model(
                    name, pretrained=True, num_classes=num_classes, pretrained_cfg_overlay=overlay
                )
        except MemoryError:
            raise
        except Exception as error:  # its conversion of other forms fails in many ways
            lines = str(error).split("\n")
            reason = " ".join(line.strip() for line in lines[:2])[:200]
            raise WeightsError(f"weights {path} are not of {backbone.name}: {reason}") from error
        missing = [key for load in loads for key in load if not key.startswith(_classifiers(cfg))]
        if missing or not loads:
            raise WeightsError(
                f"weights {path} are not of {backbone.name}: {len(missing)} parameters are missing "
                f"(such as {missing[0] if missing else 'all'})"
            )
        # timm keeps them beside the network that has them now.
        network.pretrained_cfg.pop("state_dict", None)
        loaded: nn.Module = network
        return loaded

    def published_file(self, backbone: Backbone) -> Path:
        brought = hub_path(backbone)
        if brought.is_file():
            return brought
        cfg = _timm().get_pretrained_cfg(_name(backbone))
        if not cfg.hf_hub_id:
            raise WeightsError(
                f"timm does not say where weights of {backbone.name} are; name a file with "
                f"--weights FILE, or put it at {brought}"
            )
        return _from_hub(backbone, cfg)

    def geometry(self, backbone: Backbone) -> Callable[[RgbImage], RgbImage]:
        timm = _timm()
        data = _data_config(timm.get_pretrained_cfg(_name(backbone)))
        to_crop = timm.data.create_transform(**data, is_training=False, use_prefetcher=True)

        def crop_like_timm(pixels: RgbImage) -> RgbImage:
            # An array or a tensor, by timm's version.
            channels_first = np.asarray(to_crop(Image.fromarray(pixels)))
            return np.ascontiguousarray(channels_first.transpose(1, 2, 0))

        return crop_like_timm


LIBRARY = _Timm()
"""The models of timm."""


@contextmanager
def _watching_loads() -> Iterator[list[list[str]]]:
    """Yield a list that gets the missing parameters of each state dict loaded meanwhile.

    timm logs them for some models and goes on, with what was drawn at random.
    """
    found: list[list[str]] = []
    original = nn.Module.load_state_dict

    def watched(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        result = original(self, *args, **kwargs)
        found.append(list(result.missing_keys))
        return result

    nn.Module.load_state_dict = watched  # type: ignore[method-assign]
    try:
        yield found
    finally:
        nn.Module.load_state_dict = original  # type: ignore[method-assign]


def _classifiers(cfg: Any) -> tuple[str, ...]:
    names = [cfg.classifier] if isinstance(cfg.classifier, str) else list(cfg.classifier or ())
    return tuple(f"{name}." for name in names)


def _data_config(cfg: Any) -> Any:
    """Return what images are to be like for published weights."""
    return _timm().data.resolve_data_config({}, pretrained_cfg=cfg.to_dict())


def _from_hub(backbone: Backbone, cfg: Any) -> Path:
    import huggingface_hub as hub

    # Its own lines about each attempt would hide the one that counts.
    hub.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    repository, _, revision = cfg.hf_hub_id.partition("@")
    # In the form that runs nothing.
    filename = cfg.hf_hub_filename or "pytorch_model.bin"
    filename = filename.replace("pytorch_model.bin", "model.safetensors")
    cached = hub.try_to_load_from_cache(repository, filename, revision=revision or None)
    if isinstance(cached, str):
        return Path(cached)
    LOGGER.info("fetching the weights of %s", backbone.name)
    try:
        return Path(hub.hf_hub_download(repository, filename, revision=revision or None))
    except (OSError, RuntimeError, ValueError) as error:
        url = hub.hf_hub_url(repository, filename, revision=revision or None)
        raise not_downloaded(backbone, first_line(error), url) from error


def _name(backbone: Backbone) -> str:
    return backbone.name.removeprefix(TIMM_PREFIX)
