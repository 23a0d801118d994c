"""One shard: its clips through the network, its rows checked, its record filled in.

Legend: F rows of the shard, D feature width.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ta3n.common.records import USABLE, ClipRecord, PlannedClip, ShardRecord
from ta3n.common.store import Features, ShardReader, crc32_of, row_blocks
from ta3n.extract.decoding.decode import ClipOutcome
from ta3n.extract.decoding.prefetch import ClipCrops
from ta3n.extract.inference.batches import BatchRunner
from ta3n.extract.inference.spool import Piece, PiecedRows, RowSpool


@dataclass(frozen=True, slots=True)
class ShardContent:
    """A shard ready to be written.

    Attributes:
        record: Its clips, with rows and checksums.
        features: Rows [F, D].
        frames: Frame number of each row [F].
    """

    record: ShardRecord
    features: PiecedRows
    frames: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class _Span:
    """A decoded clip and the stretch of the shard's crops that came from it."""

    clip: PlannedClip
    outcome: ClipOutcome
    first: int
    end: int


@dataclass
class ShardBuilder:
    """Takes the clips of a shard that are decoded, one by one; the others come from an old shard.

    Attributes:
        shard: Name of the shard.
        clips: All its clips, in plan order.
        runner: Computes features; nothing of another shard may be left in it.
        old: The shard whose rows are taken over for clips that are not added.
    """

    shard: str
    clips: tuple[PlannedClip, ...]
    runner: BatchRunner
    old: ShardReader | None = None
    _spans: dict[int, _Span] = field(default_factory=dict)
    _num_crops: int = 0

    def add(self, clip: PlannedClip, crops: ClipCrops) -> int:
        """Run a clip's crops; return how many there were."""
        first = self._num_crops
        for pixels in crops:
            self.runner.add(pixels)
            self._num_crops += 1
        self._spans[clip.id] = _Span(clip, crops.outcome, first, self._num_crops)
        return self._num_crops - first

    def finish(
        self, spool: RowSpool, config_hash: str, provenance: Mapping[str, str]
    ) -> ShardContent:
        """Put the shard together; the rows of clips that failed are dropped.

        Args:
            spool: The features of all crops.
            config_hash: Hash of the feature configuration.
            provenance: Versions, device and weights checksum.
        """
        known = {} if self.old is None else {c.id: c for c in self.old.record.clips}
        records: list[ClipRecord] = []
        pieces: list[Piece] = []
        frames: list[NDArray[np.int32]] = [np.empty(0, np.int32)]
        num_rows = 0
        for clip in self.clips:
            span = self._spans.get(clip.id)
            if span is None and self.old is not None:
                record, numbers = known[clip.id], self.old.frames
                piece = Piece(_OldRows(self.old), record.start, record.start + record.length)
                numbers = numbers[piece.first : piece.end]
            else:
                assert span is not None, f"clip {clip.path} was neither decoded nor kept"
                record, piece, numbers = _computed(span, spool)
            records.append(record.model_copy(update={"start": num_rows if record.length else 0}))
            pieces.append(piece)
            frames.append(numbers)
            num_rows += record.length
        record_of_all = ShardRecord(
            config_hash=config_hash,
            shard=self.shard,
            num_rows=num_rows,
            provenance=self._provenance(provenance),
            clips=tuple(records),
        )
        rows = PiecedRows(pieces, spool.shape[1])
        return ShardContent(record_of_all, rows, np.concatenate(frames))

    def _provenance(self, now: Mapping[str, str]) -> dict[str, str]:
        """Return what is behind the rows; where some are older, both origins."""
        if self.old is None or len(self._spans) == len(self.clips):
            return dict(now)
        before = self.old.record.provenance
        return before | {f"redone {k}": v for k, v in now.items() if before.get(k) != v}


@dataclass(frozen=True, slots=True)
class _OldRows:
    """The rows of a shard on disk, each against its checksum."""

    shard: ShardReader

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.shard.frames), self.shard.feature_dim

    def __getitem__(self, rows: slice) -> Features:
        return self.shard.rows(0, range(*rows.indices(self.shape[0])))


def _computed(span: _Span, spool: RowSpool) -> tuple[ClipRecord, Piece, NDArray[np.int32]]:
    """Return the record of a decoded clip, its rows, and their frame numbers."""
    outcome, crc = _checked(span, spool)
    usable = outcome.status in USABLE
    piece = Piece(spool, span.first, span.end if usable else span.first)
    numbers = np.asarray(outcome.frame_numbers if usable else (), np.int32)
    return _record(span.clip, outcome, crc, length=piece.end - piece.first), piece, numbers


def _checked(span: _Span, spool: RowSpool) -> tuple[ClipOutcome, int]:
    """Return the outcome and the checksum; features that are not finite fail the clip."""
    outcome, crc = span.outcome, 0
    if outcome.status not in USABLE:
        return outcome, 0
    seen = 0
    for block in row_blocks(spool, span.first, span.end):
        bad = np.flatnonzero(~np.isfinite(block).all(axis=1))
        if len(bad):
            frame = outcome.frame_numbers[seen + int(bad[0])]
            error = f"features of frame {frame} are not finite"
            return replace(outcome, status="failed", error=error), 0
        crc = crc32_of(block, crc)
        seen += len(block)
    return outcome, crc


def _record(clip: PlannedClip, outcome: ClipOutcome, crc: int, *, length: int) -> ClipRecord:
    info = outcome.info
    stream = (
        {}
        if info is None
        else {
            "declared_frames": info.declared_frames,
            "codec": info.codec,
            "pixel_format": info.pixel_format,
            "width": info.width,
            "height": info.height,
            "frame_rate": info.frame_rate,
        }
    )
    return ClipRecord.model_validate(
        {
            **clip.model_dump(),
            **stream,
            "status": outcome.status,
            "error": outcome.error,
            "warning": outcome.warning,
            "attempts": outcome.attempts,
            "num_frames": outcome.num_frames,
            "rotation": outcome.rotation,
            "length": length,
            "crc32": crc,
        }
    )
