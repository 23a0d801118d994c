"""What computes features: the network in the form it is run in, its batches, what frames become.

Precision goes by profile; the network is compiled where that is faster, and cores of a CPU take
frames of their own. An input is a crop, or a window of them. Legend: B batch, D feature width, T
frames of a window, S side of a crop.
"""

import math
import platform
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from statistics import median
from typing import Any, cast

import torch
from torch import Tensor, nn

from ta3n.common.device import allowed_cpus, describe_device, resolve_device
from ta3n.common.errors import InterruptedRunError, UsageError, reason_of
from ta3n.common.log import LOGGER
from ta3n.extract.backbones import Backbone
from ta3n.extract.inference.batches import (
    IMAGE_SHAPE,
    BatchRunner,
    inputs_in_words,
    suitable_batch_size,
)
from ta3n.extract.inference.network import full_precision, load_network
from ta3n.extract.inference.preprocessing import MAX_DEVICE_PIXELS, Cropper, cropper_for

# A CPU's network is slow; a GPU takes a clip in a tenth of a second, so many are to be ready.
_BYTES_AHEAD = {"cpu": 128 * 2**20, "cuda": 768 * 2**20}
_TIMED_RUNS = 5
# Below this gain the plain form is kept: its bits do not depend on a compiler.
_MIN_GAIN = 1.03
_RECORDED_PACKAGES = ("ta3n", "torch", "torchvision", "av", "pillow", "numpy", "h5py")


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """What computes features, ready to run.

    Attributes:
        network: Maps uint8 [B, S, S, 3] or [B, T, S, S, 3] to float32 [B, D], in the form that is
            run.
        batch_size: Inputs in one forward pass, of each core on a CPU.
        num_threads: Cores that take inputs of their own.
        cropper: Applied to frames where they are decoded.
        provenance: What is behind the numbers that it will compute.
    """

    backbone: Backbone
    network: nn.Module
    device: torch.device
    batch_size: int
    num_threads: int
    cropper: Cropper
    provenance: dict[str, str]

    @property
    def max_bytes_ahead(self) -> int:
        """Most bytes of frames that wait for it."""
        return _BYTES_AHEAD[self.device.type]

    def close(self) -> None:
        """Let its threads end; it is not used any more."""
        if isinstance(self.network, SideBySide):
            self.network.close()

    @property
    def max_frame_bytes(self) -> int:
        """The most that a frame takes as it comes from decoding, or a window of frames."""
        on_device = MAX_DEVICE_PIXELS * 3 if self.device.type == "cuda" else 0
        return max(math.prod(self.backbone.input_shape), on_device)

    def new_runner(self) -> BatchRunner:
        """Return empty batches for the network."""
        return BatchRunner(
            self.network,
            device=self.device,
            batch_size=self.num_threads * self.batch_size,
            piece=self.batch_size,
            feature_dim=self.backbone.feature_dim,
            input_shape=self.backbone.input_shape,
        )


