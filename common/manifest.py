"""The manifest: the only link between the two stages.

A dataset's feature folder holds `plan.json` (what is to be extracted, fixed by the first job),
`shard-NNNNN.h5` with a sidecar `shard-NNNNN.json` each, and `manifest.json`, rebuilt from the
plan and the sidecars whenever a job ends.
"""

from pathlib import Path

from ta3n.common.errors import FeatureStoreError
from ta3n.common.files import canonical_json, replace_file
from ta3n.common.records import Manifest, Plan, ShardRecord, dump_record, read_record

MANIFEST_NAME = "manifest.json"
PLAN_NAME = "plan.json"


def build_manifest(folder: Path) -> Manifest:
    """Rebuild `manifest.json` from the plan and the sidecars, and replace it atomically.

    Any number of jobs may do so at any time: whoever replaces the file last looks again for
    shards that were finished meanwhile.

    Raises:
        DataMissingError: If there is no plan.
        FeatureStoreError: If a sidecar belongs to another configuration.
        OSError: If the folder cannot be written.
    """
    plan = read_record(Plan, folder / PLAN_NAME)
    done = _finished_shards(folder, plan)
    while True:
        manifest = _manifest_of(plan, [_sidecar(folder, shard, plan) for shard in done])
        replace_file(folder / MANIFEST_NAME, dump_record(manifest))
        done_now = _finished_shards(folder, plan)
        if done_now == done:
            return manifest
        done = done_now


def _finished_shards(folder: Path, plan: Plan) -> list[str]:
    return [shard for shard in plan.shards if (folder / f"{shard}.json").exists()]


def _sidecar(folder: Path, shard: str, plan: Plan) -> ShardRecord:
    record = read_record(ShardRecord, folder / f"{shard}.json")
    if record.config_hash != plan.config.hash:
        raise FeatureStoreError(
            f"{folder / shard}.json was made with other settings than {PLAN_NAME} beside it; "
            "remove this shard and extract again"
        )
    return record


def _manifest_of(plan: Plan, finished: list[ShardRecord]) -> Manifest:
    done = {record.shard for record in finished}
    clips = sorted((clip for record in finished for clip in record.clips), key=lambda c: c.path)
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
