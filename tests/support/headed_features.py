"""Feature folders of a benchmark with several heads, filled with made-up features."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ta3n.common.records import (
    PLAN_NAME,
    ClipRecord,
    FeatureConfig,
    Manifest,
    Plan,
    PlannedClip,
    ShardRecord,
    build_manifest,
    dump_record,
)
from ta3n.common.store import crc32_of, write_shard
from ta3n.datasets.reading.split_files import Role

DIM, VERBS, NOUNS = 8, 3, 4
_ROWS = 5


def make_epic_features(features: Path, num: int = 24, *, target_labels: bool = True) -> Path:
    """Write both domains: `num` segments a part, of few verbs and nouns; the test is unlabelled.

    Without `target_labels` the rest of the target is so too.
    """
    tune: dict[str, Role] = {"tune": "train", "final": "test"}
    source = [
        *_segments("P01_01", num, {"final": "train"}),
        *_segments("P02_01", num, tune),
    ]
    target = [
        *_segments("P01_101", num, {"final": "train"}),
        *_segments("P02_101", num, {"tune": "train"}),
        *[(path, "", splits) for path, _, splits in _segments("P03_101", num, {"final": "test"})],
    ]
    if not target_labels:
        target = [(path, "", splits) for path, _, splits in target]
    for seed, (name, clips) in enumerate({"source": source, "target": target}.items()):
        _write(features, f"epic100-{name}", clips, shift=0.5 * seed)
    return features


_Segment = tuple[str, str, dict[str, Role]]


def _segments(video: str, num: int, splits: dict[str, Role]) -> list[_Segment]:
    return [(f"{video}_{n}", f"{n % VERBS},{n % NOUNS}", splits) for n in range(num)]


def _write(features: Path, dataset: str, clips: Sequence[_Segment], shift: float) -> Manifest:
    folder = features / dataset
    folder.mkdir(parents=True)
    config = FeatureConfig(
        dataset=dataset,
        backbone="tbn",
        weights="published",
        profile="imported",
        image_size=224,
        frames=f"segments:{_ROWS}",
        feature_dim=DIM,
    )
    planned = [
        PlannedClip(
            id=number,
            path=path,
            class_name=class_name,
            splits=splits,
            size_bytes=1,
            mtime_ns=1,
            shard="shard-00000",
        )
        for number, (path, class_name, splits) in enumerate(sorted(clips))
    ]
    plan = Plan(config=config, selection="all", splits_origin="made up", clips=tuple(planned))
    (folder / PLAN_NAME).write_bytes(dump_record(plan))
    rng = np.random.default_rng(int(2 * shift))
    records: list[ClipRecord] = []
    rows: list[NDArray[np.float32]] = []
    for clip in planned:
        number = int(clip.path.rpartition("_")[2])
        centre = np.zeros(DIM)
        centre[number % VERBS] = centre[VERBS + number % NOUNS] = 3
        values = rng.normal(centre + shift, 0.3, (_ROWS, DIM)).astype(np.float32)
        records.append(
            ClipRecord(
                **clip.model_dump(),
                status="ok",
                num_frames=_ROWS,
                start=_ROWS * len(rows),
                length=_ROWS,
                crc32=crc32_of(values),
            )
        )
        rows.append(values)
    shard = ShardRecord(
        config_hash=config.hash,
        shard="shard-00000",
        num_rows=_ROWS * len(rows),
        provenance={"torch": "0"},
        clips=tuple(records),
    )
    numbers = np.tile(np.arange(_ROWS, dtype=np.int32), len(rows))
    write_shard(folder, shard, np.concatenate(rows), numbers)
    return build_manifest(folder)