def start_engine(
    backbone: Backbone,
    weights: str,
    *,
    profile: str,
    device: str,
    batch_size: int | None,
    compiled: str,
    num_sharing: int = 1,
) -> Engine:
    """Load the network in its fastest form and find out how many inputs it takes at a time.

    Args:
        weights: Name of published weights, `random:SEED`, or a file.
        device: `auto`, `cpu` or `cuda:N`.
        batch_size: Inputs in one forward pass; None takes what suits the device.
        compiled: `auto`, `on` or `off`.
        num_sharing: Engines that share the CPUs of this process.

    Raises:
        WeightsError: If the weights cannot be loaded.
        DeviceError: If the device is not there, or has no memory left.
        UsageError: If a network of the user's own does not run there.
    """
    on = resolve_device(device)
    # This engine's part of the CPUs, or fewer where torch was told so.
    num_cpus = min(max(allowed_cpus() // num_sharing, 1), torch.get_num_threads())
    if num_sharing > 1 and on.type == "cpu":
        torch.set_num_threads(num_cpus)
    if on.type == "cuda":
        # Pinned memory and streams would else belong to the first GPU, and take room there.
        torch.cuda.set_device(on)
    network, weights_sha256 = load_network(backbone, weights, on)
    network = in_precision_of(profile, network, on)
    if backbone.library == "python":
        _check_that_it_runs(network, backbone, profile, on)
    shape = backbone.input_shape
    batch_size = batch_size or suitable_batch_size(network, on, shape)
    fastest = network
    if is_compiled(compiled, profile, on):
        fastest = compiled_if_faster(network, on, batch_size, shape)
    provenance = provenance_of(describe_device(on), weights_sha256, num_cpus)
    provenance |= {"batch_size": str(batch_size), "compiled": str(fastest is not network)}
    # A compiled network spreads its layers over the cores by itself.
    num_threads = num_cpus if on.type == "cpu" and fastest is network else 1
    if num_threads > 1:
        fastest = SideBySide(network, num_threads=num_threads, frames_at_once=batch_size)
    LOGGER.info(
        "%s with weights %s on %s, profile %s, %s%s a batch",
        backbone.name,
        weights,
        provenance["device"],
        profile,
        f"{num_threads} cores with " if num_threads > 1 else "",
        inputs_in_words(batch_size, shape),
    )
    return Engine(
        backbone=backbone,
        network=fastest,
        device=on,
        batch_size=batch_size,
        num_threads=num_threads,
        cropper=cropper_for(profile, backbone, on),
        provenance=provenance,
    )


def _check_that_it_runs(
    network: nn.Module, backbone: Backbone, profile: str, device: torch.device
) -> None:
    """Refuse a network of a user's own that fails on this device, or in this precision."""
    try:
        with torch.inference_mode():
            crops = torch.zeros((1, *backbone.input_shape), dtype=torch.uint8, device=device)
            shape = tuple(network(crops).shape)
    except (torch.OutOfMemoryError, InterruptedRunError):
        raise
    except Exception as error:
        raise UsageError(
            f"backbone {backbone.name} does not run on {device} with profile {profile}: "
            f"{reason_of(error)}"
        ) from error
    if shape != (1, backbone.feature_dim):
        raise UsageError(
            f"backbone {backbone.name} makes {list(shape)} of one input on {device}, not "
            f"[1, {backbone.feature_dim}]"
        )


def provenance_of(device: str, weights_sha256: str, num_threads: int) -> dict[str, str]:
    """Return what is behind the numbers of a shard: versions, device, weights."""
    return {
        **{name: version(name) for name in _RECORDED_PACKAGES},
        "python": platform.python_version(),
        "device": device,
        "threads": str(num_threads),
        "weights_sha256": weights_sha256,
    }


class HalfPrecision(nn.Module):
    """A network body that computes in 16-bit floats, converted in place; its ends have 32 bits."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body.half()

    def forward(self, images: Tensor) -> Tensor:
        """Compute features, float32 [B, D], of normalised images or clips, float32 [B, 3, ...]."""
        features: Tensor = self.body(images.half())
        return features.float()


def in_precision_of(profile: str, network: nn.Module, device: torch.device) -> nn.Module:
    """Return a `FeatureNetwork` in the precision of a profile; it may be changed in place.

    `fast` is half precision on a GPU. CPUs without units for 16-bit floats are several times slower
    with them, so on a CPU `fast` computes in 32 bits.
    """
    if profile != "fast" or device.type != "cuda":
        return network
    # Batches have one shape, so that trying algorithms pays; their choice may change last digits.
    torch.backends.cudnn.benchmark = True
    body = network.body
    assert isinstance(body, nn.Module), "a feature network has a body"
    network.body = HalfPrecision(body)
    return network


@contextmanager
def torch_switched(profile: str, device: torch.device) -> Iterator[None]:
    """Hold torch's switches, the whole process's, as a profile needs them; then put them back.

    What a caller has set besides, such as autocast, decides nothing of the features.
    """
    with ExitStack() as stack:
        # Threads of the network set it to one, also for every thread that starts later.
        stack.callback(torch.set_num_threads, torch.get_num_threads())
        stack.callback(torch.set_default_dtype, torch.get_default_dtype())
        torch.set_default_dtype(torch.float32)
        stack.enter_context(torch.autocast(device.type, enabled=False))
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        if device.type == "cuda":
            stack.enter_context(torch.cuda.device(device))
            _switch(stack, torch.backends.cudnn, "benchmark", profile == "fast")
            _switch(stack, torch.backends.cudnn, "deterministic", False)
            for place, name, value in full_precision():
                _switch(stack, place, name, value)
        yield


def _switch(stack: ExitStack, place: Any, name: str, value: Any) -> None:
    stack.callback(setattr, place, name, getattr(place, name))
    setattr(place, name, value)


def is_compiled(compiled: str, profile: str, device: torch.device) -> bool:
    """Say whether compiling is to be tried: `auto` does so where minutes of it are earned back."""
    return compiled == "on" or (compiled == "auto" and profile == "fast" and device.type == "cuda")


def compiled_if_faster(
    network: nn.Module,
    device: torch.device,
    batch_size: int,
    input_shape: tuple[int, ...] = IMAGE_SHAPE,
) -> nn.Module:
    """Compile a network for one batch size and return it if it beats the plain one, else that."""
    crops = torch.zeros((batch_size, *input_shape), dtype=torch.uint8, device=device)
    compiled = compile_for(network, crops)
    if compiled is None:
        return network
    gain = _seconds(network, crops) / _seconds(compiled, crops)
    is_kept = gain >= _MIN_GAIN
    LOGGER.info(
        "compiled, the network runs at %.2f times its plain speed: it is %s",
        gain,
        "used" if is_kept else "not used",
    )
    return compiled if is_kept else network


def compile_for(network: nn.Module, crops: Tensor) -> nn.Module | None:
    """Compile a network for batches like `crops`; return None, with a line, if that fails."""
    compiled = cast(nn.Module, torch.compile(network, dynamic=False))
    try:
        with torch.inference_mode():
            compiled(crops)
    except InterruptedRunError:
        raise
    except Exception as error:  # noqa: BLE001  compilers fail in many ways, and nothing is lost
        LOGGER.warning("the network is not compiled: %s", reason_of(error))
        return None
    return compiled


def _seconds(network: nn.Module, crops: Tensor) -> float:
    times = []
    with torch.inference_mode():
        for _ in range(_TIMED_RUNS):
            started = time.perf_counter()
            # Taking one value waits for the device.
            network(crops)[0, 0].item()
            times.append(time.perf_counter() - started)
    return median(times)


class SideBySide(nn.Module):
    """Runs pieces of a batch, of one size, through one network in threads of one core each.

    Cores that share every layer wait for each other at its end: with small layers often, and for
    very long where other jobs take a core away in between. Cores with frames of their own wait once
    a batch, and a row does not depend on how many cores there are.
    """

    def __init__(self, network: nn.Module, *, num_threads: int, frames_at_once: int) -> None:
        super().__init__()
        self.network = network
        self._frames_at_once = frames_at_once
        self._threads = ThreadPoolExecutor(
            num_threads, "network", initializer=torch.set_num_threads, initargs=(1,)
        )

    def forward(self, crops: Tensor) -> Tensor:
        """Compute features, float32 [B, D], of crops, uint8 [B, 224, 224, 3], or windows."""
        pieces = torch.split(crops, self._frames_at_once)
        return torch.cat(list(self._threads.map(self._infer, pieces)))

    def close(self) -> None:
        """Let the threads end, also one that an interruption caught while it started."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _infer(self, crops: Tensor) -> Tensor:
        # The mode is each thread's own.
        with torch.inference_mode():
            features: Tensor = self.network(crops)
            return features
