"""Stage one with a device and decoders that only take their time: what else bounds it shows.

The device computes F frames in F / R seconds, and by itself, as a GPU does. It has no memory, so
that frames are not copied there; all that this process does for a GPU besides is done. A decoder
takes a fixed time a frame, and hands over what it would for a GPU: the frame, or the crop of a
large one; or it crashes. Decoders are processes that wait, so that any number of them runs on any
machine.
"""

import math
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby, product
from pathlib import Path
from statistics import median
from typing import Any

import click
import torch
from torch import Tensor, nn

from ta3n.common.device import peak_memory
from ta3n.common.errors import UsageError
from ta3n.common.records import PlannedClip
from ta3n.extract.bench.run import write_json
from ta3n.extract.bench.simulated_decoding import SimulatedDecoding
from ta3n.extract.decoders.pool import Decoders
from ta3n.extract.inference.batches import BatchRunner
from ta3n.extract.inference.engine import Engine
from ta3n.extract.job.plan import feature_config, spread_evenly
from ta3n.extract.job.settings import ExtractSettings
from ta3n.extract.worker.progress import Advanced
from ta3n.extract.worker.shards import extract_shards
from ta3n.extract.worker.work import DECODER_COMMAND, ShardTask, Work

NUM_DECODERS, SECONDS_A_FRAME = 16, 0.004
LENGTHS: dict[str, tuple[int, ...]] = {
    "50": (50,),
    "400": (400,),
    "1200": (1200,),
    "mixed": (1200, 50, 400),
}
SHAPES = {"320x240": (240, 320, 3), "1280x720": (224, 224, 3)}
"""What is handed over of a frame; large ones are cropped where they are decoded."""

_BATCH_SIZE = 256
_BYTES_AHEAD = 128 * 2**20
_FRAMES_EACH = 4800
# Of all frames: before, decoders start; after, some have nothing left to do.
_STEADY = (0.1, 0.8)
_SHARDS, _FRAMES_A_SHARD, _FRAMES_A_CLIP = 10, 12_000, 200
_CRASHES, _CRASH_CLIPS, _FRAMES_TO_CRASH, _CRASH_ROUNDS = (1, 10), 100, 100, 3


@dataclass
class SimulatedDevice:
    """A device of a fixed speed.

    Attributes:
        idle_s: Seconds for which it had nothing to do, between its first and its last batch.
    """

    frames_per_s: float
    idle_s: float = 0.0
    _started: float = 0.0
    _free_at: float = 0.0

    def compute(self, num_frames: int) -> None:
        """Begin with so many frames as soon as those before are done."""
        now = time.perf_counter()
        if not self._free_at:
            self._started = self._free_at = now
        self.idle_s += max(now - self._free_at, 0.0)
        self._free_at = max(now, self._free_at) + num_frames / self.frames_per_s

    def new_done(self) -> "_DoneAt":
        """Return what tells when it is done."""
        return _DoneAt(self)

    @property
    def idle_share(self) -> float:
        """The part of its time for which it had nothing to do."""
        return self.idle_s / max(self._free_at - self._started, 1e-9)


@dataclass
class _DoneAt:
    device: SimulatedDevice
    at: float = 0.0

    def record(self) -> None:
        self.at = self.device._free_at

    def synchronize(self) -> None:
        time.sleep(max(self.at - time.perf_counter(), 0.0))


class _Network(nn.Module):
    def __init__(self, device: SimulatedDevice, feature_dim: int) -> None:
        super().__init__()
        self._device = device
        self._feature_dim = feature_dim

    def forward(self, crops: Tensor) -> Tensor:
        """Let the device begin with crops [B, S, S, 3]; return rows [B, D] of zeros at once."""
        self._device.compute(len(crops))
        return torch.zeros(len(crops), self._feature_dim)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Engine(Engine):
    simulated: SimulatedDevice

    def new_runner(self) -> BatchRunner:
        return BatchRunner(
            self.network,
            device=self.device,
            batch_size=self.batch_size,
            feature_dim=self.backbone.feature_dim,
            new_done=self.simulated.new_done,
        )


@dataclass
class Rate:
    """How fast frames were computed, as told on the way."""

    total: int
    told: list[tuple[int, float]] = field(default_factory=list)

    def __call__(self, now: Advanced) -> None:
        """Take how far it is."""
        self.told.append((now.num_frames, time.perf_counter()))

    @property
    def steady(self) -> float:
        """Frames a second while all decoders had something to do."""
        (first, began), (last, ended) = (
            next(told for told in self.told if told[0] >= part * self.total) for part in _STEADY
        )
        return (last - first) / (ended - began)


def publish_simulation(frames_per_s: float, json_file: str | None, **options: Any) -> None:
    """Print what `simulate` finds, or write it as JSON to a file (`-` for standard output).

    Raises:
        UsageError: If there is no such device.
    """
    if not 0 < frames_per_s < float("inf"):
        raise UsageError(f"--simulate {frames_per_s:g}: a device's speed is more than 0 frames/s")
    tell: Callable[[str], None] = (lambda _: None) if json_file == "-" else click.echo
    write_json(simulate(frames_per_s, tell=tell, **options), json_file)


