"""The manifest: the only link between the two stages.

A dataset's feature folder holds `plan.json` (what is to be extracted, fixed by the first job),
`shard-NNNNN.h5` with a sidecar `shard-NNNNN.json` each, and `manifest.json`, rebuilt from the
plan and the sidecars whenever a job ends.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from ta3n.common.errors import DataMissingError, FeatureStoreError
from ta3n.common.files import canonical_json, replace_file
from ta3n.common.records import (
    Manifest,
    Plan,
    PlannedClip,
    ShardRecord,
    dump_record,
    read_record,
)

MANIFEST_NAME = "manifest.json"
PLAN_NAME = "plan.json"

_Clip = TypeVar("_Clip", bound=PlannedClip)


def with_splits_of(clips: Iterable[_Clip], others: Iterable[PlannedClip]) -> Iterator[_Clip]:
    """Yield clips with the splits that others of the same paths have; the rest as it is.

    Features do not depend on the split: a plan's may be newer than its shards.
    """
    splits = {clip.path: clip.splits for clip in others}
    for clip in clips:
        yield clip.model_copy(update={"splits": splits.get(clip.path, clip.splits)})


def build_manifest(folder: Path) -> Manifest:
    """Rebuild `manifest.json` from the plan and the sidecars, and replace it atomically.

    Any number of jobs may do so at any time: whoever replaces the file last looks again for
    sidecars that were written meanwhile. A manifest that is right already is left alone, so that
    a finished folder may be read-only.

    Raises:
        DataMissingError: If there is no plan.
        FeatureStoreError: If a sidecar belongs to another configuration.
        OSError: If the folder cannot be written.
    """
    plan = read_record(Plan, folder / PLAN_NAME)
    path = folder / MANIFEST_NAME
    done = _finished_shards(folder, plan)
    while True:
        manifest = _collect(folder, plan, done)
        data = dump_record(manifest)
        there = None
        with suppress(FileNotFoundError):
            there = path.read_bytes()
        if there != data:
            replace_file(path, data)
        done_now = _finished_shards(folder, plan)
        if done_now == done:
            return manifest
        done = done_now


def collect_manifest(folder: Path) -> Manifest:
    """Return the manifest as plan and sidecars have it, without writing anything.

    Raises:
        DataMissingError: If there is no plan.
        FeatureStoreError: If a record is damaged or belongs to another configuration.
    """
    plan = read_record(Plan, folder / PLAN_NAME)
    return _collect(folder, plan, _finished_shards(folder, plan))


def _collect(folder: Path, plan: Plan, shards: Iterable[str]) -> Manifest:
    finished = [record for shard in shards if (record := _sidecar(folder, shard, plan))]
    done = {record.shard for record in finished}
    made = (clip for record in finished for clip in record.clips)
    clips = sorted(with_splits_of(made, plan.clips), key=lambda clip: clip.path)
    provenance = {canonical_json(record.provenance): record.provenance for record in finished}
    return Manifest(
        config=plan.config,
        config_hash=plan.config.hash,
        selection=plan.selection,
        splits_origin=plan.splits_origin,
        num_shards=len(plan.shards),
        pending=tuple(clip for clip in plan.clips if clip.shard not in done),
        provenance=tuple(provenance.values()),
        clips=tuple(clips),
        absent=plan.absent,
    )


def _finished_shards(folder: Path, plan: Plan) -> dict[str, tuple[int, int]]:
    """Return the shards that have a sidecar, each with what changes if that is replaced."""
    found = {}
    for shard in plan.shards:
        with suppress(FileNotFoundError):
            status = (folder / f"{shard}.json").stat()
            found[shard] = (status.st_ino, status.st_mtime_ns)
    return found


def _sidecar(folder: Path, shard: str, plan: Plan) -> ShardRecord | None:
    path = folder / f"{shard}.json"
    try:
        record = read_record(ShardRecord, path)
    except DataMissingError:
        # Another job makes this shard again; whoever ends last lists it.
        return None
    if (record.config_hash, record.shard) != (plan.config.hash, shard):
        raise FeatureStoreError(
            f"{path} was made with other settings, or for another shard, than {PLAN_NAME} beside "
            "it says; run ta3n-extract --repair to make this shard again"
        )
    return record
