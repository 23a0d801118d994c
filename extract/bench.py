"""Timings of stage one, each against the bare network in the same run.

    python -m ta3n.extract.bench --backbone resnet101

One run measures in interleaved rounds and prints medians: this machine may be busy, and only
ratios within a run mean anything. Nothing here decides whether a test passes.
"""

import json
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from statistics import median

import click
import numpy as np
import torch

from ta3n.common.cli import handles_errors
from ta3n.common.device import allowed_cpus, describe_device, resolve_device
from ta3n.common.sampling import FrameSelection
from ta3n.common.streams import RgbImage
from ta3n.common.video import VideoReader, write_video
from ta3n.extract.backbones import get_backbone, load_backbone
from ta3n.extract.batches import BatchRunner
from ta3n.extract.decode import ClipOutcome, decode_clip
from ta3n.extract.feed import ClipFeed
from ta3n.extract.network import FeatureNetwork, optimised
from ta3n.extract.pixels import IMAGE_SIZE

_CLIP_FRAMES, _WIDTH, _HEIGHT = 60, 320, 240


def _made_clips(folder: Path, count: int) -> list[Path]:
    """Encode clips like UCF101's: MPEG-4 in AVI, 320 by 240."""

    def frames(seed: int) -> Iterator[RgbImage]:
        texture = np.random.default_rng(seed).integers(0, 256, (30, 40, 3), dtype=np.uint8)
        image = texture.repeat(8, axis=0).repeat(8, axis=1)
        return (np.roll(image, 3 * shift, axis=1) for shift in range(_CLIP_FRAMES))

    paths = [folder / f"{number}.avi" for number in range(count)]
    for number, path in enumerate(paths):
        write_video(path, frames(number), frame_rate=25, codec="mpeg4")
    return paths


def _decode_only(clips: list[Path]) -> int:
    num_frames = 0
    for path in clips:
        with VideoReader(path) as reader:
            num_frames += sum(1 for _ in reader.frames())
    return num_frames


def _decoder(path: Path) -> Generator[RgbImage, None, ClipOutcome]:
    return decode_clip(path, FrameSelection())


def _decode_and_crop(clips: list[Path]) -> int:
    return sum(1 for path in clips for _ in _decoder(path))


def _pipeline(clips: list[Path], runner: BatchRunner) -> int:
    num_crops = 0
    with ClipFeed(clips, _decoder, num_threads=allowed_cpus()) as feed:
        for _, crops in feed:
            for pixels in crops:
                runner.add(pixels)
                num_crops += 1
        runner.flush()
    return num_crops


def _network(network: torch.nn.Module, batch: torch.Tensor, device: torch.device) -> int:
    with torch.inference_mode():
        network(batch).cpu()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return len(batch)


def _rates(jobs: dict[str, Callable[[], int]], rounds: int) -> dict[str, float]:
    """Return the median rate of each job, in its items per second, over interleaved rounds."""
    rates: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            started = time.perf_counter()
            count = job()
            rates[name].append(count / (time.perf_counter() - started))
    return {name: median(values) for name, values in rates.items()}


@click.command()
@click.option("--backbone", "name", default="resnet101", show_default=True)
@click.option("--device", "device_name", default="auto", show_default=True)
@click.option("--batch-size", default=32, show_default=True)
@click.option("--num-clips", default=3, show_default=True, help="Clips of 60 frames, 320x240.")
@click.option("--rounds", default=3, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@handles_errors("bench")
def main(
    name: str, device_name: str, batch_size: int, num_clips: int, rounds: int, *, as_json: bool
) -> None:
    """Measure decoding, the network and the whole pipeline."""
    device = resolve_device(device_name)
    backbone = get_backbone(name)
    eager = FeatureNetwork(load_backbone(backbone, "random:0").body, backbone).eval()
    fast = optimised(eager, device)
    eager = eager.to(device)
    batch = torch.randint(0, 256, (batch_size, IMAGE_SIZE, IMAGE_SIZE, 3), dtype=torch.uint8)
    batch = batch.to(device)
    runner = BatchRunner(
        fast, device=device, batch_size=batch_size, feature_dim=backbone.feature_dim
    )
    with tempfile.TemporaryDirectory() as folder:
        clips = _made_clips(Path(folder), num_clips)
        rates = _rates(
            {
                "decode": lambda: _decode_only(clips),
                "decode + convert + crop": lambda: _decode_and_crop(clips),
                "network, eager": lambda: _network(eager, batch, device),
                "network, folded, channels last": lambda: _network(fast, batch, device),
                "whole pipeline": lambda: _pipeline(clips, runner),
            },
            rounds,
        )
    _print(rates, f"{name} on {describe_device(device)}, {allowed_cpus()} CPUs", as_json=as_json)


def _print(rates: dict[str, float], title: str, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"title": title, "frames_per_s": rates}))
        return
    bare = rates["network, folded, channels last"]
    click.echo(f"{title}: frames per second through the stage, and as a ratio to the bare network")
    for job, rate in rates.items():
        click.echo(f"{job:32s} {rate:9.1f} {rate / bare:9.2f}")


if __name__ == "__main__":
    main()
