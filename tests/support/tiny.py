"""Stage one without a real network: what decoding, batches and shards need by themselves."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from ta3n.common.records import FeatureConfig, PlannedClip
from ta3n.extract.backbones import BACKBONES, Backbone
from ta3n.extract.inference import engine
from ta3n.extract.worker.progress import Advanced
from ta3n.extract.worker.shards import extract_shards
from ta3n.extract.worker.work import ShardTask, Work


class Tiny(nn.Module):
    """Features are pixel means, repeated to the backbone's width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, crops: Tensor) -> Tensor:
        means = crops[:, ::32, ::32].float().mean(dim=(1, 2))
        return means.repeat(1, self.width // 3 + 1)[:, : self.width]


def without_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let extraction in this process use `Tiny`."""

    def load(backbone: Backbone, _weights: str, _device: torch.device) -> tuple[nn.Module, str]:
        return Tiny(backbone.feature_dim), "0"

    monkeypatch.setattr(engine, "load_network", load)


def work_on(
    root: Path,
    folder: Path,
    paths: list[str],
    *,
    backbone: str = "resnet18",
    frames: str = "all",
    device: str = "cpu",
) -> Work:
    """Return work on clips, 64 a shard."""
    network = BACKBONES[backbone]
    config = FeatureConfig(
        dataset="ucf101",
        backbone=backbone,
        weights="random:0",
        profile="ta3n",
        image_size=224,
        frames=frames,
        feature_dim=network.feature_dim,
    )
    return Work(
        root=root,
        folder=folder,
        config=config,
        backbone=network,
        weights="random:0",
        device=device,
        batch_size=32,
        decode_threads=2,
        tasks=tuple(_tasks(paths)),
    )


def memory_held(
    folder: Path, paths: list[str], monkeypatch: pytest.MonkeyPatch, when: Callable[[int], bool]
) -> list[float]:
    """Extract clips of `folder / "clips"` to `folder / "features"`.

    Returns:
        The memory in MB that is held after so many clips as `when` says.
    """
    without_network(monkeypatch)
    root, features = folder / "clips", folder / "features"
    features.mkdir()
    held: list[float] = []

    last = 0

    def look(now: Advanced) -> None:
        nonlocal last
        if now.num_clips != last and when(now.num_clips):
            held.append(resident_mb())
        last = now.num_clips

    extract_shards(work_on(root, features, paths), look)
    return held


def _tasks(paths: list[str]) -> Iterator[ShardTask]:
    for first in range(0, len(paths), 64):
        name = f"shard-{first // 64:05d}"
        clips = [
            PlannedClip(
                id=number,
                path=path,
                class_name="A",
                splits={},
                size_bytes=1,
                mtime_ns=2,
                shard=name,
            )
            for number, path in enumerate(paths[first : first + 64], first)
        ]
        yield ShardTask(shard=name, clips=tuple(clips))


def resident_mb() -> float:
    """Return the memory that this process holds, in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6
