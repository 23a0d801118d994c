"""Any other network, made by a function of the user's: `python:MODULE:FACTORY`.

Its code runs with the rights of whoever names it on a command line; what a record names is never
imported by itself. Legend: D feature width, S side of the crop, T frames of a window.
"""

import copy
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn

from ta3n.common.errors import Ta3nError, UsageError, WeightsError, reason_of
from ta3n.common.files import canonical_json, expand_home, sha256_of, sha256_of_file
from ta3n.common.records import PYTHON_PREFIX
from ta3n.common.video import RgbImage
from ta3n.extract.backbones.base import Backbone
from ta3n.extract.backbones.custom import CustomBackbone
from ta3n.extract.backbones.library import Library, state_digest

OWN_WEIGHTS = "own"
"""Names the weights that a network has already when its factory returns it."""

# Their versions are in the provenance of every shard.
_RECORDED = ("builtins", "functools", "torch", "torchvision", "ta3n")
_TORCH = str(Path(torch.__file__).parent)
# Of a frame that a crop is tried on.
_HEIGHT, _WIDTH = 240, 320
# Each with its backbone's name, place and source.
_CROPS: dict[tuple[str, str, str], Callable[[RgbImage], RgbImage] | None] = {}


def describe(name: str, _weights: str | None) -> Backbone:
    """Return what is known of a network; its factory is called.

    Args:
        name: `python:` with a module that Python finds, or a file `NAME.py`, and the name of the
            factory in it.

    Raises:
        UsageError: If there is no such module or factory, if it fails, or what it returns does not
            fit together.
    """
    where, _, factory = name.removeprefix(PYTHON_PREFIX).rpartition(":")
    if not where or not factory.isidentifier():
        raise UsageError(
            f"backbone {name!r} has not the form python:MODULE:FACTORY, such as "
            "python:networks.i3d:build or python:i3d.py:build"
        )
    is_file = where.endswith(".py")
    location = str(expand_home(Path(where)).resolve()) if is_file else where
    # Wherever the file lies, the features are the same.
    recorded = f"{PYTHON_PREFIX}{Path(where).name if is_file else where}:{factory}"
    with _drawing_the_same():
        module, custom = _call(recorded, location)
    backbone = Backbone(
        name=recorded,
        library="python",
        feature_dim=custom.feature_dim,
        pretrained=OWN_WEIGHTS if custom.trained else "",
        pretrained_file=state_digest(custom.network) if custom.trained else "",
        transform=f"the crop of {recorded}" if custom.crop else "",
        default_profile="own" if custom.crop else "ta3n",
        image_size=custom.image_size,
        mean=custom.mean,
        std=custom.std,
        window=custom.window,
        unused=custom.unused,
        source=_source_of(module, custom),
        location=location,
    )
    _check_features(backbone, custom.network)
    _check_crop(backbone, custom)
    return backbone


class _Python(Library):
    def build(self, backbone: Backbone) -> nn.Module:
        module, custom = _call(backbone.name, backbone.location)
        _CROPS[_crop_key(backbone)] = custom.crop
        if _source_of(module, custom) != backbone.source:
            raise UsageError(
                f"the code of {backbone.name} changed since this began; run again, with another "
                "--out if features were made already"
            )
        return custom.network

    def classifier(self, network: Any) -> tuple[str, ...]:  # noqa: ARG002  there is none
        return ()

    def remove_classifier(self, network: Any) -> None:
        pass

    def published_file(self, backbone: Backbone) -> Path:
        raise AssertionError(f"the weights of {backbone.name} are in no file")

    def built_with_weights(self, backbone: Backbone) -> nn.Module:
        with _drawing_the_same():
            network = self.build(backbone)
        if state_digest(network) != backbone.pretrained_file:
            raise WeightsError(
                f"the factory of {backbone.name} makes other weights each time that it is called; "
                "let it load trained ones, or say trained=False and give --weights FILE"
            )
        return network

    def geometry(self, backbone: Backbone) -> Callable[[RgbImage], RgbImage]:
        if _crop_key(backbone) not in _CROPS:
            self.build(backbone)
        crop = _CROPS[_crop_key(backbone)]
        assert crop is not None, "a profile of its own is of a crop of its own"
        return crop

    def feature_shape(self, build: Callable[[], nn.Module], *sizes: int) -> tuple[int, ...]:
        return _shape_of(build(), sizes)


LIBRARY = _Python()
"""The user's own networks."""


def _crop_key(backbone: Backbone) -> tuple[str, str, str]:
    return backbone.name, backbone.location, backbone.source


