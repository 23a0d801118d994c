"""Decoding threads, batches and shards put together: the work of one worker."""

from collections.abc import Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import groupby

import torch
from torch import nn

from ta3n.common.device import allowed_cpus, describe_device, resolve_device
from ta3n.common.errors import DataMissingError
from ta3n.common.log import LOGGER
from ta3n.common.records import USABLE, PlannedClip, ShardRecord
from ta3n.common.sampling import FrameSelection
from ta3n.common.store import ShardReader, is_finished, shard_path, write_shard
from ta3n.common.video import RgbImage
from ta3n.extract.decoding.decode import ClipOutcome, decode_clip
from ta3n.extract.decoding.prefetch import ClipCrops, ClipFeed
from ta3n.extract.inference.batches import BatchRunner, suitable_batch_size
from ta3n.extract.inference.network import load_network
from ta3n.extract.inference.precision import compiled_if_faster, in_precision_of, is_compiled
from ta3n.extract.inference.preprocessing import Cropper, cropper_for
from ta3n.extract.inference.side_by_side import SideBySide
from ta3n.extract.worker.heartbeat import Reporter, watched
from ta3n.extract.worker.protocol import Advanced, ShardDone, ShardTask, Work
from ta3n.extract.worker.shards import ShardBuilder, provenance_of

# A CPU's network is slow; a GPU takes a clip in a tenth of a second, so many are to be ready.
_BYTES_AHEAD = {"cpu": 128 * 2**20, "cuda": 768 * 2**20}


def extract_shards(work: Work, reporter: Reporter) -> None:
    """Extract and write shards one after another.

    Args:
        work: What is to be done.
        reporter: Is told of every clip and shard.

    Raises:
        WeightsError: If the weights cannot be loaded.
        DeviceError: If the device is not there, or has not enough memory.
        DataMissingError: If the folder of the clips went away.
        FeatureStoreError: If a shard to be completed is damaged.
        OSError: If a shard cannot be written; finished ones stay.
    """
    make_shards(work, reporter, start_engine(work))


@dataclass(frozen=True, slots=True)
class Engine:
    """What computes features, ready to run.

    Attributes:
        network: Maps uint8 [B, 224, 224, 3] to float32 [B, D], in the form that is run.
        runner: The network with its batches.
        cropper: Applied to frames in decoding threads.
        provenance: What is behind the numbers that it will compute.
        max_bytes_ahead: Most bytes of frames that wait for it.
    """

    network: nn.Module
    runner: BatchRunner
    cropper: Cropper
    provenance: dict[str, str]
    max_bytes_ahead: int


def make_shards(work: Work, reporter: Reporter, engine: Engine) -> ClipFeed[PlannedClip]:
    """Extract and write shards with an engine that has been started.

    Returns:
        The feed, used up, which knows who waited for whom.

    Raises:
        DeviceError: If the device has not enough memory.
        DataMissingError: If the folder of the clips went away.
        FeatureStoreError: If a shard to be completed is damaged.
        OSError: If a shard cannot be written; finished ones stay.
    """
    worker = _ShardWorker(work, reporter, engine)
    tasks = {task.shard: task for task in work.tasks}
    feed = ClipFeed(
        worker.todo(),
        worker.decode,
        num_threads=work.decode_threads or _own_cpus(work),
        max_bytes=engine.max_bytes_ahead,
    )
    with feed:
        for shard, decoded in groupby(feed, key=lambda item: item[0].shard):
            worker.make(tasks[shard], decoded, feed)
    return feed


