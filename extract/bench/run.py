"""Timings of stage one, all from one run: each part, the network's forms, the whole pipeline.

Parts are measured in interleaved rounds, and medians are printed: a machine may be busy, and only
ratios within a run mean anything. Nothing here decides whether a test passes.
"""

import resource
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import torch
from torch import nn

from ta3n.common.device import allowed_cpus, describe_device, resolve_device
from ta3n.common.records import FeatureConfig
from ta3n.extract.backbones import IMAGE_SIZE, Backbone, get_backbone, load_backbone
from ta3n.extract.bench import parts
from ta3n.extract.bench.authors import PlainProcedure
from ta3n.extract.inference.engine import compile_for, in_precision_of
from ta3n.extract.inference.network import FeatureNetwork, fold_batch_norm, optimised
from ta3n.extract.inference.preprocessing import crop, resize_and_crop
from ta3n.extract.worker.messages import Work
from ta3n.extract.worker.shards import engine_for

AUTHORS, PIPELINE, SAMPLED = "authors' procedure", "whole pipeline", "whole pipeline, 5 a clip"
NETWORK = "network, "
EAGER = NETWORK + "eager"


@dataclass(frozen=True, kw_only=True)
class BenchOptions:
    """What is measured, and how often.

    Attributes:
        backbone: The network; its weights are drawn.
        device: `auto`, `cpu` or `cuda:N`.
        profile: Of the network and the pipeline; None takes the backbone's.
        batch_size: B; None takes what suits the device.
        num_clips: Clips of the whole pipeline; linearity is measured on a quarter, a half and all.
        clip_frames: Frames of each.
        rounds: How often everything is measured.
        decode_threads: Clips decoded side by side; None follows the CPUs allowed.
        compiled: Whether to measure the compiled network too, which takes minutes.
        processes: Whether to measure decoding in processes, too.
    """

    backbone: str = "resnet101"
    device: str = "auto"
    profile: str | None = None
    batch_size: int | None = None
    num_clips: int = 4
    clip_frames: int = 150
    rounds: int = 3
    decode_threads: int | None = None
    compiled: bool = False
    processes: bool = False


@dataclass(frozen=True, slots=True)
class SizeResult:
    """The whole pipeline on some of the clips.

    Attributes:
        num_frames: Of these clips.
        seconds: It took.
        peak_memory_mb: The most that the process has held so far.
    """

    num_frames: int
    seconds: float
    peak_memory_mb: float


@dataclass(frozen=True, slots=True)
class BenchResult:
    """What came out.

    Attributes:
        title: Network and machine.
        options: As given.
        frames_per_s: Median rate of each stage.
        clips_per_s: Of the whole pipeline with all frames, and with five of each clip.
        ratios: Those that matter.
        waiting: Share of its time that a side of the pipeline waited for the other.
        sizes: The whole pipeline on growing numbers of clips.
    """

    title: str
    options: BenchOptions
    frames_per_s: dict[str, float]
    clips_per_s: dict[str, float]
    ratios: dict[str, float]
    waiting: dict[str, float]
    sizes: list[SizeResult]


def ratios_of(rates: Mapping[str, float], clips_per_s: Mapping[str, float]) -> dict[str, float]:
    """Return the ratios that say how near the pipeline is to its limit."""
    bare = max(rate for name, rate in rates.items() if name.startswith(NETWORK))
    return {
        "whole pipeline / fastest bare network": rates[PIPELINE] / bare,
        "fastest bare network / eager": bare / rates[EAGER],
        "whole pipeline / authors' procedure": rates[PIPELINE] / rates[AUTHORS],
        "clips per second, five frames / all": clips_per_s[SAMPLED] / clips_per_s[PIPELINE],
    }


Jobs = dict[str, Callable[[], int]]
_RESIZED_FRAMES = 64
_BATCH_SIZE = 32


