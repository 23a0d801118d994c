"""The forms a network is run in: precision by profile, and compiled where that is faster.

Legend: B batch, D feature width, S side of a crop.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import cast

import torch
from torch import Tensor, nn

from ta3n.common.log import LOGGER
from ta3n.extract.backbones import IMAGE_SIZE
from ta3n.extract.inference.profiles import CompilePolicy

_TIMED_RUNS = 5
# Below this gain the plain form is kept: its bits do not depend on a compiler.
_MIN_GAIN = 1.03


class HalfPrecision(nn.Module):
    """A network body that computes in 16-bit floats; images come and features go in 32 bits.

    Args:
        body: Maps images [B, 3, H, W] to features [B, D]; it is converted in place.
    """

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body.half()

    def forward(self, images: Tensor) -> Tensor:
        """Compute features, float32 [B, D], of normalised images, float32 [B, 3, H, W]."""
        features: Tensor = self.body(images.half())
        return features.float()


def in_precision_of(profile: str, network: nn.Module, device: torch.device) -> nn.Module:
    """Return a network in the precision of a profile; it may be changed in place.

    `fast` is half precision on a GPU. CPUs without units for 16-bit floats are several times slower
    with them, so on a CPU `fast` computes in 32 bits.

    Args:
        profile: `ta3n`, `fast` or `torchvision`.
        network: A `FeatureNetwork`, on `device`.
        device: Where it runs.
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
    """Hold torch's switches, which are the whole process's, as a network needs them; then put back.

    Args:
        profile: Of the network.
        device: Where it runs.
    """
    if device.type != "cuda":
        yield
        return
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = matmul.allow_tf32
    switches = cudnn.flags(
        enabled=cudnn.enabled,
        benchmark=profile == "fast" or cudnn.benchmark,
        deterministic=cudnn.deterministic,
        allow_tf32=False,
    )
    with torch.cuda.device(device), switches:
        matmul.allow_tf32 = False
        try:
            yield
        finally:
            matmul.allow_tf32 = before


def is_compiled(policy: CompilePolicy, profile: str, device: torch.device) -> bool:
    """Say whether compiling is to be tried: `auto` does so where minutes of it are earned back."""
    return policy == "on" or (policy == "auto" and profile == "fast" and device.type == "cuda")


def compiled_if_faster(
    network: nn.Module, device: torch.device, batch_size: int, image_size: int = IMAGE_SIZE
) -> nn.Module:
    """Compile a network for one batch size and return it if it beats the plain one, else that.

    Args:
        network: Maps uint8 [B, S, S, 3] to float32 [B, D], on `device`.
        device: Where it runs.
        batch_size: B.
        image_size: S.
    """
    shape = (batch_size, image_size, image_size, 3)
    crops = torch.zeros(shape, dtype=torch.uint8, device=device)
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
    """Compile a network for batches like `crops`; return None, with a line, if that fails.

    Args:
        network: Maps uint8 [B, S, S, 3] to float32 [B, D].
        crops: A batch on the network's device.
    """
    compiled = cast(nn.Module, torch.compile(network, dynamic=False))
    try:
        with torch.inference_mode():
            compiled(crops)
    except Exception as error:  # noqa: BLE001  compilers fail in many ways, and nothing is lost
        reason = (str(error).strip().splitlines() or [""])[0]
        LOGGER.warning("the network is not compiled: %s: %s", type(error).__name__, reason)
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
