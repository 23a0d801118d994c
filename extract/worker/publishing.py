"""From computed rows to published shards, beside the network.

Legend: F rows of a shard, D feature width, N rows of a source.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ta3n.common.errors import DataMissingError
from ta3n.common.records import USABLE, ClipRecord, PlannedClip, ShardRecord
from ta3n.common.store import (
    ROWS_AT_ONCE,
    Features,
    RowChecks,
    RowSource,
    ShardReader,
    check_rows,
    joined_crc32,
    shard_path,
    write_shard,
)
from ta3n.extract.decoding.decode import ClipOutcome
from ta3n.extract.inference.batches import RowSpool
from ta3n.extract.worker.work import ShardTask, Work

# One is written while the next one waits: a disk that is slow for a moment stops nothing.
_MAX_UNPUBLISHED = 2


@dataclass(frozen=True, slots=True)
class DecodedClip:
    """How decoding of a clip ended, and which of a shard's computed rows came from it [F]."""

    outcome: ClipOutcome
    rows: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ShardOrigin:
    """What is behind new rows; and the shard whose rows are taken over for all other clips."""

    config_hash: str
    provenance: Mapping[str, str]
    old: ShardReader | None = None


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
        if len(parts) == 1:
            return parts[0]
        return np.concatenate([np.empty((0, self.shape[1]), np.float32), *parts])


@dataclass(frozen=True, slots=True)
class ShardContent:
    """A shard ready to be written: its record, rows [F, D], and frame number and checks of each."""

    record: ShardRecord
    features: PickedRows
    frames: NDArray[np.int32]
    checks: RowChecks


def shard_content(
    shard: str,
    clips: Sequence[PlannedClip],
    decoded: Mapping[int, DecodedClip],
    spool: RowSpool,
    origin: ShardOrigin,
) -> ShardContent:
    """Put a shard together of its clips in plan order; clips that failed have no rows.

    Args:
        decoded: Clips by number; the others come from the old shard.
        spool: The computed rows; those of the old shard are added.
    """
    kept = {} if origin.old is None else {clip.id: clip for clip in origin.old.record.clips}
    rows_of = {
        clip.id: decoded[clip.id].rows
        if clip.id in decoded
        else _take_over(kept[clip.id], origin.old, spool)
        for clip in clips
    }
    checks = check_rows(spool)
    records: list[ClipRecord] = []
    rows: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
    frames: list[NDArray[np.int32]] = [np.empty(0, np.int32)]
    num_rows = 0
    for clip in clips:
        own = rows_of[clip.id]
        if clip.id in decoded:
            outcome = decoded[clip.id].outcome
            record = _record(clip, outcome, checks.take(own), spool.shape[1])
            numbers = np.asarray(outcome.frame_numbers[: record.length], np.int32)
        else:
            assert origin.old is not None, f"clip {clip.path} was neither decoded nor kept"
            record = kept[clip.id]
            numbers = origin.old.frames[record.start : record.start + record.length]
        records.append(record.model_copy(update={"start": num_rows if record.length else 0}))
        rows.append(own[: record.length])
        frames.append(numbers)
        num_rows += record.length
    shard_record = ShardRecord(
        config_hash=origin.config_hash,
        shard=shard,
        num_rows=num_rows,
        provenance=_provenance(origin, is_whole=len(decoded) == len(clips)),
        clips=tuple(records),
    )
    order = np.concatenate(rows)
    return ShardContent(
        shard_record, PickedRows(spool, order), np.concatenate(frames), checks.take(order)
    )


def _take_over(clip: ClipRecord, old: ShardReader | None, spool: RowSpool) -> NDArray[np.int64]:
    """Append the rows of a clip of the old shard; return their numbers."""
    assert old is not None, f"clip {clip.path} is kept from nowhere"
    first = spool.shape[0]
    for start in range(0, clip.length, ROWS_AT_ONCE):
        spool.append(old.rows(clip.start, range(start, min(start + ROWS_AT_ONCE, clip.length))))
    return np.arange(first, first + clip.length)