def measure(options: BenchOptions) -> BenchResult:
    """Measure everything.

    Raises:
        UsageError: If backbone or device is not known.
        DeviceError: If the device is not there.
    """
    device = resolve_device(options.device)
    backbone = get_backbone(options.backbone)
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as stack:
        folder = Path(temporary)
        clips = parts.make_clips(folder, options.num_clips, options.clip_frames)
        work = _work(options, backbone, folder)
        engine = engine_for(work)
        waits: dict[str, float] = {}

        def pipeline(some: Sequence[Path]) -> int:
            feed = parts.whole_pipeline(work, engine, some)
            waits.update({"network": feed.wait_s, "decoding": feed.full_s})
            return len(some) * options.clip_frames

        def sampled() -> int:
            config = work.config.model_copy(update={"frames": "segments:5"})
            parts.whole_pipeline(replace(work, config=config), engine, clips)
            return 5 * len(clips)

        jobs = _jobs_of_decoding(clips, options, device, stack)
        jobs |= _jobs_of_network(options, backbone, device, engine.network)
        body = load_backbone(backbone, "random:0").body.to(device)
        plain = PlainProcedure(body, backbone, device, options.batch_size or _BATCH_SIZE)
        jobs[AUTHORS] = lambda: sum(len(plain.extract(path)) for path in clips)
        jobs[SAMPLED] = sampled
        jobs[PIPELINE] = lambda: pipeline(clips)
        for name in (name for name in jobs if name.startswith(NETWORK)):
            # The first run lays out weights and takes memory.
            jobs[name]()
        rates, seconds = _rates(jobs, options.rounds)
        threads = options.decode_threads or allowed_cpus()
        waiting = {
            "network for decoding": waits["network"] / seconds[PIPELINE],
            "decoding for the network": waits["decoding"] / (threads * seconds[PIPELINE]),
        }
        sizes = [_timed(pipeline, clips[: max(len(clips) // part, 1)]) for part in (4, 2, 1)]
    title = (
        f"{options.backbone} on {describe_device(device)}, {allowed_cpus()} CPUs, "
        f"{engine.batch_size} frames a batch in use, {options.batch_size or _BATCH_SIZE} else"
    )
    clips_per_s = {key: len(clips) / seconds[key] for key in (PIPELINE, SAMPLED)}
    ratios = ratios_of(rates, clips_per_s)
    return BenchResult(title, options, rates, clips_per_s, ratios, waiting, sizes)


def _jobs_of_decoding(
    clips: list[Path], options: BenchOptions, device: torch.device, stack: ExitStack
) -> Jobs:
    frames = parts.first_frames(clips[0], _RESIZED_FRAMES)
    on_device = torch.stack([torch.from_numpy(pixels) for pixels in frames]).to(device)
    threads = options.decode_threads or allowed_cpus()
    jobs: Jobs = {
        "decode": lambda: _count(parts.frames_of(clips)),
        "decode + convert": lambda: _count(frame.rgb() for frame in parts.frames_of(clips)),
        "resize, Pillow": lambda: _count(map(crop, frames)),
        f"resize, tensors on {device.type}": lambda: parts.wait_for(
            resize_and_crop(on_device, IMAGE_SIZE)
        ),
        f"decode + convert + resize, {threads} threads": lambda: parts.cropped_by_threads(
            clips, threads
        ),
    }
    if options.processes:
        pool = stack.enter_context(parts.decoding_processes(threads))
        jobs[f"decode + convert + resize, {threads} processes"] = lambda: (
            parts.cropped_by_processes(clips, pool)
        )
    return jobs


def _count(items: Iterable[object]) -> int:
    return sum(1 for _ in items)


def _jobs_of_network(
    options: BenchOptions, backbone: Backbone, device: torch.device, in_use: nn.Module
) -> Jobs:
    """Return the bare network in each form, on crops that are on the device already."""
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
    profile = backbone.profile_of(options.profile)
    fast = in_precision_of(profile, optimised(network, device), device)
    jobs: Jobs = {
        NETWORK + "eager": lambda: parts.run_network(eager, images),
        NETWORK + "folded": lambda: parts.run_network(folded, images),
        NETWORK + "folded, channels last": lambda: parts.run_network(channels_last, crops),
        NETWORK + "fused": lambda: parts.run_network(fast, crops),
        NETWORK + "in use": lambda: parts.run_network(in_use, crops),
    }
    compiled = compile_for(fast, crops) if options.compiled else None
    if compiled is not None:
        network_of_it: nn.Module = compiled
        jobs[NETWORK + "compiled"] = lambda: parts.run_network(network_of_it, crops)
    return jobs


def _work(options: BenchOptions, backbone: Backbone, root: Path) -> Work:
    config = FeatureConfig(
        dataset="bench",
        backbone=backbone.name,
        weights="random:0",
        profile=backbone.profile_of(options.profile),
        image_size=backbone.image_size,
        frames="all",
        feature_dim=backbone.feature_dim,
    )
    return Work(
        root=root,
        folder=root,
        config=config,
        backbone=backbone,
        weights="random:0",
        device=options.device,
        batch_size=options.batch_size,
        compile="on" if options.compiled else "off",
        decode_threads=options.decode_threads,
    )


def _rates(jobs: Jobs, rounds: int) -> tuple[dict[str, float], dict[str, float]]:
    """Return the median frames per second and seconds of each job, over interleaved rounds."""
    rates, seconds = defaultdict(list), defaultdict(list)
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


def _timed(pipeline: Callable[[Sequence[Path]], int], clips: Sequence[Path]) -> SizeResult:
    started = time.perf_counter()
    num_frames = pipeline(clips)
    seconds = time.perf_counter() - started
    # Linux counts in KiB, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return SizeResult(num_frames=num_frames, seconds=seconds, peak_memory_mb=peak / 1e6)