def simulate(
    frames_per_s: float,
    *,
    decoders: int | None,
    megabytes: int | None,
    only: Sequence[str] = (),
    tell: Callable[[str], None],
) -> dict[str, Any]:
    """Measure which share of a device's speed is kept, for which it idles, and what crashes cost.

    Args:
        frames_per_s: The device's speed, R.
        decoders: How many; None takes 16.
        megabytes: Of frames that may wait.
        only: Of the parts, those whose names hold one of these; none takes all.
        tell: Is given every line for people.

    Returns:
        All figures, by part.
    """
    count = decoders or NUM_DECODERS
    num_bytes = megabytes * 10**6 if megabytes else _BYTES_AHEAD
    ideal = min(frames_per_s, count / SECONDS_A_FRAME)
    tell(
        f"a device of {frames_per_s:g} frames/s, {count} decoders of {1e3 * SECONDS_A_FRAME:g} ms "
        f"a frame, {num_bytes / 1e6:.0f} MB for frames that wait: at most {ideal:g} frames/s"
    )
    found: dict[str, Any] = {"device": frames_per_s, "decoders": count, "bytes": num_bytes}

    def is_asked_for(name: str) -> bool:
        return not only or any(part in name for part in only)

    def run(
        name: str,
        decoding: SimulatedDecoding,
        clips: Sequence[PlannedClip],
        count: int,
        most: float,
    ) -> None:
        rate, device, _ = _run(frames_per_s, decoding, clips, count, num_bytes)
        share = rate.steady / most
        found[name] = {"frames_per_s": rate.steady, "share": share, "idle": device.idle_share}
        tell(
            f"{name:44s} {rate.steady:8.0f} frames/s {share:6.2f} of what there is, "
            f"peak memory {peak_memory() / 1e6:.0f} MB"
        )

    for (size, shape), (kind, lengths) in product(SHAPES.items(), LENGTHS.items()):
        if is_asked_for(name := f"{size}, clips of {kind} frames"):
            clips = _clips(lengths, count * _FRAMES_EACH)
            run(name, SimulatedDecoding(shape, SECONDS_A_FRAME), clips, count, ideal)
    if is_asked_for(name := f"decoding takes no time, {_SHARDS} shards of 98 MB"):
        clips = _clips((_FRAMES_A_CLIP,), _SHARDS * _FRAMES_A_SHARD)
        run(name, SimulatedDecoding(SHAPES["1280x720"], 0.0), clips, 2, frames_per_s)
        tell(f"{'':44s} the device idles {100 * found[name]['idle']:.1f} % of the time")
    if is_asked_for(name := f"crashes in a job of {_CRASH_CLIPS} clips"):
        found[name] = _cost_of_crashes(frames_per_s, count, num_bytes)
        costs = ", ".join(f"{n} of them {s:.2f} s" for n, s in found[name]["more_s"].items())
        tell(f"{name:44s} {found[name]['without_s']:8.2f} s without any; {costs} more")
    return found


def _cost_of_crashes(frames_per_s: float, count: int, num_bytes: int) -> dict[str, Any]:
    """Return how long a job takes without a crash, and how much longer with one, and with ten.

    Medians of interleaved rounds. Decoders are ready before a job begins.
    """
    clips = _clips((_FRAMES_TO_CRASH,), _CRASH_CLIPS * _FRAMES_TO_CRASH)
    seconds: dict[int, list[float]] = {number: [] for number in (0, *_CRASHES)}
    for _, number in product(range(_CRASH_ROUNDS), seconds):
        bad = frozenset(clip.id for clip in spread_evenly(clips, number)) if number else frozenset()
        decoding = SimulatedDecoding(SHAPES["320x240"], SECONDS_A_FRAME, bad)
        seconds[number].append(_run(frames_per_s, decoding, clips, count, num_bytes)[2])
    without = median(seconds[0])
    return {
        "without_s": without,
        "more_s": {number: median(seconds[number]) - without for number in _CRASHES},
    }


def _clips(lengths: Sequence[int], num_frames: int) -> list[PlannedClip]:
    """Return clips of so many frames together, in shards of 12,000 frames."""
    clips: list[PlannedClip] = []
    made = 0
    while made < num_frames:
        number, length = len(clips), lengths[len(clips) % len(lengths)]
        shard = f"shard-{made // _FRAMES_A_SHARD:05d}"
        clips.append(
            PlannedClip(
                id=number, path=f"{number:06d}", class_name="", splits={}, size_bytes=length,
                mtime_ns=0, shard=shard,
            )
        )  # fmt: skip
        made += length
    return clips


def _run(
    frames_per_s: float,
    decoding: SimulatedDecoding,
    clips: Sequence[PlannedClip],
    count: int,
    num_bytes: int,
) -> tuple[Rate, SimulatedDevice, float]:
    """Extract clips to a folder that is removed then; return also how many seconds that took."""
    backbone, weights, config = feature_config(ExtractSettings(), "bench")
    device, rate = SimulatedDevice(frames_per_s), Rate(sum(clip.size_bytes for clip in clips))
    decoders = Decoders(
        decoding,
        count=count,
        max_bytes=num_bytes,
        frame_bytes=max(map(math.prod, SHAPES.values())),
        command=DECODER_COMMAND,
    )
    with tempfile.TemporaryDirectory() as folder, decoders:
        work = Work(
            root=Path(folder),
            folder=Path(folder),
            config=config,
            backbone=backbone,
            weights=weights,
            device="simulated",
            tasks=tuple(
                ShardTask(shard=shard, clips=tuple(of_shard))
                for shard, of_shard in groupby(clips, key=lambda clip: clip.shard)
            ),
        )
        engine = _Engine(
            backbone=backbone,
            network=_Network(device, backbone.feature_dim),
            device=torch.device("meta"),  # frames are not copied there
            batch_size=_BATCH_SIZE,
            num_threads=1,
            provenance={},
            simulated=device,
        )
        decoders.wait_until_ready()
        started = time.perf_counter()
        extract_shards(work, rate, engine, decoders=decoders)
        return rate, device, time.perf_counter() - started