def _provenance(origin: ShardOrigin, *, is_whole: bool) -> dict[str, str]:
    """Return what is behind the rows; where some are older, both origins."""
    now = dict(origin.provenance)
    if origin.old is None or is_whole:
        return now
    before = origin.old.record.provenance
    return before | {f"redone {k}": v for k, v in now.items() if before.get(k) != v}


def _record(clip: PlannedClip, outcome: ClipOutcome, checks: RowChecks, width: int) -> ClipRecord:
    """Return the record of a decoded clip; features that are not finite fail it."""
    row_crcs = checks.crc32 if outcome.status in USABLE else checks.crc32[:0]
    bad = np.flatnonzero(~checks.finite[: len(row_crcs)])
    if len(bad):
        error = f"features of frame {outcome.frame_numbers[int(bad[0])]} are not finite"
        outcome, row_crcs = replace(outcome, status="failed", error=error), row_crcs[:0]
    found = asdict(replace(outcome, frame_numbers=(), crops=None))
    del found["frame_numbers"], found["crops"]
    stream = found.pop("info") or {}
    rows = {"length": len(row_crcs), "crc32": joined_crc32(row_crcs, width)}
    return ClipRecord.model_validate(clip.model_dump() | stream | found | rows)


class Publisher:
    """Publishes shards one after another on a thread of its own.

    Use as a context manager: its end waits for the shards that were handed over, and raises what
    went wrong with one. Once one could not be published, no later one is.
    """

    def __init__(self, work: Work, provenance: Mapping[str, str]) -> None:
        self._work = work
        self._origin = ShardOrigin(work.config.hash, provenance)
        self._thread = ThreadPoolExecutor(1, "publish")
        self._unpublished: deque[Future[None]] = deque()
        self._has_failed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, exc_type: type[BaseException] | None, *_: object) -> None:
        # An interruption waits only for what is being written.
        is_interrupted = exc_type is not None and not issubclass(exc_type, Exception)
        self._thread.shutdown(cancel_futures=is_interrupted)
        if exc_type is None:
            self._wait_for_all_but(0)

    def submit(self, task: ShardTask, decoded: Mapping[int, DecodedClip], rows: RowSpool) -> None:
        """Hand over a shard; wait while too many are unpublished, so that memory is bounded.

        Args:
            decoded: Every clip of the shard that is not kept, by number.
            rows: The computed rows, in any order, which are the publisher's to close.

        Raises:
            DataMissingError: If clips failed because their folder went away.
            FeatureStoreError: If a shard to be completed is damaged, or one does not read back.
            OSError: If one cannot be written.
        """
        self._wait_for_all_but(_MAX_UNPUBLISHED - 1)
        self._unpublished.append(self._thread.submit(self._publish, task, decoded, rows))

    def check(self) -> None:
        """Raise what went wrong so far, as `submit` does; wait for nothing."""
        while self._unpublished and self._unpublished[0].done():
            self._unpublished.popleft().result()

    def _wait_for_all_but(self, num_waiting: int) -> None:
        while len(self._unpublished) > num_waiting:
            self._unpublished.popleft().result()

    def _publish(self, task: ShardTask, decoded: Mapping[int, DecodedClip], rows: RowSpool) -> None:
        try:
            with ExitStack() as stack:
                stack.enter_context(rows)
                if self._has_failed:
                    return
                origin = self._origin
                if task.kept:
                    old = ShardReader(shard_path(self._work.folder, task.shard))
                    origin = replace(origin, old=stack.enter_context(old))
                content = shard_content(task.shard, task.clips, decoded, rows, origin)
                self._check_root(content.record)
                write_shard(
                    self._work.folder,
                    content.record,
                    content.features,
                    content.frames,
                    checks=content.checks,
                    replace=task.replace,
                )
        except BaseException:
            self._has_failed = True
            raise

    def _check_root(self, record: ShardRecord) -> None:
        """Tell clips that fail from a disk that went away, which must not fail them all."""
        if all(clip.status in USABLE for clip in record.clips):
            return
        root = self._work.root
        if not root.is_dir() or not any(root.iterdir()):
            raise DataMissingError(
                f"the clips are gone: {root} is missing or empty now; mount it, then run again"
            )
