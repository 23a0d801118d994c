"""Decoding threads, batches and shards put together: the work of one extraction job."""

import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field

from ta3n.common.device import allowed_cpus, describe_device, resolve_device
from ta3n.common.log import LOGGER, ProgressLine, describe_duration
from ta3n.common.records import Plan, PlannedClip
from ta3n.common.sampling import FrameSelection
from ta3n.common.store import write_shard
from ta3n.common.streams import RgbImage
from ta3n.extract.batches import BatchRunner
from ta3n.extract.decode import ClipOutcome, decode_clip
from ta3n.extract.feed import ClipFeed
from ta3n.extract.network import load_network
from ta3n.extract.run import ExtractionJob
from ta3n.extract.shards import ShardBuilder, provenance_of


@dataclass
class _Meter:
    """Counts what the progress line shows."""

    total: int
    clips: int = 0
    frames: int = 0
    started_s: float = field(default_factory=time.monotonic)

    def elapsed_s(self) -> float:
        return max(time.monotonic() - self.started_s, 1e-9)

    def rates(self, wait_s: float) -> str:
        elapsed = self.elapsed_s()
        return (
            f"{self.frames} frames, {self.frames / elapsed:.1f} frames/s, "
            f"waited {100 * wait_s / elapsed:.0f}% for decoding"
        )

    def time_left(self) -> str:
        left = self.elapsed_s() / self.clips * (self.total - self.clips)
        return f"{describe_duration(left)} left"


def extract_shards(job: ExtractionJob, plan: Plan, shards: Sequence[str]) -> None:
    """Extract and write shards one after another.

    Args:
        job: What the command was asked for.
        plan: The folder's plan.
        shards: Names of the shards to do.

    Raises:
        WeightsError: If the weights cannot be loaded.
        DeviceError: If the device is not there.
        OSError: If a shard cannot be written; finished ones stay.
    """
    runner, provenance = _start(job)
    selection = FrameSelection.parse(plan.config.frames)
    members = {shard: [c for c in plan.clips if c.shard == shard] for shard in shards}
    todo = [clip for clips in members.values() for clip in clips]

    def decode(clip: PlannedClip) -> Generator[RgbImage, None, ClipOutcome]:
        return decode_clip(job.root / clip.path, selection)

    meter = _Meter(total=len(todo))
    threads = job.decode_threads or allowed_cpus()
    with (
        ClipFeed(todo, decode, num_threads=threads) as feed,
        ProgressLine(len(todo), "clips") as progress,
    ):
        decoded = iter(feed)
        for shard, clips in members.items():
            builder = ShardBuilder(shard, runner)
            for _ in clips:
                meter.frames += builder.add(*next(decoded))
                meter.clips += 1
                progress.update(meter.clips, f"{meter.rates(feed.wait_s)}, {meter.time_left()}")
            content = builder.finish(plan.config.hash, provenance)
            write_shard(job.folder, content.record, content.features, content.frames)
    LOGGER.info(
        "%d clips in %s: %s",
        meter.clips,
        describe_duration(meter.elapsed_s()),
        meter.rates(feed.wait_s),
    )


def _start(job: ExtractionJob) -> tuple[BatchRunner, dict[str, str]]:
    """Load the network; return what runs it and the provenance of what it will compute."""
    device = resolve_device(job.device)
    network, weights_sha256 = load_network(job.backbone, job.weights, device)
    provenance = provenance_of(describe_device(device), weights_sha256, allowed_cpus())
    LOGGER.info(
        "%s with weights %s on %s, %d frames a batch",
        job.backbone.name,
        job.plan.config.weights,
        provenance["device"],
        job.batch_size,
    )
    runner = BatchRunner(
        network, device=device, batch_size=job.batch_size, feature_dim=job.backbone.feature_dim
    )
    return runner, provenance
