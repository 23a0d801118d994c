"""Features made elsewhere, as a feature folder that training takes like its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from ta3n.common.errors import ClipError, DataConflictError, DataMissingError
from ta3n.common.files import remove_stale_temporaries
from ta3n.common.log import LOGGER, ProgressLine
from ta3n.common.names import printable, shorten
from ta3n.common.records import (
    IMPORTED,
    ClipRecord,
    FeatureConfig,
    Manifest,
    PlannedClip,
    ShardRecord,
    build_manifest,
)
from ta3n.common.store import Features, crc32_of, is_finished, write_shard
from ta3n.datasets.reading.base import Clip, ListedClip, Listing
from ta3n.datasets.reading.folders import published_name, quoted
from ta3n.extract.backbones import BACKBONES, IMAGE_SIZE
from ta3n.extract.exchange.exported import ExportRecord, read_export_record
from ta3n.extract.exchange.feature_files import FeatureFiles, find_features, read_features
from ta3n.extract.exchange.known_videos import KnownVideo
from ta3n.extract.inference.engine import provenance_of
from ta3n.extract.job.feature_folder import mend_sidecar
from ta3n.extract.job.plan import agree_on_plan, make_plan

T = TypeVar("T")

_PUBLISHED_BACKBONE, _PUBLISHED_WEIGHTS = "resnet101", "published"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportJob:
    """What one call imports.

    Attributes:
        source: Folder with the features.
        dataset: Full name.
        known: The dataset's videos.
        origin: Where those come from, in words.
        folder: Feature folder to write.
        backbone: Network that made them; None takes what an export says, else that of the paper.
        weights: Its weights, in words; None likewise.
    """

    source: Path
    dataset: str
    known: Sequence[KnownVideo]
    origin: str
    folder: Path
    backbone: str | None = None
    weights: str | None = None


@dataclass(frozen=True, slots=True)
class _Matched:
    video: KnownVideo
    files: FeatureFiles


def run_import(job: ImportJob) -> Manifest:
    """Write shards and the manifest; what is finished is not read again.

    Raises:
        DataMissingError: No features of the known videos are there.
        DataConflictError: Two videos have one name, or the folder was made otherwise.
        OSError: A folder cannot be read or written.
    """
    matched = _match(job)
    width = _width(matched)
    exported = read_export_record(job.source)
    config = _config(job, width, exported.config if exported else None)
    by_path = {match.video.path: match for match in matched}
    plan = make_plan(_listing(job, by_path), config, selection="imported features", limit=None)
    plan = agree_on_plan(job.folder, plan)
    remove_stale_temporaries(job.folder)
    done = 0
    with ProgressLine(len(plan.clips), "videos") as progress:
        for shard in plan.shards:
            clips = [clip for clip in plan.clips if clip.shard == shard]
            done += len(clips)
            if not is_finished(job.folder, shard) and not mend_sidecar(job.folder, shard):
                content = [(c, by_path[c.path]) for c in clips]
                _write(job.folder, _Making(config.hash, width, exported), shard, content)
            progress.update(done, f"{shard} is done")
    return build_manifest(job.folder)


def _config(job: ImportJob, width: int, exported: FeatureConfig | None) -> FeatureConfig:
    """Return what the features are, as far as anybody says.

    Raises:
        DataConflictError: The network named gives features of another width.
    """
    backbone = job.backbone or (exported.backbone if exported else _PUBLISHED_BACKBONE)
    known = BACKBONES.get(backbone)
    if known is not None and known.feature_dim != width:
        raise DataConflictError(
            f"the features in {quoted(job.source)} have {width} values a frame, but {backbone} "
            f"gives {known.feature_dim}; say what made them with --backbone"
        )
    weights = job.weights or (exported.weights if exported else _PUBLISHED_WEIGHTS)
    return FeatureConfig(
        dataset=job.dataset,
        backbone=backbone,
        weights=f"{IMPORTED}:{weights.removeprefix(f'{IMPORTED}:')}",
        profile=IMPORTED,
        image_size=exported.image_size if exported else IMAGE_SIZE,
        frames=exported.frames if exported else "all",
        feature_dim=width,
        timing=exported.timing if exported else "frames",
    )


def _match(job: ImportJob) -> list[_Matched]:
    """Return the known videos with features, by name as published; log the others there."""
    known = _by_name((published_name(v.stem), v.path, v) for v in job.known)
    found = _by_name((published_name(f.name), str(f.path), f) for f in find_features(job.source))
    strangers = sorted(found.keys() - known.keys())
    if strangers:
        LOGGER.warning(
            "%d videos in %s are not of %s as listed and are left out: %s",
            len(strangers),
            job.source,
            job.dataset,
            printable(shorten(strangers, 3)),
        )
    matched = [_Matched(video, found[name]) for name, video in known.items() if name in found]
    if not matched:
        raise DataMissingError(
            f"no features of the {len(known)} videos of {job.dataset} in {quoted(job.source)}: "
            f"looked for <video>/img_00001.t7 and <video>.npy, .npz or .pt, and found {len(found)} "
            "videos of other names"
        )
    return sorted(matched, key=lambda match: match.video.path)


def _by_name(items: Iterable[tuple[str, str, T]]) -> dict[str, T]:
    found: dict[str, T] = {}
    places: dict[str, str] = {}
    for name, place, item in items:
        if places.setdefault(name, place) != place:
            raise DataConflictError(
                f"two videos are called {quoted(name)} as published: {quoted(places[name])} and "
                f"{quoted(place)}; keep one of them"
            )
        found[name] = item
    return found


def _width(matched: Iterable[_Matched]) -> int:
    """Return D, as the first sound video has it."""
    error: ClipError | None = None
    for match in matched:
        try:
            return int(read_features(match.files).shape[1])
        except ClipError as caught:
            error = error or caught
    raise DataMissingError(f"no video can be imported, the first because {error}")


def _listing(job: ImportJob, matched: dict[str, _Matched]) -> Listing:
    clips = (
        Clip(
            path=path,
            class_name=match.video.class_name,
            splits=match.video.splits,
            size_bytes=match.files.size_bytes,
            mtime_ns=match.files.mtime_ns,
        )
        for path, match in matched.items()
    )
    absent = {
        (video.class_name, video.stem): video for video in job.known if video.path not in matched
    }
    return Listing(
        dataset=job.dataset,
        root=job.source,
        clips=tuple(sorted(clips, key=lambda clip: clip.path)),
        absent=tuple(
            ListedClip(class_name=class_name, stem=stem, splits=absent[class_name, stem].splits)
            for class_name, stem in sorted(absent)
        ),
        splits_origin=job.origin,
    )


@dataclass(frozen=True, slots=True)
class _Making:
    """What is the same for all shards: hash of the configuration, D, and what an export says."""

    config_hash: str
    width: int
    exported: ExportRecord | None


def _write(
    folder: Path, making: _Making, shard: str, clips: Sequence[tuple[PlannedClip, _Matched]]
) -> None:
    records: list[ClipRecord] = []
    parts = [np.empty((0, making.width), np.float32)]
    numbers = [np.empty(0, np.int32)]
    start = 0
    for clip, match in clips:
        try:
            rows = read_features(match.files)
            if rows.shape[1] != making.width:
                raise ClipError(
                    f"has {rows.shape[1]} values a frame, the others have {making.width}"
                )
            record, frames = _imported(clip, match, rows, making.exported)
        except ClipError as error:
            records.append(_record(clip, status="failed", error=str(error), attempts=1))
            continue
        records.append(record.model_copy(update={"start": start}))
        parts.append(rows)
        numbers.append(np.asarray(frames, np.int32))
        start += len(rows)
    shard_record = ShardRecord(
        config_hash=making.config_hash,
        shard=shard,
        num_rows=start,
        provenance=provenance_of(IMPORTED, f"unknown: {IMPORTED} features", 1),
        clips=tuple(records),
    )
    write_shard(folder, shard_record, np.concatenate(parts), np.concatenate(numbers))


def _imported(
    clip: PlannedClip, match: _Matched, rows: Features, exported: ExportRecord | None
) -> tuple[ClipRecord, Sequence[int]]:
    """Return the record of a clip, and the frame of each of its rows."""
    common = {"length": len(rows), "crc32": crc32_of(rows)}
    if exported is not None:
        name = published_name(match.files.name)
        video, frames = exported.frame_numbers(name, len(rows))
        record = _record(clip, status="ok", **common, **video.model_dump())
        return record, frames
    declared = match.video.num_frames
    short = declared is not None and len(rows) < declared
    record = _record(
        clip,
        status="partial" if short else "ok",
        error=f"{len(rows)} of the {declared} frames that the list declares" if short else "",
        num_frames=len(rows),
        declared_frames=declared,
        **common,
    )
    return record, range(len(rows))


def _record(clip: PlannedClip, **values: object) -> ClipRecord:
    return ClipRecord.model_validate(clip.model_dump() | values)
