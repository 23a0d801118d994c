"""Timings of stage one, all from one run: each part, the network's forms, the whole pipeline.

Parts are measured in interleaved rounds, and medians are printed: a machine may be busy, and only
ratios within a run mean anything. Nothing here decides whether a test passes.
"""

import copy
import json
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median

import click
import numpy as np
import torch
from torch import Tensor, nn

from ta3n.common.device import allowed_cpus, describe_device, peak_memory, resolve_device
from ta3n.common.files import expand_home
from ta3n.common.records import PYTHON_PREFIX, PlannedClip
from ta3n.common.sampling import WindowPad
from ta3n.common.video import Frame, RgbImage, VideoReader, write_video
from ta3n.extract.backbones import IMAGE_SIZE, get_backbone, load_backbone
from ta3n.extract.bench.authors import PlainProcedure
from ta3n.extract.decoders.pool import Decoders, Frames
from ta3n.extract.decoding.passes import PassDecoding
from ta3n.extract.inference.batches import inputs_in_words
from ta3n.extract.inference.engine import Engine, compile_for, in_precision_of
from ta3n.extract.inference.network import FeatureNetwork, fold_batch_norm, optimised
from ta3n.extract.inference.preprocessing import crop, resize_and_crop
from ta3n.extract.job.plan import feature_config
from ta3n.extract.job.settings import ExtractSettings
from ta3n.extract.worker.shards import engine_for, extract_shards
from ta3n.extract.worker.work import DECODER_COMMAND, ShardTask, Work

AUTHORS, PIPELINE, SAMPLED = "authors' procedure", "whole pipeline", "whole pipeline, 5 a clip"
NETWORK = "network, "
EAGER = NETWORK + "eager"


@dataclass(frozen=True, kw_only=True)
class BenchOptions:
    """What is measured, and how often; None follows from backbone, device and CPUs allowed.

    Weights are drawn, but for a network that comes trained. Linearity is measured on a quarter, a
    half and all of the clips.
    """

    backbone: str = "resnet101"
    device: str = "auto"
    profile: str | None = None
    window: int | None = None
    window_step: int | None = None
    window_pad: WindowPad | None = None
    batch_size: int | None = None
    num_clips: int = 4
    clip_frames: int = 150
    rounds: int = 3
    decode_threads: int | None = None
    compiled: bool = False
    processes: bool = False


@dataclass(frozen=True, slots=True)
class SizeResult:
    """The whole pipeline on some of the clips; the memory is the most that was held so far."""

    num_frames: int
    seconds: float
    peak_memory_mb: float


