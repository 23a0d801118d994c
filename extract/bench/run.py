"""Timings of stage one, all from one run: each part, the network's forms, the whole pipeline.

Parts are measured in interleaved rounds, every other one in reverse order, and medians are printed.
A machine may be busy, so that ratios are of what was measured in one round, and only they mean
anything. What a job does once, loading the network and starting decoders, is told apart. Nothing
here decides whether a test passes.
"""

import copy
import json
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import click
import numpy as np
import torch
from torch import Tensor, nn

from ta3n.common.device import allowed_cpus, describe_device, peak_memory, resolve_device
from ta3n.common.errors import UsageError
from ta3n.common.files import expand_home
from ta3n.common.records import PYTHON_PREFIX
from ta3n.common.sampling import WindowPad
from ta3n.common.video import Frame, RgbImage, VideoReader, write_video
from ta3n.datasets.custom.loose import scan_videos
from ta3n.extract.backbones import IMAGE_SIZE, get_backbone, load_backbone
from ta3n.extract.bench.authors import PlainProcedure
from ta3n.extract.decoders.pool import Decoders, Frames
from ta3n.extract.decoding.passes import Pass
from ta3n.extract.inference.batches import SideBySide, inputs_in_words
from ta3n.extract.inference.engine import Engine, compile_for, in_precision_of
from ta3n.extract.inference.network import FeatureNetwork, fold_batch_norm, optimised
from ta3n.extract.inference.preprocessing import crop, resize_and_crop
from ta3n.extract.job.plan import feature_config, make_plan, spread_evenly
from ta3n.extract.job.settings import ExtractSettings
from ta3n.extract.worker.progress import Advanced
from ta3n.extract.worker.shards import decoders_for, engine_for, extract_shards
from ta3n.extract.worker.work import DECODER_COMMAND, ShardTask, Work

AUTHORS, PIPELINE, SAMPLED = "authors' procedure", "whole pipeline", "whole pipeline, 5 a clip"
THREADS, PROCESSES = (f"decode + convert + resize, {what}" for what in ("threads", "processes"))
NETWORK = "network, "
EAGER = NETWORK + "eager"


Jobs = dict[str, Callable[[], int]]
_Rounds = Mapping[str, Sequence[float]]
"""A value for each round, by what was measured."""
_RESIZED_FRAMES = 64
_BATCH_SIZE = 32
_NETWORK_RUNS = 2
_WIDTH, _HEIGHT, _TEXEL = 320, 240, 8
_SHARD = "shard-00000"


@dataclass(frozen=True, kw_only=True)
class BenchOptions:
    """What is measured, and how often; None follows from backbone, device and CPUs allowed.

    Weights are drawn, but for a network that comes trained. Linearity is measured on a quarter, a
    half and all of the clips, unless only some parts are asked for.

    Attributes:
        videos: Files or folders, so many clips of which are taken; none makes clips of
            `clip_frames`.
        only: Of the parts, those whose names hold one of these; none takes all.
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
    videos: tuple[str, ...] = ()
    only: tuple[str, ...] = ()


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
        cores: Share of their time that the CPU's cores compute the network, where each takes
            inputs of its own; the machine's speed, which may change meanwhile, has no say in it.
        start_s: What a job needs once, before the first frame.
        waiting: Share of its time that a side of the pipeline waited for the other.
        sizes: The whole pipeline on growing numbers of clips.
    """

    title: str
    options: BenchOptions
    frames_per_s: dict[str, float]
    clips_per_s: dict[str, float]
    ratios: dict[str, float]
    cores: dict[str, float]
    start_s: dict[str, float]
    waiting: dict[str, float]
    sizes: list[SizeResult]


