"""The work of one worker: decoding threads, batches and shards put together.

Legend: F rows of a shard, D feature width.
"""

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby

import numpy as np

from ta3n.common.records import PlannedClip
from ta3n.common.store import is_finished
from ta3n.common.video import RgbImage
from ta3n.extract.decoding.decode import ClipOutcome
from ta3n.extract.decoding.prefetch import ClipCrops, ClipFeed
from ta3n.extract.inference.batches import BatchRunner, RowSpool
from ta3n.extract.inference.engine import Engine, start_engine
from ta3n.extract.worker.messages import Advanced, Pass, Reporter, ShardDone, ShardTask, Work
from ta3n.extract.worker.passes import Outcomes, decode_pass
from ta3n.extract.worker.publishing import (
    DecodedClip,
    Publisher,
    ShardContent,
    ShardOrigin,
    shard_content,
)

_CROPS_BETWEEN_SIGNS = 256


def extract_shards(
    work: Work, reporter: Reporter, engine: Engine | None = None
) -> ClipFeed[Pass, Outcomes]:
    """Extract and write shards one after another, with an engine if one was started before.

    Returns:
        The feed, used up, which knows who waited for whom.

    Raises:
        WeightsError: If the weights cannot be loaded.
        DeviceError: If the device is not there, or has not enough memory.
        DataMissingError: If the folder of the clips went away.
        FeatureStoreError: If a shard to be completed is damaged.
        OSError: If a shard cannot be written; finished ones stay.
    """
    engine = engine or engine_for(work)
    publisher = Publisher(work, reporter, engine.provenance)
    worker = _ShardWorker(work, reporter, engine, engine.new_runner(work.folder), publisher)
    tasks = {task.shard: task for task in work.tasks}
    feed = ClipFeed(
        worker.todo(),
        worker.decode,
        num_threads=work.decode_threads or engine.num_cpus,
        max_bytes=engine.max_bytes_ahead,
    )
    with publisher, feed:
        for shard, decoded in groupby(feed, key=lambda item: item[0][0].shard):
            worker.make(tasks[shard], decoded, feed)
    return feed


def engine_for(work: Work) -> Engine:
    """Start what computes the features of some work; it raises what `start_engine` does."""
    return start_engine(
        work.backbone,
        work.weights,
        profile=work.config.profile,
        device=work.device,
        batch_size=work.batch_size,
        compiled=work.compile,
        num_sharing=work.num_sharing,
    )


@dataclass
class _ShardWorker:
    """Makes the shards of a piece of work."""

    work: Work
    reporter: Reporter
    engine: Engine
    runner: BatchRunner
    publisher: Publisher
    num_clips: int = 0
    num_frames: int = 0

    def todo(self) -> Iterator[Pass]:
        """Yield what is to be decoded; shards that another job finished meanwhile are skipped."""
        for task in self.work.tasks:
            if not task.replace and is_finished(self.work.folder, task.shard):
                self.reporter.send(ShardDone(task.shard))
                continue
            yield from task.passes

    def decode(self, clips: Pass) -> Generator[RgbImage, None, Outcomes]:
        """Decode clips under the supervisor's eyes, but for those known to crash or hang."""
        bad = self.work.quarantined
        ended = {
            clip.id: ClipOutcome(
                status=bad[clip.id].status,
                error=bad[clip.id].error,
                attempts=bad[clip.id].attempts,
            )
            for clip in clips
            if clip.id in bad
        }
        if good := tuple(clip for clip in clips if clip.id not in bad):
            decode = partial(
                decode_pass,
                self.work.root,
                good,
                self.work.config,
                cropper=self.engine.cropper,
            )
            outcomes = yield from self.reporter.watched(good[0].id, decode)
            for clip, outcome in zip(good, outcomes, strict=True):
                attempts = 1 + self.work.attempts.get(clip.id, 0)
                ended[clip.id] = replace(outcome, attempts=attempts)
        return tuple(ended[clip.id] for clip in clips)

    def make(
        self,
        task: ShardTask,
        decoded: Iterator[tuple[Pass, ClipCrops[Outcomes]]],
        feed: ClipFeed[Pass, Outcomes],
    ) -> None:
        """Run the decoded clips of a shard through the network, and have it published."""
        builder = ShardBuilder(task.shard, task.clips, self.runner)
        for clips, crops in decoded:
            self.publisher.check()
            self.num_frames += builder.add(clips, crops, partial(self._tell, feed))
            self.num_clips += len(clips)
            self._tell(feed)
        self.publisher.submit(task, builder.decoded, self.runner.flush())

    def _tell(self, feed: ClipFeed[Pass, Outcomes], num_more: int = 0) -> None:
        """Say how far this worker is, with the frames so far of a pass that is not over."""
        self.reporter.send(Advanced(self.num_clips, self.num_frames + num_more, feed.wait_s))


@dataclass
class ShardBuilder:
    """Takes the clips of a shard that are decoded, one by one.

    Attributes:
        clips: All its clips, in plan order.
        runner: Computes features; nothing of another shard may be left in it.
        decoded: The clips that were added, by number.
    """

    shard: str
    clips: tuple[PlannedClip, ...]
    runner: BatchRunner
    decoded: dict[int, DecodedClip] = field(default_factory=dict)
    _num_crops: int = 0

    def add(
        self,
        clips: Pass,
        crops: ClipCrops[Outcomes],
        on_way: Callable[[int], None] = lambda _: None,
    ) -> int:
        """Run the crops of clips that were decoded at once; return how many there were.

        Args:
            on_way: Called now and then with how many there were so far: a long video has many.
        """
        first = self._num_crops
        for pixels in crops:
            self.runner.add(pixels)
            self._num_crops += 1
            if (self._num_crops - first) % _CROPS_BETWEEN_SIGNS == 0:
                on_way(self._num_crops - first)
        for clip, outcome in zip(clips, crops.outcome, strict=True):
            own = np.arange(first, self._num_crops)
            if outcome.crops is not None:
                own = first + np.asarray(outcome.crops, np.int64)
            self.decoded[clip.id] = DecodedClip(outcome, own)
        return self._num_crops - first

    def finish(self, spool: RowSpool, origin: ShardOrigin) -> ShardContent:
        """Put the shard together of the features of all crops; clips that failed have no rows."""
        return shard_content(self.shard, self.clips, self.decoded, spool, origin)