@dataclass(frozen=True, slots=True)
class BenchResult:
    """What came out.

    Attributes:
        title: Network and machine.
        frames_per_s: Median rate of each stage.
        clips_per_s: Of the whole pipeline with all frames, and with five of each clip.
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
_NETWORK_RUNS = 3
_WIDTH, _HEIGHT, _TEXEL = 320, 240, 8
_SHARD = "shard-00000"


def measure(options: BenchOptions) -> BenchResult:
    """Measure everything.

    Raises:
        UsageError: If backbone or device is not known.
        DeviceError: If the device is not there.
    """
    device = resolve_device(options.device)
    threads = options.decode_threads or allowed_cpus()
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as stack:
        folder = Path(temporary)
        clips = _make_clips(folder, options.num_clips, options.clip_frames)
        work = _work(options, folder)
        engine = engine_for(work)
        num_frames = 1 if work.backbone.window is None else work.backbone.window.length
        batch_size = options.batch_size or max(_BATCH_SIZE // num_frames, 1)
        waits: dict[str, float] = {}

        def pipeline(some: Sequence[Path]) -> int:
            decoders = _whole_pipeline(work, engine, some)
            waits.update({"network": decoders.wait_s, "decoding": decoders.full_s})
            return len(some) * options.clip_frames

        def sampled() -> int:
            config = work.config.model_copy(update={"frames": "segments:5"})
            _whole_pipeline(replace(work, config=config), engine, clips)
            return 5 * len(clips)

        jobs = _jobs_of_decoding(clips, device)
        kinds = (
            {"threads": (), "processes": DECODER_COMMAND} if options.processes else {"threads": ()}
        )
        for what, command in kinds.items():
            running = stack.enter_context(_decoders(work, engine, threads, command))
            jobs[f"decode + convert + resize, {threads} {what}"] = partial(_cropped, running, clips)
        jobs |= _jobs_of_network(work, engine, batch_size)
        body = load_backbone(work.backbone, work.weights).body.to(device)
        plain = PlainProcedure(body, work.backbone, device, batch_size)
        jobs[AUTHORS] = lambda: sum(len(plain.extract(path)) for path in clips)
        jobs[SAMPLED] = sampled
        jobs[PIPELINE] = lambda: pipeline(clips)
        for name in (name for name in jobs if name.startswith(NETWORK)):
            # The first run lays out weights and takes memory.
            jobs[name]()
        rates, seconds = _rates(jobs, options.rounds)
        waiting = {
            "network for decoding": waits["network"] / seconds[PIPELINE],
            "decoding for the network": waits["decoding"] / (threads * seconds[PIPELINE]),
        }
        sizes = [_timed(pipeline, clips[: max(len(clips) // part, 1)]) for part in (4, 2, 1)]
    title = (
        f"{options.backbone} on {describe_device(device)}, {allowed_cpus()} CPUs, "
        f"{inputs_in_words(engine.batch_size, work.backbone.input_shape)} a batch in use, "
        f"{batch_size} else"
    )
    clips_per_s = {key: len(clips) / seconds[key] for key in (PIPELINE, SAMPLED)}
    return BenchResult(
        title, options, rates, clips_per_s, ratios_of(rates, clips_per_s), waiting, sizes
    )


def _jobs_of_decoding(clips: list[Path], device: torch.device) -> Jobs:
    frames = first_frames(clips[0], _RESIZED_FRAMES)
    on_device = torch.stack([torch.from_numpy(pixels) for pixels in frames]).to(device)
    return {
        "decode": lambda: _count(_frames_of(clips)),
        "decode + convert": lambda: _count(frame.rgb() for frame in _frames_of(clips)),
        "resize, Pillow": lambda: _count(map(crop, frames)),
        f"resize, tensors on {device.type}": lambda: _wait_for(
            resize_and_crop(on_device, IMAGE_SIZE)
        ),
    }


def _count(items: Iterable[object]) -> int:
    return sum(1 for _ in items)


def _jobs_of_network(work: Work, engine: Engine, batch_size: int) -> Jobs:
    """Return the bare network in each form, on crops that are on the device already."""
    backbone, device = work.backbone, engine.device
    network = FeatureNetwork(load_backbone(backbone, work.weights).body, backbone).eval()
    shape = (batch_size, *backbone.input_shape)
    crops = torch.randint(0, 256, shape, dtype=torch.uint8).to(device)
    # As torchvision's transforms lay images and clips out.
    images = torch.randn(batch_size, 3, *backbone.input_shape[:-1], device=device)
    eager = network.body.to(device)
    # Networks of clips have one form.
    fast = copy.deepcopy(network) if backbone.window else optimised(network, device)
    fast = in_precision_of(work.config.profile, fast.to(device), device)
    jobs: Jobs = {EAGER: lambda: _run_network(eager, images)}
    if backbone.window is None:
        folded = fold_batch_norm(network.body).to(device)
        channels_last = fold_batch_norm(network).to(device).to(memory_format=torch.channels_last)
        jobs |= {
            NETWORK + "folded": lambda: _run_network(folded, images),
            NETWORK + "folded, channels last": lambda: _run_network(channels_last, crops),
            NETWORK + "fused": lambda: _run_network(fast, crops),
        }
    jobs[NETWORK + "in use"] = lambda: _run_network(engine.network, crops)
    compiled = compile_for(fast, crops) if work.compile == "on" else None
    if compiled is not None:
        network_of_it: nn.Module = compiled
        jobs[NETWORK + "compiled"] = lambda: _run_network(network_of_it, crops)
    return jobs


def _work(options: BenchOptions, root: Path) -> Work:
    keys = ("backbone", "profile", "window", "window_step", "window_pad")
    is_trained = (
        options.backbone.startswith(PYTHON_PREFIX) and get_backbone(options.backbone).pretrained
    )
    named = {key: getattr(options, key) for key in keys}
    named["weights"] = None if is_trained else "random:0"
    backbone, weights, config = feature_config(ExtractSettings().model_copy(update=named), "bench")
    return Work(
        root=root,
        folder=root,
        config=config,
        backbone=backbone,
        weights=weights,
        device=options.device,
        batch_size=options.batch_size,
        compile="on" if options.compiled else "off",
        decode_threads=options.decode_threads,
        decoder_command=DECODER_COMMAND,
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
    return SizeResult(num_frames=num_frames, seconds=seconds, peak_memory_mb=peak_memory() / 1e6)


def _make_clips(folder: Path, count: int, num_frames: int) -> list[Path]:
    """Encode clips like UCF101's: MPEG-4 in AVI, 320 by 240."""
    paths = [folder / f"{number}.avi" for number in range(count)]
    size = (_HEIGHT // _TEXEL, _WIDTH // _TEXEL, 3)
    for seed, path in enumerate(paths):
        texture = np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)
        image = texture.repeat(_TEXEL, axis=0).repeat(_TEXEL, axis=1)
        moving = (np.roll(image, 3 * shift, axis=1) for shift in range(num_frames))
        write_video(path, moving, frame_rate=25, codec="mpeg4")
    return paths


