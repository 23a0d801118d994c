"""All the randomness of a run: one generator per purpose, all from one seed.

Separate streams, so that what one purpose draws never shifts another: source-only training is the
same whether or not there is a target, and two methods with one seed start from the same weights.
"""

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor

from ta3n.common.log import LOGGER


def _stream_seed(seed: int, stream: str) -> int:
    """Mix seed and stream: neighbouring seeds must not share numbers."""
    digest = hashlib.sha256(f"{seed}/{stream}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1  # 63 bits: what every generator accepts


class RunGenerators:
    """The generators of one run.

    Args:
        seed: the run's seed; any integer.
        device: where dropout masks are drawn. Weights and orders are always drawn on the CPU, so
            that they are the same on every device.

    Attributes:
        weights: for the weights at the start.
        source_order: for the order of source videos, epoch by epoch.
        target_order: for the order of target videos.
        source_frames: for the frames of source videos, where an epoch draws them.
        target_frames: likewise, of the target.
        dropout: for the dropout masks, on the device.
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        def stream(name: str, where: torch.device) -> torch.Generator:
            return torch.Generator(where).manual_seed(_stream_seed(seed, name))

        cpu = torch.device("cpu")
        self._seed = seed
        self.weights = stream("weights", cpu)
        self.source_order = stream("source_order", cpu)
        self.target_order = stream("target_order", cpu)
        self.source_frames = stream("source_frames", cpu)
        self.target_frames = stream("target_frames", cpu)
        self.dropout = stream("dropout", device)

    def fresh(self, name: str) -> torch.Generator:
        """Return a CPU generator for a purpose that needs it once, at the start."""
        return torch.Generator().manual_seed(_stream_seed(self._seed, name))

    def _streams(self) -> dict[str, torch.Generator]:
        return {name: each for name, each in vars(self).items() if not name.startswith("_")}

    def state_dict(self) -> dict[str, Tensor]:
        """Return the state of every generator as bytes, by name."""
        return {name: generator.get_state() for name, generator in self._streams().items()}

    def load_state_dict(self, state: Mapping[str, Tensor], epoch: int) -> None:
        """Set every generator to a state that `state_dict` returned after an epoch.

        Kinds of devices keep different states. A stream that was another's goes on with fresh
        numbers, always the same ones after the same epoch.
        """
        for name, generator in self._streams().items():
            if name not in state:
                # Of a run from before there was such a purpose: nothing was drawn for it.
                continue
            saved = state[name].cpu()
            if saved.numel() == generator.get_state().numel():
                generator.set_state(saved)
                continue
            kind = generator.device.type
            theirs = "a GPU" if kind == "cpu" else "another kind of device"
            LOGGER.warning(
                "seed %d was saved on %s and goes on on %s: its %s is drawn afresh from there, so "
                "that it is not equal to the bit to a run that was never moved",
                *(self._seed, theirs, kind, name),
            )
            generator.manual_seed(_stream_seed(self._seed, f"{name} after epoch {epoch}"))
