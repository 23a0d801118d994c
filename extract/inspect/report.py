"""A feature folder in words: what it holds, whether it is sound, what it lacks."""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ta3n.common.errors import DataMissingError, FeatureStoreError, shorten
from ta3n.common.records import (
    MANIFEST_NAME,
    USABLE,
    Manifest,
    build_manifest,
    collect_manifest,
    read_plan,
    read_record,
)
from ta3n.common.shares import SHARES_NAME, read_count
from ta3n.extract.job.feature_folder import damage_of, mend_sidecar


def summary(folder: Path) -> dict[str, Any]:
    """Return what is there, by status, and the reason for each clip that is not ok."""
    plan, manifest = read_plan(folder), collect_manifest(folder)
    config, window = plan.config, plan.config.clip_window
    told = ("dataset", "backbone", "weights", "frames", "feature_dim", "profile", "transform")
    counts: Counter[str] = Counter(clip.status for clip in manifest.clips)
    counts |= {"pending": len(manifest.pending), "absent": len(manifest.absent)}
    return {
        "folder": str(folder),
        **config.model_dump(mode="json", include=set(told)),
        "window": None if window is None else str(window),
        "selection": plan.selection,
        "num_shards": manifest.num_shards,
        "num_shards_done": manifest.num_shards - len({clip.shard for clip in manifest.pending}),
        "num_rows": sum(clip.length for clip in manifest.clips),
        "num_clips": counts,
        "not_ok": [
            {"status": clip.status, "path": clip.path, "reason": clip.error}
            for clip in manifest.clips
            if clip.status != "ok"
        ],
        "warnings": [{"path": c.path, "warning": c.warning} for c in manifest.clips if c.warning],
    }


def contents(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield a summary as lines."""
    windows = f", windows of {found['window']}" if found["window"] else ""
    transform = f" ({found['transform']})" if found["transform"] else ""
    yield (
        f"{found['folder']}: {found['dataset']}, {found['backbone']}, weights {found['weights']}, "
        f"frames {found['frames']}{windows}, {found['feature_dim']} values a row, profile "
        f"{found['profile']}{transform}; {found['selection']}"
    )
    yield (f"{found['num_shards_done']} of {found['num_shards']} shards, {found['num_rows']} rows")
    for status, count in found["num_clips"].items():
        yield f"{count:7d} {status}"
    for clip in found["not_ok"]:
        yield f"{clip['status']} {clip['path']}: {clip['reason']}"
    for clip in found["warnings"]:
        yield f"warning {clip['path']}: {clip['warning']}"


def damage(folder: Path) -> Iterator[str]:
    """Check every checksum, count, value and origin; yield what is damaged."""
    plan = read_plan(folder)
    sound = True
    for shard in plan.shards:
        damaged = damage_of(folder, plan, shard)
        if damaged is not None:
            sound = False
            yield f"{folder / shard}.h5: {damaged.text}"
    # A manifest cannot be right where a sidecar is not.
    try:
        if sound and read_record(Manifest, folder / MANIFEST_NAME) != collect_manifest(folder):
            yield f"{folder / MANIFEST_NAME}: it is not what the sidecars say"
    except (DataMissingError, FeatureStoreError) as error:
        yield f"{folder / MANIFEST_NAME}: {error}"


def clips_without_features(folder: Path) -> Iterator[tuple[str, str, str]]:
    """Yield what became of each, its path, and the reason."""
    manifest = collect_manifest(folder)
    yield from (("pending", clip.path, "its shard is not made yet") for clip in manifest.pending)
    yield from ((c.status, c.path, c.error) for c in manifest.clips if c.status not in USABLE)
    yield from (("absent", clip.path, "not on disk") for clip in manifest.absent)


def missing_shards(folder: Path) -> Iterator[str]:
    """Rebuild the manifest; yield which shards are missing, by the job that is to make them."""
    shards = read_plan(folder).shards
    for shard in shards:
        # A job killed between a shard and its sidecar leaves the one without the other.
        mend_sidecar(folder, shard)
    done = {clip.shard for clip in build_manifest(folder).clips}
    shares = folder / SHARES_NAME
    num_jobs = read_count(shares) if shares.is_file() else 1
    lacking = [shard for shard in shards if shard not in done]
    if lacking:
        yield f"{folder}: {len(lacking)} of {len(shards)} shards are missing: {shorten(lacking)}"
    if lacking and num_jobs > 1:
        jobs = sorted({shards.index(shard) % num_jobs for shard in lacking})
        numbers = ",".join(map(str, jobs))
        yield f"{folder}: jobs {numbers} of {num_jobs} make them (in Slurm --array={numbers})"
