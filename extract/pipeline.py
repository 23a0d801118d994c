"""Decoding threads, batches and shards put together: the work of one worker."""

from collections.abc import Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import groupby

from ta3n.common.device import allowed_cpus, describe_device, resolve_device
from ta3n.common.errors import DataMissingError
from ta3n.common.log import LOGGER
from ta3n.common.records import USABLE, PlannedClip, ShardRecord
from ta3n.common.sampling import FrameSelection
from ta3n.common.store import ShardReader, is_finished, shard_path, write_shard
from ta3n.common.streams import RgbImage
from ta3n.extract.batches import BatchRunner
from ta3n.extract.decode import ClipOutcome, decode_clip
from ta3n.extract.feed import ClipCrops, ClipFeed
from ta3n.extract.network import load_network
from ta3n.extract.reports import Reporter, watched
from ta3n.extract.shards import ShardBuilder, provenance_of
from ta3n.extract.work import Advanced, ShardDone, ShardTask, Work


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
    worker = _ShardWorker(work, reporter, *_start(work))
    tasks = {task.shard: task for task in work.tasks}
    threads = work.decode_threads or allowed_cpus()
    with ClipFeed(worker.todo(), worker.decode, num_threads=threads) as feed:
        for shard, decoded in groupby(feed, key=lambda item: item[0].shard):
            worker.make(tasks[shard], decoded, feed)


@dataclass
class _ShardWorker:
    """Makes the shards of a piece of work."""

    work: Work
    reporter: Reporter
    runner: BatchRunner
    provenance: dict[str, str]
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
            crops = decode_clip(self.work.root / clip.path, selection, watch.step)
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
            builder = ShardBuilder(task.shard, task.clips, self.runner, old)
            for clip, crops in decoded:
                self.num_frames += builder.add(clip, crops)
                self.num_clips += 1
                self.reporter.send(Advanced(self.num_clips, self.num_frames, feed.wait_s))
            spool = stack.enter_context(self.runner.flush())
            content = builder.finish(spool, self.work.config_hash, self.provenance)
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


def _start(work: Work) -> tuple[BatchRunner, dict[str, str]]:
    """Load the network; return what runs it and the provenance of what it will compute."""
    device = resolve_device(work.device)
    network, weights_sha256 = load_network(work.backbone, work.weights, device)
    provenance = provenance_of(describe_device(device), weights_sha256, allowed_cpus())
    LOGGER.info(
        "%s with weights %s on %s, %d frames a batch",
        work.backbone.name,
        work.weights,
        provenance["device"],
        work.batch_size,
    )
    runner = BatchRunner(
        network,
        device=device,
        batch_size=work.batch_size,
        feature_dim=work.backbone.feature_dim,
        spool_folder=work.folder,
    )
    return runner, provenance
