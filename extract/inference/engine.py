"""What computes features: the network in its fastest form, its batches, what frames become."""

import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch
from torch import nn

from ta3n.common.device import allowed_cpus, describe_device, resolve_device
from ta3n.common.log import LOGGER
from ta3n.extract.backbones import Backbone
from ta3n.extract.inference.batches import BatchRunner, suitable_batch_size
from ta3n.extract.inference.network import load_network
from ta3n.extract.inference.precision import compiled_if_faster, in_precision_of, is_compiled
from ta3n.extract.inference.preprocessing import Cropper, cropper_for
from ta3n.extract.inference.profiles import CompilePolicy
from ta3n.extract.inference.side_by_side import SideBySide

# A CPU's network is slow; a GPU takes a clip in a tenth of a second, so many are to be ready.
_BYTES_AHEAD = {"cpu": 128 * 2**20, "cuda": 768 * 2**20}
_RECORDED_PACKAGES = ("ta3n", "torch", "torchvision", "av", "pillow", "numpy", "h5py")


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """What computes features, ready to run.

    Attributes:
        backbone: What the network is.
        network: Maps uint8 [B, S, S, 3] to float32 [B, D], in the form that is run.
        device: Where it runs.
        batch_size: Frames in one forward pass, of each core on a CPU.
        num_threads: Cores that take frames of their own.
        num_cpus: CPUs that are this engine's to use.
        cropper: Applied to frames in decoding threads.
        provenance: What is behind the numbers that it will compute.
    """

    backbone: Backbone
    network: nn.Module
    device: torch.device
    batch_size: int
    num_threads: int
    num_cpus: int
    cropper: Cropper
    provenance: dict[str, str]

    @property
    def max_bytes_ahead(self) -> int:
        """Most bytes of frames that wait for it."""
        return _BYTES_AHEAD[self.device.type]

    def new_runner(self, spool_folder: Path | None) -> BatchRunner:
        """Return the network with empty batches.

        Args:
            spool_folder: Where features wait that are too many for memory; None keeps all there.
        """
        return BatchRunner(
            self.network,
            device=self.device,
            batch_size=self.num_threads * self.batch_size,
            piece=self.batch_size,
            feature_dim=self.backbone.feature_dim,
            image_size=self.backbone.image_size,
            spool_folder=spool_folder,
        )


def start_engine(
    backbone: Backbone,
    weights: str,
    *,
    profile: str,
    device: str,
    batch_size: int | None,
    policy: CompilePolicy,
    num_sharing: int = 1,
) -> Engine:
    """Load the network in its fastest form and find out how many frames it takes at a time.

    Args:
        backbone: The network.
        weights: Name of its published weights, `random:SEED`, or a file.
        profile: How a frame becomes the network's input, and in which precision it runs.
        device: `auto`, `cpu` or `cuda:N`.
        batch_size: Frames in one forward pass; None takes what suits the device.
        policy: Whether the network is compiled.
        num_sharing: Engines that share the CPUs of this process.

    Raises:
        WeightsError: If the weights cannot be loaded.
        DeviceError: If the device is not there, or has no memory left.
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
    batch_size = batch_size or suitable_batch_size(network, on, backbone.image_size)
    fastest = network
    if is_compiled(policy, profile, on):
        fastest = compiled_if_faster(network, on, batch_size, backbone.image_size)
    provenance = provenance_of(describe_device(on), weights_sha256, num_cpus)
    provenance |= {"batch_size": str(batch_size), "compiled": str(fastest is not network)}
    # A compiled network spreads its layers over the cores by itself.
    num_threads = num_cpus if on.type == "cpu" and fastest is network else 1
    if num_threads > 1:
        fastest = SideBySide(network, num_threads=num_threads, frames_at_once=batch_size)
    LOGGER.info(
        "%s with weights %s on %s, profile %s, %s%d frames a batch",
        backbone.name,
        weights,
        provenance["device"],
        profile,
        f"{num_threads} cores with " if num_threads > 1 else "",
        batch_size,
    )
    return Engine(
        backbone=backbone,
        network=fastest,
        device=on,
        batch_size=batch_size,
        num_threads=num_threads,
        num_cpus=num_cpus,
        cropper=cropper_for(profile, backbone, on),
        provenance=provenance,
    )


def provenance_of(device: str, weights_sha256: str, num_threads: int) -> dict[str, str]:
    """Return what is behind the numbers of a shard: versions, device, weights."""
    versions = {name: version(name) for name in _RECORDED_PACKAGES}
    return {
        **versions,
        "python": platform.python_version(),
        "device": device,
        "threads": str(num_threads),
        "weights_sha256": weights_sha256,
    }
