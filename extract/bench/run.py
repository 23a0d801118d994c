"""Timings of stage one, all from one run: each stage, the network's forms, the whole pipeline.

    python -m ta3n.extract.bench.run --backbone resnet101

Stages are measured in interleaved rounds, and medians are printed: a machine may be busy, and only
ratios within a run mean anything. Nothing here decides whether a test passes.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import click
import torch
from torch import nn

from ta3n.common.cli import handles_errors
from ta3n.common.device import allowed_cpus, describe_device, resolve_device
from ta3n.extract.backbones import get_backbone, load_backbone
from ta3n.extract.bench import parts as stages
from ta3n.extract.bench.authors import PlainProcedure
from ta3n.extract.bench.report import (
    AUTHORS,
    NETWORK,
    PIPELINE,
    SAMPLED,
    BenchOptions,
    BenchResult,
    SizeResult,
    publish,
    ratios_of,
)
from ta3n.extract.inference.engine import start_engine
from ta3n.extract.inference.network import FeatureNetwork, fold_batch_norm, optimised
from ta3n.extract.inference.precision import compile_for, in_precision_of
from ta3n.extract.inference.profiles import profile_of
from ta3n.extract.worker.protocol import Work

_RESIZED_FRAMES = 64
_BATCH_SIZE = 32


def measure(options: BenchOptions) -> BenchResult:
    """Measure everything.

    Raises:
        UsageError: If backbone or device is not known.
        DeviceError: If the device is not there.
    """
    device = resolve_device(options.device)
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as stack:
        folder = Path(temporary)
        clips = stages.make_clips(folder, options.num_clips, options.clip_frames)
        work = _work(options, folder)
        engine = start_engine(
            work.backbone,
            work.weights,
            profile=work.profile,
            device=work.device,
            batch_size=work.batch_size,
            policy=work.compile,
        )
        jobs = _jobs_of_decoding(clips, options, device, stack)
        jobs |= _jobs_of_network(options, device, engine.network)
        runs = stages.PipelineRuns(work, engine)
        sampled = stages.PipelineRuns(replace(work, frames="segments:5"), engine)
        plain = _authors_procedure(options, device)
        num_frames = len(clips) * options.clip_frames
        jobs[AUTHORS] = lambda: sum(len(plain.extract(path)) for path in clips)
        jobs[SAMPLED] = lambda: sampled.extract(clips, 5 * len(clips))
        jobs[PIPELINE] = lambda: runs.extract(clips, num_frames)
        for name in (name for name in jobs if name.startswith(NETWORK)):
            # The first run lays out weights and takes memory.
            jobs[name]()
        rates, seconds = _rates(jobs, options.rounds)
        waiting = _waiting(runs, seconds[PIPELINE], options)
        sizes = [_at_size(runs, clips[: max(len(clips) // part, 1)], options) for part in (4, 2, 1)]
    title = (
        f"{options.backbone} on {describe_device(device)}, {allowed_cpus()} CPUs, "
        f"{engine.batch_size} frames a batch in use, {options.batch_size or _BATCH_SIZE} else"
    )
    clips_per_s = {key: len(clips) / seconds[key] for key in (PIPELINE, SAMPLED)}
    return BenchResult(
        title, options, rates, clips_per_s, ratios_of(rates, clips_per_s), waiting, sizes
    )


Jobs = dict[str, Callable[[], int]]


def _jobs_of_decoding(
    clips: list[Path], options: BenchOptions, device: torch.device, stack: ExitStack
) -> Jobs:
    frames = stages.first_frames(clips[0], _RESIZED_FRAMES)
    on_device = torch.stack([torch.from_numpy(pixels) for pixels in frames]).to(device)
    threads = options.decode_threads or allowed_cpus()
    jobs: Jobs = {
        "decode": lambda: stages.decode_only(clips),
        "decode + convert": lambda: stages.decode_and_convert(clips),
        "resize, Pillow": lambda: stages.resize_by_pillow(frames),
        f"resize, tensors on {device.type}": lambda: stages.resize_by_tensors(on_device),
        f"decode + convert + resize, {threads} threads": lambda: stages.cropped_by_threads(
            clips, threads
        ),
    }
    if options.processes:
        pool = stages.ProcessDecoders(threads)
        stack.callback(pool.close)
        jobs[f"decode + convert + resize, {threads} processes"] = lambda: pool.crop(clips)
    return jobs


def _jobs_of_network(options: BenchOptions, device: torch.device, in_use: nn.Module) -> Jobs:
    """Return the bare network in each form, on crops that are on the device already."""
    backbone = get_backbone(options.backbone)
    network = FeatureNetwork(load_backbone(backbone, "random:0").body, backbone).eval()
    batch_size = options.batch_size or _BATCH_SIZE
    size = backbone.image_size
    shape = (batch_size, size, size, 3)
    crops = torch.randint(0, 256, shape, dtype=torch.uint8).to(device)
    # As torchvision's transforms lay images out.
    images = torch.randn(batch_size, 3, size, size, device=device)
    eager = network.body.to(device)
    folded = fold_batch_norm(network.body).to(device)
    channels_last = fold_batch_norm(network).to(device).to(memory_format=torch.channels_last)
    profile = profile_of(options.profile, backbone)
    fast = in_precision_of(profile, optimised(network, device), device)
    jobs: Jobs = {
        NETWORK + "eager": lambda: stages.run_network(eager, images),
        NETWORK + "folded": lambda: stages.run_network(folded, images),
        NETWORK + "folded, channels last": lambda: stages.run_network(channels_last, crops),
        NETWORK + "fused": lambda: stages.run_network(fast, crops),
        NETWORK + "in use": lambda: stages.run_network(in_use, crops),
    }
    compiled = compile_for(fast, crops) if options.compiled else None
    if compiled is not None:
        network_of_it: nn.Module = compiled
        jobs[NETWORK + "compiled"] = lambda: stages.run_network(network_of_it, crops)
    return jobs


def _authors_procedure(options: BenchOptions, device: torch.device) -> PlainProcedure:
    backbone = get_backbone(options.backbone)
    body = load_backbone(backbone, "random:0").body.to(device)
    return PlainProcedure(body, backbone, device, options.batch_size or _BATCH_SIZE)


def _work(options: BenchOptions, root: Path) -> Work:
    backbone = get_backbone(options.backbone)
    return Work(
        root=root,
        folder=root,
        config_hash="bench",
        frames="all",
        backbone=backbone,
        weights="random:0",
        device=options.device,
        batch_size=options.batch_size,
        decode_threads=options.decode_threads,
        clip_timeout_s=60,
        tasks=(),
        profile=profile_of(options.profile, backbone),
        compile="on" if options.compiled else "off",
    )


def _rates(jobs: Jobs, rounds: int) -> tuple[dict[str, float], dict[str, float]]:
    """Return the median frames per second and seconds of each job, over interleaved rounds."""
    rates: dict[str, list[float]] = {name: [] for name in jobs}
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for number in range(rounds):
        for name, job in jobs.items():
            started = time.perf_counter()
            count = job()
            seconds[name].append(time.perf_counter() - started)
            rates[name].append(count / seconds[name][-1])
        print(f"round {number + 1} of {rounds} is done", file=sys.stderr)
    return _medians(rates), _medians(seconds)


def _medians(values: Mapping[str, list[float]]) -> dict[str, float]:
    return {name: median(some) for name, some in values.items()}


def _waiting(runs: stages.PipelineRuns, seconds: float, options: BenchOptions) -> dict[str, float]:
    """Return the shares of a run for which network and decoding threads waited."""
    feed, threads = runs.last_feed, options.decode_threads or allowed_cpus()
    return {
        "network for decoding": feed.wait_s / seconds,
        "decoding for the network": feed.full_s / (threads * seconds),
    }


def _at_size(runs: stages.PipelineRuns, clips: Sequence[Path], options: BenchOptions) -> SizeResult:
    started = time.perf_counter()
    num_frames = runs.extract(clips, len(clips) * options.clip_frames)
    seconds = time.perf_counter() - started
    # Linux counts in KiB, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return SizeResult(num_frames=num_frames, seconds=seconds, peak_memory_mb=peak / 1e6)


@click.command()
@click.option("--backbone", default="resnet101", show_default=True)
@click.option("--device", default="auto", show_default=True)
@click.option("--profile", help="Default: the backbone's.")
@click.option(
    "--batch-size", type=int, help="Of every form; default: what is in use by itself, else 32."
)
@click.option("--num-clips", default=BenchOptions.num_clips, show_default=True)
@click.option("--clip-frames", default=BenchOptions.clip_frames, show_default=True)
@click.option("--rounds", default=BenchOptions.rounds, show_default=True)
@click.option("--decode-threads", type=int, help="Clips decoded side by side.")
@click.option("--compiled", is_flag=True, help="The compiled network, too: takes minutes.")
@click.option("--processes", is_flag=True, help="Decoding in processes, too.")
@click.option("--json", "json_file", metavar="FILE|-", help="Write JSON, - to standard output.")
@handles_errors("bench")
def main(json_file: str | None, **options: Any) -> None:
    """Measure stage one against its raw limits on this machine; clips are made for it."""
    publish(measure(BenchOptions(**options)), json_file)