def ratios_of(rates: _Rounds, clips_per_s: _Rounds) -> dict[str, float]:
    """Return the ratios that say how near the pipeline is to its limit, as far as it was measured.

    Args:
        rates: Frames per second in each round.
        clips_per_s: Likewise.
    """
    networks = [name for name in rates if name.startswith(NETWORK)]
    bare = max(networks, key=lambda name: median(rates[name]), default="")
    of_what = {
        "whole pipeline / fastest bare network": (rates, PIPELINE, bare),
        "fastest bare network / eager": (rates, bare, EAGER),
        "whole pipeline / authors' procedure": (rates, PIPELINE, AUTHORS),
        "clips per second, five frames / all": (clips_per_s, SAMPLED, PIPELINE),
        "decoding, processes / threads": (rates, PROCESSES, THREADS),
    }
    return {
        name: median(a / b for a, b in zip(values[above], values[below], strict=True))
        for name, (values, above, below) in of_what.items()
        if above in values and below in values
    }


def measure(options: BenchOptions) -> BenchResult:
    """Measure everything.

    Raises:
        UsageError: If backbone or device is not known.
        DeviceError: If the device is not there.
    """
    device = resolve_device(options.device)
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as stack:
        work, clips = _work(options, Path(temporary))
        started = time.perf_counter()
        engine = engine_for(work)
        loaded = time.perf_counter()
        counted = CountedNetwork(engine)
        decoders = stack.enter_context(decoders_for(work))
        decoders.wait_until_ready()
        start_s = {"network": loaded - started, "decoders": time.perf_counter() - loaded}
        threads = stack.enter_context(decoders_for(replace(work, decoder_command=())))
        five = replace(work, config=work.config.model_copy(update={"frames": "segments:5"}))
        pipeline = _Pipeline(work, engine, decoders)
        sampled = _Pipeline(five, engine, stack.enter_context(decoders_for(five)))
        num_frames = 1 if work.backbone.window is None else work.backbone.window.length
        batch_size = options.batch_size or max(_BATCH_SIZE // num_frames, 1)
        body = load_backbone(work.backbone, work.weights).body.to(device)
        plain = PlainProcedure(body, work.backbone, device, batch_size)
        passes = work.tasks[0].passes({})
        jobs = _asked_for(
            {
                **_jobs_of_decoding(clips, device),
                THREADS: lambda: _cropped(threads, passes),
                PROCESSES: lambda: _cropped(decoders, passes),
                **_jobs_of_network(work, engine, batch_size),
                AUTHORS: lambda: sum(len(plain.extract(path)) for path in clips),
                SAMPLED: sampled.run,
                PIPELINE: pipeline.run,
            },
            options.only,
        )
        for name in set(jobs) - {AUTHORS, PIPELINE}:
            # The first run lays out weights and takes memory; threads and processes start.
            jobs[name]()
        rates, seconds, cores = _rates(jobs, options.rounds, counted)
        waiting = pipeline.waiting
        parts = () if options.only else (4, 2, 1)
        sizes = [pipeline.size(max(len(clips) // part, 1)) for part in parts]
    title = (
        f"{options.backbone} on {describe_device(device)}, {allowed_cpus()} CPUs, "
        f"{inputs_in_words(engine.batch_size, work.backbone.input_shape)} a batch in use, "
        f"{batch_size} else"
    )
    clips_per_s = {
        name: [len(clips) / each for each in seconds[name]]
        for name in (PIPELINE, SAMPLED)
        if name in jobs
    }
    return BenchResult(
        title,
        options,
        _medians(rates),
        _medians(clips_per_s),
        ratios_of(rates, clips_per_s),
        {name: median(cores[name]) for name in (NETWORK + "in use", PIPELINE) if any(cores[name])},
        start_s,
        waiting,
        sizes,
    )


def _asked_for(jobs: Jobs, only: Sequence[str]) -> Jobs:
    found = {n: job for n, job in jobs.items() if not only or any(part in n for part in only)}
    if not found:
        raise UsageError(f"--only {only[0]}: nothing is called so; there are {', '.join(jobs)}")
    return found


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


def _work(options: BenchOptions, folder: Path) -> tuple[Work, list[Path]]:
    """Return the work on the bench's clips, one shard in a folder, and their files."""
    keys = ("backbone", "profile", "window", "window_step", "window_pad")
    is_trained = (
        options.backbone.startswith(PYTHON_PREFIX) and get_backbone(options.backbone).pretrained
    )
    named = {key: getattr(options, key) for key in keys}
    named["weights"] = None if is_trained else "random:0"
    backbone, weights, config = feature_config(ExtractSettings().model_copy(update=named), "bench")
    if not options.videos:
        _make_clips(folder, options.num_clips, options.clip_frames)
    listing = scan_videos([expand_home(Path(each)) for each in options.videos] or [folder])
    chosen = replace(listing, clips=tuple(spread_evenly(listing.clips, options.num_clips)))
    clips = make_plan(chosen, config, selection="", limit=None).clips
    clips = tuple(clip.model_copy(update={"shard": _SHARD}) for clip in clips)
    work = Work(
        root=listing.root,
        folder=folder,
        config=config,
        backbone=backbone,
        weights=weights,
        device=options.device,
        batch_size=options.batch_size,
        compile="on" if options.compiled else "off",
        decode_threads=options.decode_threads,
        tasks=(ShardTask(shard=_SHARD, clips=clips),),
        decoder_command=DECODER_COMMAND,
    )
    return work, [listing.root / clip.file for clip in clips]


class CountedNetwork:
    """Counts how long cores compute an engine's network, where each takes inputs of its own."""

    def __init__(self, engine: Engine) -> None:
        self._seconds: list[float] = []
        self._num_threads = engine.num_threads
        if isinstance(engine.network, SideBySide):
            engine.network.network.register_forward_pre_hook(self._begin)
            engine.network.network.register_forward_hook(self._end)
        self._of_thread = threading.local()

    def _begin(self, *_: object) -> None:
        self._of_thread.began = time.thread_time()

    def _end(self, *_: object) -> None:
        self._seconds.append(time.thread_time() - self._of_thread.began)

    def share_of(self, seconds: float) -> float:
        """Return the part of so many seconds that just went by, and begin anew."""
        counted, self._seconds = self._seconds, []
        return sum(counted) / (self._num_threads * seconds)


def _rates(
    jobs: Jobs, rounds: int, counted: CountedNetwork
) -> tuple[_Rounds, _Rounds, defaultdict[str, list[float]]]:
    """Return frames per second, seconds and cores' share of each job in interleaved rounds."""
    rates, seconds, cores = (defaultdict[str, list[float]](list) for _ in range(3))
    counted.share_of(1)
    for number in range(rounds):
        # What gets faster or slower meanwhile does so for all of them.
        names = list(jobs) if number % 2 == 0 else list(jobs)[::-1]
        for name in names:
            started = time.perf_counter()
            count = jobs[name]()
            seconds[name].append(time.perf_counter() - started)
            rates[name].append(count / seconds[name][-1])
            cores[name].append(counted.share_of(seconds[name][-1]))
        print(f"round {number + 1} of {rounds} is done", file=sys.stderr)
    return {name: rates[name] for name in jobs}, seconds, cores


def _medians(values: _Rounds) -> dict[str, float]:
    return {name: median(some) for name, some in values.items()}


class _Pipeline:
    """The whole pipeline, with a network and decoders that are ready.

    Attributes:
        waiting: Share of its time that a side of it waited for the other.
    """

    def __init__(self, work: Work, engine: Engine, decoders: Decoders) -> None:
        self._work = work
        self._engine = engine
        self._decoders = decoders
        self._seconds = self._wait_s = self._full_s = 0.0

    def run(self, num_clips: int | None = None) -> int:
        """Extract clips to one shard, in a folder of its own; return how many frames it has."""
        (task,) = self._work.tasks
        folder = Path(tempfile.mkdtemp(dir=self._work.folder))
        work = replace(
            self._work, folder=folder, tasks=(replace(task, clips=task.clips[:num_clips]),)
        )
        told: list[Advanced] = []
        started, decoders = time.perf_counter(), self._decoders
        self._wait_s -= decoders.wait_s
        self._full_s -= decoders.full_s
        extract_shards(work, told.append, self._engine, decoders=decoders)
        self._seconds += time.perf_counter() - started
        self._wait_s += decoders.wait_s
        self._full_s += decoders.full_s
        return told[-1].num_frames

    @property
    def waiting(self) -> dict[str, float]:
        if not self._seconds:
            return {}
        return {
            "network for decoding": self._wait_s / self._seconds,
            "decoding for the network": self._full_s / (self._decoders.count * self._seconds),
        }

    def size(self, num_clips: int) -> SizeResult:
        """Run it on some of the clips."""
        started = time.perf_counter()
        num_frames = self.run(num_clips)
        seconds = time.perf_counter() - started
        return SizeResult(
            num_frames=num_frames, seconds=seconds, peak_memory_mb=peak_memory() / 1e6
        )


def _make_clips(folder: Path, count: int, num_frames: int) -> None:
    """Encode clips like UCF101's: MPEG-4 in AVI, 320 by 240."""
    paths = [folder / f"{number}.avi" for number in range(count)]
    size = (_HEIGHT // _TEXEL, _WIDTH // _TEXEL, 3)
    for seed, path in enumerate(paths):
        texture = np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)
        image = texture.repeat(_TEXEL, axis=0).repeat(_TEXEL, axis=1)
        moving = (np.roll(image, 3 * shift, axis=1) for shift in range(num_frames))
        write_video(path, moving, frame_rate=25, codec="mpeg4")


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


def _cropped(decoders: Decoders, passes: Iterable[Pass]) -> int:
    return sum(len(i.pixels) for i in decoders.decoded(passes) if isinstance(i, Frames))


def write_json(record: dict[str, Any], json_file: str | None) -> None:
    """Write what was measured to a file, `-` for standard output; None is none."""
    if json_file == "-":
        click.echo(json.dumps(record))
    elif json_file is not None:
        text = json.dumps(record, indent=1) + "\n"
        expand_home(Path(json_file)).write_text(text, "utf-8")


def publish(result: BenchResult, json_file: str | None) -> None:
    """Print a result for people, or write it as JSON to a file (`-` for standard output)."""
    write_json(asdict(result), json_file)
    if json_file != "-":
        click.echo("\n".join(_lines(result)))


def _lines(result: BenchResult) -> list[str]:
    networks = [rate for name, rate in result.frames_per_s.items() if name.startswith(NETWORK)]
    bare = max(networks, default=float("nan"))
    start = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in result.start_s.items())
    lines = [
        f"{result.title}, {result.options.rounds} rounds",
        f"not counted, once a job: {start}",
        f"{'':44s} {'frames/s':>10s} {'of fastest network':>20s}",
    ]
    lines += [
        f"{n:44s} {rate:10.1f} {rate / bare:20.2f}" for n, rate in result.frames_per_s.items()
    ]
    lines += ["", *(f"{name:44s} {value:10.2f}" for name, value in result.ratios.items()), ""]
    lines += [f"cores at work: {n:29s} {100 * part:9.1f}%" for n, part in result.cores.items()]
    lines += [f"waiting: {name:35s} {100 * part:9.1f}%" for name, part in result.waiting.items()]
    lines.append("")
    lines += [
        f"whole pipeline, {size.num_frames:5d} frames{'':17s} {size.seconds:8.1f} s "
        f"{size.num_frames / size.seconds:8.1f} frames/s, peak memory {size.peak_memory_mb:6.0f} MB"
        for size in result.sizes
    ]
    return lines