def _frames_of(clips: Iterable[Path]) -> Iterator[Frame]:
    """Decode clips on one thread; nothing is converted yet."""
    for path in clips:
        with VideoReader(path) as reader:
            yield from reader.frames()


def first_frames(path: Path, count: int) -> list[RgbImage]:
    """Return the first frames of a clip."""
    return [frame.rgb() for frame in islice(_frames_of([path]), count)]


def _run_network(network: nn.Module, batch: Tensor) -> int:
    """Run a batch a few times over; return how many images that were."""
    with torch.inference_mode():
        for _ in range(_NETWORK_RUNS):
            _wait_for(network(batch))
    return _NETWORK_RUNS * len(batch)


def _wait_for(result: Tensor) -> int:
    """Wait until a device has computed something; return its length."""
    result.flatten()[0].item()
    return len(result)


def _decoders(work: Work, engine: Engine, count: int, command: tuple[str, ...]) -> Decoders:
    return Decoders(
        PassDecoding(work.root, work.config, engine.cropper),
        count=count,
        max_bytes=engine.max_bytes_ahead,
        frame_bytes=engine.max_frame_bytes,
        command=command,
    )


def _cropped(decoders: Decoders, clips: Sequence[Path]) -> int:
    passes = ((clip,) for clip in _planned(clips))
    return sum(len(i.pixels) for i in decoders.decoded(passes) if isinstance(i, Frames))


def _planned(clips: Sequence[Path]) -> tuple[PlannedClip, ...]:
    return tuple(
        PlannedClip(
            id=number,
            path=path.name,
            class_name="bench",
            splits={},
            size_bytes=path.stat().st_size,
            mtime_ns=0,
            shard=_SHARD,
        )
        for number, path in enumerate(clips)
    )


def _whole_pipeline(work: Work, engine: Engine, clips: Sequence[Path]) -> Decoders:
    """Extract clips into one shard, in a folder of its own; return the decoders, at their end."""
    folder = Path(tempfile.mkdtemp(dir=work.folder))
    task = ShardTask(shard=_SHARD, clips=_planned(clips))
    return extract_shards(replace(work, folder=folder, tasks=(task,)), engine=engine)


def publish(result: BenchResult, json_file: str | None) -> None:
    """Print a result for people, or write it as JSON to a file (`-` for standard output)."""
    if json_file == "-":
        click.echo(json.dumps(asdict(result)))
        return
    if json_file is not None:
        text = json.dumps(asdict(result), indent=1) + "\n"
        expand_home(Path(json_file)).write_text(text, "utf-8")
    click.echo("\n".join(_lines(result)))


def _lines(result: BenchResult) -> list[str]:
    bare = max(rate for name, rate in result.frames_per_s.items() if name.startswith(NETWORK))
    lines = [
        f"{result.title}, {result.options.rounds} rounds",
        f"{'':44s} {'frames/s':>10s} {'of fastest network':>20s}",
    ]
    lines += [
        f"{n:44s} {rate:10.1f} {rate / bare:20.2f}" for n, rate in result.frames_per_s.items()
    ]
    lines += ["", *(f"{name:44s} {value:10.2f}" for name, value in result.ratios.items()), ""]
    lines += [f"waiting: {name:35s} {100 * part:9.1f}%" for name, part in result.waiting.items()]
    lines.append("")
    lines += [
        f"whole pipeline, {size.num_frames:5d} frames{'':17s} {size.seconds:8.1f} s "
        f"{size.num_frames / size.seconds:8.1f} frames/s, peak memory {size.peak_memory_mb:6.0f} MB"
        for size in result.sizes
    ]
    return lines
