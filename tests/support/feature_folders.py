"""Feature folders as stage one writes them, filled with made-up features."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ta3n.common.records import (
    PLAN_NAME,
    AbsentClip,
    ClipRecord,
    ClipStatus,
    FeatureConfig,
    Manifest,
    Plan,
    PlannedClip,
    ShardRecord,
    build_manifest,
    dump_record,
)
from ta3n.common.sampling import FrameSelection
from ta3n.common.store import Features, crc32_of, write_shard
from ta3n.datasets.reading.split_files import Role
from ta3n.datasets.synthetic.dataset import SYNTHETIC_LABELS
from ta3n.datasets.synthetic.looks import LOOKS

DIM = 8
SHARD = "shard-00000"
CLASSES = {
    "ucf101": ("GolfSwing", "PullUps", "Biking", "HorseRiding", "Basketball"),
    "hmdb51": ("golf", "pullup", "ride_bike", "ride_horse", "shoot_ball"),
    **{f"synthetic-{domain}": tuple(SYNTHETIC_LABELS) for domain in LOOKS},
}
"""Folders of the benchmarks ucf-hmdb-small and synthetic, by label."""

_SHIFTS = {"hmdb51": 0.5, "synthetic-b": 0.5, "synthetic-c": -0.5}
"""Of all features of a domain, where there is any."""


@dataclass(frozen=True, kw_only=True)
class MadeClip:
    """A clip to make up."""

    class_name: str
    number: int
    role: Role
    num_frames: int = 12
    status: ClipStatus = "ok"

    @property
    def path(self) -> str:
        return f"{self.class_name}/{self.role}_{self.number:02d}.avi"


ROLES: tuple[Role, ...] = ("train", "test")


def made_clips(dataset: str, num_train: int = 6, num_test: int = 3) -> list[MadeClip]:
    """Return so many clips of every class."""
    return [
        MadeClip(class_name=name, number=number, role=role)
        for name in CLASSES[dataset]
        for role, count in zip(ROLES, (num_train, num_test), strict=True)
        for number in range(count)
    ]


def make_features(
    features: Path,
    dataset: str,
    clips: Sequence[MadeClip],
    *,
    frames: str = "segments:5",
    backbone: str = "resnet18",
    absent: Sequence[str] = (),
    pending: Sequence[str] = (),
    seed: int = 0,
) -> Manifest:
    """Write a dataset's feature folder; classes are clusters, a domain is a shift of all of them.

    Args:
        features: Folder for all datasets.
        dataset: Full name.
        clips: Clips with a record.
        frames: `all` or `segments:K`.
        backbone: Name in the configuration.
        absent: Class folders with one listed training clip each that is not on disk.
        pending: Class folders with one planned training clip each that is not extracted.
        seed: Of the features.
    """
    folder = features / dataset
    folder.mkdir(parents=True)
    config = FeatureConfig(
        dataset=dataset,
        backbone=backbone,
        weights="random:0",
        profile="ta3n",
        image_size=224,
        frames=frames,
        feature_dim=DIM,
    )
    ordered = sorted(clips, key=lambda clip: clip.path)
    planned = [
        _planned(n, clip.path, clip.class_name, clip.role, SHARD) for n, clip in enumerate(ordered)
    ]
    waiting = [
        _planned(len(ordered) + n, f"{name}/waiting.avi", name, "train", "shard-00001")
        for n, name in enumerate(pending)
    ]
    plan = Plan(
        config=config,
        selection="all classes",
        splits_origin="made up",
        clips=(*planned, *waiting),
        absent=tuple(
            AbsentClip(path=f"{name}/gone", class_name=name, splits={"1": "train"})
            for name in absent
        ),
    )
    (folder / PLAN_NAME).write_bytes(dump_record(plan))
    _write_rows(folder, config, ordered, planned, np.random.default_rng(seed))
    return build_manifest(folder)


def _planned(number: int, path: str, class_name: str, role: Role, shard: str) -> PlannedClip:
    return PlannedClip(
        id=number,
        path=path,
        class_name=class_name,
        splits={"1": role},
        size_bytes=1,
        mtime_ns=1,
        shard=shard,
    )


def _write_rows(
    folder: Path,
    config: FeatureConfig,
    clips: Sequence[MadeClip],
    planned: Sequence[PlannedClip],
    rng: np.random.Generator,
) -> None:
    selection = FrameSelection.parse(config.frames)
    shift = _SHIFTS.get(config.dataset, 0.0)
    records: list[ClipRecord] = []
    rows: list[Features] = []
    frames: list[int] = []
    for clip, plan in zip(clips, planned, strict=True):
        usable = clip.status in ("ok", "partial")
        kept = list(selection.indices(clip.num_frames)) if usable else []
        centre = np.zeros(DIM)
        around, place = divmod(CLASSES[config.dataset].index(clip.class_name), DIM)
        centre[place] = 3 * (1 - 2 * around)
        values = rng.normal(centre + shift, 0.3, (len(kept), DIM)).astype(np.float32)
        record = ClipRecord(
            **plan.model_dump(),
            status=clip.status,
            error="" if clip.status == "ok" else "made up",
            num_frames=clip.num_frames,
            start=len(frames) if kept else 0,
            length=len(kept),
            crc32=crc32_of(values),
        )
        records.append(record)
        rows.append(values)
        frames += kept
    shard = ShardRecord(
        config_hash=config.hash,
        shard=SHARD,
        num_rows=len(frames),
        provenance={"torch": "0"},
        clips=tuple(records),
    )
    write_shard(folder, shard, np.concatenate(rows), np.asarray(frames, np.int32))
