"""Decoding threads, batches and shards put together: the work of one worker."""

from collections.abc import Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import groupby

from ta3n.common.errors import DataMissingError
from ta3n.common.records import USABLE, PlannedClip, ShardRecord
from ta3n.common.sampling import FrameSelection
from ta3n.common.store import ShardReader, is_finished, shard_path, write_shard
from ta3n.common.video import RgbImage
from ta3n.extract.decoding.decode import ClipOutcome, decode_clip
from ta3n.extract.decoding.prefetch import ClipCrops, ClipFeed
from ta3n.extract.inference.batches import BatchRunner
from ta3n.extract.inference.engine import Engine, start_engine
from ta3n.extract.worker.heartbeat import Reporter, watched
from ta3n.extract.worker.protocol import Advanced, ShardDone, ShardTask, Work
from ta3n.extract.worker.shards import ShardBuilder


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
    engine = start_engine(
        work.backbone,
        work.weights,
        profile=work.profile,
        device=work.device,
        batch_size=work.batch_size,
        policy=work.compile,
        num_sharing=work.num_sharing,
    )
    make_shards(work, reporter, engine)


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
    worker = _ShardWorker(work, reporter, engine, engine.new_runner(work.folder))
    tasks = {task.shard: task for task in work.tasks}
    feed = ClipFeed(
        worker.todo(),
        worker.decode,
        num_threads=work.decode_threads or engine.num_cpus,
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
    runner: BatchRunner
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
            builder = ShardBuilder(task.shard, task.clips, self.runner, old)
            for clip, crops in decoded:
                self.num_frames += builder.add(clip, crops)
                self.num_clips += 1
                self.reporter.send(Advanced(self.num_clips, self.num_frames, feed.wait_s))
            spool = stack.enter_context(self.runner.flush())
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
