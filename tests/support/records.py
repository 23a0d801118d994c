"""Records and shards of stage one, made up."""

import numpy as np

from ta3n.common.records import ClipRecord, FeatureConfig, PlannedClip, ShardRecord
from ta3n.common.store import Features, crc32_of

CONFIG = FeatureConfig(
    dataset="ucf101",
    backbone="resnet18",
    weights="random:0",
    profile="ta3n",
    image_size=224,
    frames="all",
    feature_dim=512,
)

LENGTHS = (3, 0, 50)


def planned(number: int, *, path: str = "", shard: str = "shard-00000") -> PlannedClip:
    return PlannedClip(
        id=number,
        path=path or f"A/{number}.avi",
        class_name="A",
        splits={"1": "train"},
        size_bytes=1,
        mtime_ns=2,
        shard=shard,
    )


def shard_of(*clips: PlannedClip, config: FeatureConfig = CONFIG) -> ShardRecord:
    return ShardRecord(
        config_hash=config.hash,
        shard=clips[0].shard,
        num_rows=0,
        provenance={"torch": "2"},
        clips=tuple(ClipRecord(**clip.model_dump(), status="ok") for clip in clips),
    )


def content(seed: int = 0) -> tuple[ShardRecord, Features, np.ndarray]:
    """Return a shard of three clips, one of them empty: its record, rows and frame numbers."""
    rows = np.random.default_rng(seed).normal(size=(sum(LENGTHS), 4)).astype(np.float32)
    base = shard_of(planned(0), planned(1), planned(2))
    clips, start = [], 0
    for clip, length in zip(base.clips, LENGTHS, strict=True):
        crc = crc32_of(rows[start : start + length])
        clips.append(clip.model_copy(update={"start": start, "length": length, "crc32": crc}))
        start += length
    record = base.model_copy(update={"clips": tuple(clips), "num_rows": len(rows)})
    frames = np.concatenate([np.arange(n) for n in LENGTHS]).astype(np.int32)
    return record, rows, frames