@contextmanager
def _drawing_the_same() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def _call(name: str, location: str) -> tuple[ModuleType, CustomBackbone]:
    """Import a factory's module and call it."""
    module = _file_module(location) if location.endswith(".py") else _named_module(name, location)
    factory = name.rpartition(":")[2]
    made = getattr(module, factory, None)
    if not callable(made):
        raise UsageError(f"backbone {name}: {location} has no function {factory}")
    custom = _run(made, f"{factory}() of {location}")
    if not isinstance(custom, CustomBackbone) or not isinstance(custom.network, nn.Module):
        found = f"{type(custom).__name__}" + (
            f" of a {type(custom.network).__name__}" if isinstance(custom, CustomBackbone) else ""
        )
        raise UsageError(
            f"backbone {name}: {factory}() returns a {found}, not a ta3n.extract.CustomBackbone "
            "of an nn.Module"
        )
    custom.network.eval()
    return module, custom


def _file_module(location: str) -> ModuleType:
    path = Path(location)
    if not path.is_file():
        raise UsageError(f"no file {path}, which a backbone python:FILE.py:FACTORY names")
    # By its content: an edited file is another module, also within one process.
    name = f"ta3n_backbone_{path.stem}_{sha256_of_file(path)[:16]}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None, "it ends with .py"
        assert spec.loader is not None, "it ends with .py"
        sys.modules[name] = importlib.util.module_from_spec(spec)
        try:
            _run(partial(spec.loader.exec_module, sys.modules[name]), location)
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name]


def _named_module(name: str, location: str) -> ModuleType:
    def load() -> ModuleType:
        try:
            return importlib.import_module(location)
        except ModuleNotFoundError as error:
            if not f"{location}.".startswith(f"{error.name}."):
                raise
            raise UsageError(
                f"backbone {name}: Python finds no module {location!r}; install it, put its folder "
                "on PYTHONPATH, or name its file: python:FILE.py:FACTORY"
            ) from error

    module: ModuleType = _run(load, location)
    return module


def _run(function: Callable[[], Any], what: str) -> Any:
    """Run code of the user's; its errors are told in one line, with where they come from."""
    try:
        return function()
    except (Ta3nError, MemoryError):
        raise
    except (Exception, SystemExit) as error:
        frames = traceback.extract_tb(error.__traceback__)
        # Where torch was called, not where in torch it ends.
        ours = [frame for frame in frames if not frame.filename.startswith(_TORCH)]
        place, reason = f"{ours[-1].filename}, line {ours[-1].lineno}", reason_of(error)
        if isinstance(error, SyntaxError) and error.filename:
            # Its text has the place as well, without the folder.
            reason = f"{type(error).__name__}: {error.msg}"
            place = f"{error.filename}, line {error.lineno}"
        raise UsageError(f"the backbone {what} fails: {reason} ({place})") from error


def _source_of(module: ModuleType, custom: CustomBackbone) -> str:
    """Return the SHA-256 of what makes the features: files of code and the normalisation.

    The files are those of the factory, of the classes of the network's parts, and of the crop.
    """
    crop: Any = getattr(custom.crop, "func", custom.crop)
    crop_module = getattr(crop, "__module__", None) or type(crop).__module__
    names = {module.__name__, crop_module, *(type(m).__module__ for m in custom.network.modules())}
    files = {
        file
        for name in names
        if name.partition(".")[0] not in _RECORDED
        and (file := getattr(sys.modules.get(name), "__file__", None))
    }
    digests = sorted(sha256_of_file(Path(file)) for file in files)
    return sha256_of(canonical_json([digests, custom.mean, custom.std]))


def _check_features(backbone: Backbone, network: nn.Module) -> None:
    sizes = backbone.input_shape[:-1]
    shape = _run(lambda: _shape_of(network, sizes), backbone.name)
    if shape != (backbone.feature_dim,):
        raise UsageError(
            f"backbone {backbone.name} makes {list(shape)} of an input [3, "
            f"{', '.join(map(str, sizes))}], not the [{backbone.feature_dim}] that feature_dim says"
        )


def _shape_of(network: nn.Module, sizes: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of what a network makes of one input, if possible without computing it."""
    with torch.inference_mode():
        try:
            # A copy: its own weights are to stay.
            empty = copy.deepcopy(network).to("meta")
            features: torch.Tensor = empty(torch.zeros(1, 3, *sizes, device="meta"))
        except (NotImplementedError, RuntimeError):
            device = next((p.device for p in network.parameters()), torch.device("cpu"))
            features = network(torch.zeros(1, 3, *sizes, device=device))
        return tuple(features.shape[1:])


def _check_crop(backbone: Backbone, custom: CustomBackbone) -> None:
    if custom.crop is None:
        return
    frame, crop = np.zeros((_HEIGHT, _WIDTH, 3), np.uint8), custom.crop
    found = _run(lambda: crop(frame), f"{backbone.name}, its crop")
    shape = (custom.image_size, custom.image_size, 3)
    kind = f"{getattr(found, 'dtype', type(found).__name__)} {list(getattr(found, 'shape', ()))}"
    if not isinstance(found, np.ndarray) or found.dtype != np.uint8 or found.shape != shape:
        raise UsageError(
            f"the crop of backbone {backbone.name} makes {kind} of a frame [{_HEIGHT}, {_WIDTH}, "
            f"3], not uint8 {list(shape)}"
        )
