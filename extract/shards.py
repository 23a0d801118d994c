"""One shard: its clips through the network, its rows checked, its record filled in.

Legend: F rows of the shard, D feature width.
"""

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from ta3n.common.records import USABLE, ClipRecord, PlannedClip, ShardRecord
from ta3n.common.store import Features, crc32_of
from ta3n.extract.batches import BatchRunner
from ta3n.extract.decode import ClipOutcome
from ta3n.extract.feed import ClipCrops

_RECORDED_PACKAGES = ("ta3n", "torch", "torchvision", "av", "pillow", "numpy", "h5py")


@dataclass(frozen=True, slots=True)
class ShardContent:
    """A shard ready to be written.

    Attributes:
        record: Its clips, with rows and checksums.
        features: Rows [F, D].
        frames: Frame number of each row [F].
    """

    record: ShardRecord
    features: Features
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
    """Takes a shard's clips one by one.

    Attributes:
        shard: Name of the shard.
        runner: Computes features; nothing of another shard may be left in it.
    """

    shard: str
    runner: BatchRunner
    _spans: list[_Span] = field(default_factory=list)
    _num_crops: int = 0

    def add(self, clip: PlannedClip, crops: ClipCrops) -> int:
        """Run a clip's crops; return how many there were."""
        first = self._num_crops
        for pixels in crops:
            self.runner.add(pixels)
            self._num_crops += 1
        self._spans.append(_Span(clip, crops.outcome, first, self._num_crops))
        return self._num_crops - first

    def finish(self, config_hash: str, provenance: Mapping[str, str]) -> ShardContent:
        """Collect the features; the rows of clips that failed are dropped.

        Args:
            config_hash: Hash of the feature configuration.
            provenance: Versions, device and weights checksum.
        """
        computed = self.runner.flush()
        records: list[ClipRecord] = []
        rows: list[Features] = []
        frames: list[int] = []
        for span in self._spans:
            features = computed[span.first : span.end]
            outcome = _checked(span.outcome, features)
            kept = features if outcome.status in USABLE else features[:0]
            records.append(_record(span.clip, outcome, kept, start=len(frames)))
            rows.append(kept)
            frames += outcome.frame_numbers if len(kept) else ()
        record = ShardRecord(
            config_hash=config_hash,
            shard=self.shard,
            num_rows=len(frames),
            provenance=dict(provenance),
            clips=tuple(records),
        )
        features = np.concatenate(rows) if rows else computed[:0]
        return ShardContent(record, features, np.asarray(frames, np.int32))


def provenance_of(device: str, weights_sha256: str, num_threads: int) -> dict[str, str]:
    """Return what is behind the numbers of a shard: versions, device, weights."""
    versions = {name: version(name) for name in _RECORDED_PACKAGES}
    return {
        **versions,
        "python": platform.python_version(),
        "device": device,
        "threads": str(num_threads),
        "weights_sha256": weights_sha256,
    }


def _checked(outcome: ClipOutcome, features: Features) -> ClipOutcome:
    """Fail a clip whose features are not finite, naming the frame."""
    if outcome.status not in USABLE:
        return outcome
    bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if not len(bad):
        return outcome
    return ClipOutcome(
        status="failed",
        error=f"features of frame {outcome.frame_numbers[bad[0]]} are not finite",
        info=outcome.info,
        num_frames=outcome.num_frames,
        rotation=outcome.rotation,
    )


def _record(clip: PlannedClip, outcome: ClipOutcome, rows: Features, *, start: int) -> ClipRecord:
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
            "num_frames": outcome.num_frames,
            "rotation": outcome.rotation,
            "start": start if len(rows) else 0,
            "length": len(rows),
            "crc32": crc32_of(rows),
        }
    )
