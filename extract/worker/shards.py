"""The work of one worker: decoding threads, batches and shards put together.

Legend: F rows of a shard, D feature width.
"""

from collections.abc import Generator, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from ta3n.common.errors import DataMissingError
from ta3n.common.records import USABLE, ClipRecord, PlannedClip, ShardRecord
from ta3n.common.store import (
    ROWS_AT_ONCE,
    Features,
    RowSource,
    ShardReader,
    crc32_of,
    is_finished,
    row_blocks,
    shard_path,
    write_shard,
)
from ta3n.common.video import RgbImage
from ta3n.extract.decoding.decode import ClipOutcome
from ta3n.extract.decoding.prefetch import ClipCrops, ClipFeed
from ta3n.extract.inference.batches import BatchRunner, RowSpool
from ta3n.extract.inference.engine import Engine, start_engine
from ta3n.extract.worker.messages import Advanced, Pass, Reporter, ShardDone, ShardTask, Work
from ta3n.extract.worker.passes import Outcomes, decode_pass


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
    worker = _ShardWorker(work, reporter, engine, engine.new_runner(work.folder))
    tasks = {task.shard: task for task in work.tasks}
    feed = ClipFeed(
        worker.todo(),
        worker.decode,
        num_threads=work.decode_threads or engine.num_cpus,
        max_bytes=engine.max_bytes_ahead,
    )
    with feed:
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
        """Run the decoded clips of a shard through the network, and write it."""
        with ExitStack() as stack:
            old = None
            if task.kept:
                old = stack.enter_context(ShardReader(shard_path(self.work.folder, task.shard)))
            builder = ShardBuilder(task.shard, task.clips, self.runner, old)
            for clips, crops in decoded:
                self.num_frames += builder.add(clips, crops)
                self.num_clips += len(clips)
                self.reporter.send(Advanced(self.num_clips, self.num_frames, feed.wait_s))
            spool = stack.enter_context(self.runner.flush())
            content = builder.finish(spool, self.work.config.hash, self.engine.provenance)
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


@dataclass(frozen=True, slots=True)
class PickedRows:
    """Rows `numbers` [F] of a source [N, D], in that order, none copied before it is read."""

    source: RowSource
    numbers: NDArray[np.int64]

    @property
    def shape(self) -> tuple[int, ...]:
        """F and D."""
        return len(self.numbers), self.source.shape[1]

    def __getitem__(self, rows: slice) -> Features:
        """Return the rows of a slice without step."""
        numbers = self.numbers[rows]
        runs = np.split(numbers, np.flatnonzero(np.diff(numbers) != 1) + 1)
        parts = [self.source[int(run[0]) : int(run[-1]) + 1] for run in runs if len(run)]
        return np.concatenate([np.empty((0, self.shape[1]), np.float32), *parts])


@dataclass(frozen=True, slots=True)
class ShardContent:
    """A shard ready to be written: its record, rows [F, D], and the frame number of each [F]."""

    record: ShardRecord
    features: PickedRows
    frames: NDArray[np.int32]


@dataclass
class ShardBuilder:
    """Takes the clips of a shard that are decoded, one by one; the others come from an old shard.

    Attributes:
        clips: All its clips, in plan order.
        runner: Computes features; nothing of another shard may be left in it.
        old: The shard whose rows are taken over for clips that are not added.
    """

    shard: str
    clips: tuple[PlannedClip, ...]
    runner: BatchRunner
    old: ShardReader | None = None
    # Of each clip: how it ended, and which of the shard's crops came from it.
    _decoded: dict[int, tuple[ClipOutcome, NDArray[np.int64]]] = field(default_factory=dict)
    _num_crops: int = 0

    def add(self, clips: Pass, crops: ClipCrops[Outcomes]) -> int:
        """Run the crops of clips that were decoded at once; return how many there were."""
        first = self._num_crops
        for pixels in crops:
            self.runner.add(pixels)
            self._num_crops += 1
        for clip, outcome in zip(clips, crops.outcome, strict=True):
            own = np.arange(first, self._num_crops)
            if outcome.crops is not None:
                own = first + np.asarray(outcome.crops, np.int64)
            self._decoded[clip.id] = outcome, own
        return self._num_crops - first

    def finish(
        self, spool: RowSpool, config_hash: str, provenance: Mapping[str, str]
    ) -> ShardContent:
        """Put the shard together of the features of all crops; clips that failed have no rows."""
        known = {} if self.old is None else {c.id: c for c in self.old.record.clips}
        records: list[ClipRecord] = []
        rows: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
        frames: list[NDArray[np.int32]] = [np.empty(0, np.int32)]
        num_rows = 0
        for clip in self.clips:
            decoded = self._decoded.get(clip.id)
            if decoded is None and self.old is not None:
                record = known[clip.id]
                own = np.arange(spool.shape[0], spool.shape[0] + record.length)
                numbers = self.old.frames[record.start : record.start + record.length]
                for start in range(0, record.length, ROWS_AT_ONCE):
                    offsets = range(start, min(start + ROWS_AT_ONCE, record.length))
                    spool.append(self.old.rows(record.start, offsets))
            else:
                assert decoded is not None, f"clip {clip.path} was neither decoded nor kept"
                outcome, own = decoded
                record = _record(clip, outcome, PickedRows(spool, own))
                numbers = np.asarray(outcome.frame_numbers[: record.length], np.int32)
            records.append(record.model_copy(update={"start": num_rows if record.length else 0}))
            rows.append(own[: record.length])
            frames.append(numbers)
            num_rows += record.length
        record_of_all = ShardRecord(
            config_hash=config_hash,
            shard=self.shard,
            num_rows=num_rows,
            provenance=self._provenance(provenance),
            clips=tuple(records),
        )
        features = PickedRows(spool, np.concatenate(rows))
        return ShardContent(record_of_all, features, np.concatenate(frames))

    def _provenance(self, now: Mapping[str, str]) -> dict[str, str]:
        """Return what is behind the rows; where some are older, both origins."""
        if self.old is None or len(self._decoded) == len(self.clips):
            return dict(now)
        before = self.old.record.provenance
        return before | {f"redone {k}": v for k, v in now.items() if before.get(k) != v}


def _record(clip: PlannedClip, outcome: ClipOutcome, rows_of_crops: PickedRows) -> ClipRecord:
    """Return the record of a decoded clip; features that are not finite fail it."""
    num_rows = rows_of_crops.shape[0] if outcome.status in USABLE else 0
    crc = seen = 0
    for block in row_blocks(rows_of_crops, 0, num_rows):
        bad = np.flatnonzero(~np.isfinite(block).all(axis=1))
        if len(bad):
            frame = outcome.frame_numbers[seen + int(bad[0])]
            error = f"features of frame {frame} are not finite"
            outcome, num_rows, crc = replace(outcome, status="failed", error=error), 0, 0
            break
        crc = crc32_of(block, crc)
        seen += len(block)
    found = asdict(replace(outcome, frame_numbers=(), crops=None))
    del found["frame_numbers"], found["crops"]
    stream = found.pop("info") or {}
    rows = {"length": num_rows, "crc32": crc}
    return ClipRecord.model_validate(clip.model_dump() | stream | found | rows)
