"""What computes features: the network in the form it is run in, its batches, what frames become.

Precision goes by profile; the network is compiled where that is faster, and cores of a CPU take
frames of their own. An input is a crop, or a window of them. Legend: B batch, D feature width, T
frames of a window, S side of a crop.
"""

import platform
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import Any, cast

import torch
from torch import Tensor, nn

from ta3n.common.device import allowed_cpus, describe_device, resolve_device
from ta3n.common.errors import UsageError, reason_of
from ta3n.common.log import LOGGER
from ta3n.extract.backbones import Backbone
from ta3n.extract.inference.batches import (
    IMAGE_SHAPE,
    BatchRunner,
    SideBySide,
    inputs_in_words,
    suitable_batch_size,
)
from ta3n.extract.inference.choices import (
    MIN_GAIN,
    Choice,
    Choices,
    in_form,
    seconds_of,
)
from ta3n.extract.inference.network import LowPrecision, full_precision, load_network

_RECORDED_PACKAGES = ("ta3n", "torch", "torchvision", "av", "pillow", "numpy", "h5py")


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """What computes features, ready to run.

    Attributes:
        network: Maps uint8 [B, S, S, 3] or [B, T, S, S, 3] to float32 [B, D], in the form that is
            run.
        batch_size: Inputs in one forward pass, of each core on a CPU.
        num_threads: Cores that take inputs of their own.
        provenance: What is behind the numbers that it will compute.
    """

    backbone: Backbone
    network: nn.Module
    device: torch.device
    batch_size: int
    num_threads: int
    provenance: dict[str, str]

    def close(self) -> None:
        """Let its threads end; it is not used any more."""
        if isinstance(self.network, SideBySide):
            self.network.close()

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
    num_inputs: int | None = None,
) -> Engine:
    """Load the network in its fastest form and find out how many inputs it takes at a time.

    Args:
        weights: Name of published weights, `random:SEED`, or a file.
        device: `auto`, `cpu` or `cuda:N`.
        batch_size: Inputs in one forward pass; None takes what suits the device.
        compiled: `auto`, `on` or `off`.
        num_sharing: Engines that share the CPUs of this process.
        num_inputs: How many are to be computed, about; None if that is not known. Many are worth a
            trial of what is fastest here.

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
    provenance = provenance_of(describe_device(on), weights_sha256, num_cpus)
    num_threads = num_cpus if on.type == "cpu" else 1
    choice = Choice(batch_size=batch_size or suitable_batch_size(network, on, shape))
    choices = None
    if profile == "fast":
        choices = Choices(
            network,
            on,
            shape,
            marks=provenance | {"backbone": backbone.name, "shape": str(shape)},
            num_inputs=num_inputs,
            num_threads=num_threads,
            as_run=partial(_on_cores, num_threads),
        )
        choice = choices.best(choice, any_batch=batch_size is None)
        network = in_form(network, choice)
        of_cpu = "bfloat16" if choice.bfloat16 else "float32"
        provenance |= {
            "precision": "float16" if on.type == "cuda" else of_cpu,
            "channels_last": str(choice.channels_last),
        }
    batch_size = choice.batch_size
    fastest = network
    if is_compiled(compiled, profile, on) and (
        compiled == "on" or choices is None or choices.pays_to_compile(choice, network)
    ):
        fastest = compiled_if_faster(network, on, batch_size, shape)
        if choices is not None:
            choices.remember_compiling(choice, gains=fastest is not network)
    provenance |= {"batch_size": str(batch_size), "compiled": str(fastest is not network)}
    # A compiled network spreads its layers over the cores by itself.
    if fastest is not network:
        num_threads = 1
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
    except torch.OutOfMemoryError:
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


def in_precision_of(profile: str, network: nn.Module, device: torch.device) -> nn.Module:
    """Return a `FeatureNetwork` in the precision of a profile; it may be changed in place.

    `fast` is half precision on a GPU. On a CPU it is of 32 bits here: processors without units for
    bfloat16 are several times slower with it, so that it is a choice to be tried (`Choices`).
    """
    if profile != "fast" or device.type != "cuda":
        return network
    # Batches have one shape, so that trying algorithms pays; their choice may change last digits.
    torch.backends.cudnn.benchmark = True
    body = network.body
    assert isinstance(body, nn.Module), "a feature network has a body"
    network.body = LowPrecision(body, torch.float16)
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
    plain_s, compiled_s = seconds_of([network, compiled], crops)
    gain = plain_s / compiled_s
    is_kept = gain >= MIN_GAIN
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
    except Exception as error:  # noqa: BLE001  compilers fail in many ways, and nothing is lost
        LOGGER.warning("the network is not compiled: %s", reason_of(error))
        return None
    return compiled


@contextmanager
def _on_cores(num_threads: int, network: nn.Module, batch_size: int) -> Iterator[nn.Module]:
    """Give a network that runs on so many cores side by side."""
    if num_threads == 1:
        yield network
        return
    side_by_side = SideBySide(network, num_threads=num_threads, frames_at_once=batch_size)
    try:
        yield side_by_side
    finally:
        side_by_side.close()