@dataclass
class _ShardWorker:
    """Makes the shards of a piece of work."""

    work: Work
    reporter: Reporter
    engine: Engine
    num_clips: int = 0
    num_frames: int = 0

    def todo(self) -> Iterator[PlannedClip]:
        """Yield the clips to be decoded; shards that another job finished meanwhile are skipped."""
        for task in self.work.tasks:
            if not task.replace and is_finished(self.work.folder, task.shard):
                self.reporter.send(ShardDone(task.shard))
                continue
            yield from (clip for clip in task.clips if clip.id not in task.kept)

    def decode(self, clip: PlannedClip) -> Generator[RgbImage, None, ClipOutcome]:
        """Decode a clip under the supervisor's eyes, unless it is known to kill or hang."""
        verdict = self.work.verdicts.get(clip.id)
        if verdict is not None:
            return ClipOutcome(
                status=verdict.status, error=verdict.error, attempts=verdict.attempts
            )
        selection = FrameSelection.parse(self.work.frames)
        with self.reporter.watching(clip.id) as watch:
            crops = decode_clip(
                self.work.root / clip.path,
                selection,
                watch.step,
                timing=self.work.timing,
                cropper=self.engine.cropper,
            )
            outcome = yield from watched(crops, watch)
        return replace(outcome, attempts=1 + self.work.attempts.get(clip.id, 0))

    def make(
        self,
        task: ShardTask,
        decoded: Iterator[tuple[PlannedClip, ClipCrops]],
        feed: ClipFeed[PlannedClip],
    ) -> None:
        """Run the decoded clips of a shard through the network, and write it."""
        with ExitStack() as stack:
            old = None
            if task.kept:
                old = stack.enter_context(ShardReader(shard_path(self.work.folder, task.shard)))
            builder = ShardBuilder(task.shard, task.clips, self.engine.runner, old)
            for clip, crops in decoded:
                self.num_frames += builder.add(clip, crops)
                self.num_clips += 1
                self.reporter.send(Advanced(self.num_clips, self.num_frames, feed.wait_s))
            spool = stack.enter_context(self.engine.runner.flush())
            content = builder.finish(spool, self.work.config_hash, self.engine.provenance)
            self._check_root(content.record)
            with self.reporter.publishing:
                write_shard(
                    self.work.folder,
                    content.record,
                    content.features,
                    content.frames,
                    replace=task.replace,
                )
        self.reporter.send(ShardDone(task.shard))

    def _check_root(self, record: ShardRecord) -> None:
        """Tell clips that fail from a disk that went away, which must not fail them all."""
        if all(clip.status in USABLE for clip in record.clips):
            return
        root = self.work.root
        if not root.is_dir() or not any(root.iterdir()):
            raise DataMissingError(
                f"the clips are gone: {root} is missing or empty now; mount it, then run again"
            )


def start_engine(work: Work) -> Engine:
    """Load the network in its fastest form and find out how many frames it takes at a time.

    Raises:
        WeightsError: If the weights cannot be loaded.
        DeviceError: If the device is not there, or has no memory left.
    """
    device = resolve_device(work.device)
    if work.num_sharing > 1 and device.type == "cpu":
        torch.set_num_threads(_own_cpus(work))
    if device.type == "cuda":
        # Pinned memory and streams would else belong to the first GPU, and take room there.
        torch.cuda.set_device(device)
    network, weights_sha256 = load_network(work.backbone, work.weights, device)
    network = in_precision_of(work.profile, network, device)
    image_size = work.backbone.image_size
    batch_size = work.batch_size or suitable_batch_size(network, device, image_size)
    if is_compiled(work.compile, work.profile, device):
        fastest = compiled_if_faster(network, device, batch_size, image_size)
    else:
        fastest = network
    provenance = provenance_of(describe_device(device), weights_sha256, _own_cpus(work))
    provenance |= {"batch_size": str(batch_size), "compiled": str(fastest is not network)}
    # A compiled network spreads its layers over the cores by itself.
    num_threads = _own_cpus(work) if device.type == "cpu" and fastest is network else 1
    if num_threads > 1:
        fastest = SideBySide(network, num_threads=num_threads, frames_at_once=batch_size)
    LOGGER.info(
        "%s with weights %s on %s, profile %s, %s%d frames a batch",
        work.backbone.name,
        work.weights,
        provenance["device"],
        work.profile,
        f"{num_threads} cores with " if num_threads > 1 else "",
        batch_size,
    )
    runner = BatchRunner(
        fastest,
        device=device,
        batch_size=num_threads * batch_size,
        piece=batch_size,
        feature_dim=work.backbone.feature_dim,
        image_size=image_size,
        spool_folder=work.folder,
    )
    cropper = cropper_for(work.profile, work.backbone, device)
    return Engine(fastest, runner, cropper, provenance, _BYTES_AHEAD[device.type])


def _own_cpus(work: Work) -> int:
    """Return this worker's part of the CPUs, or fewer where torch was told so."""
    return min(max(allowed_cpus() // work.num_sharing, 1), torch.get_num_threads())
