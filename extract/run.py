"""An extraction job: plan, skip what is done, do this job's shards, rebuild the manifest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ta3n.common.errors import FeatureStoreError, TooManyFailuresError
from ta3n.common.log import LOGGER
from ta3n.common.manifest import build_manifest
from ta3n.common.names import shorten
from ta3n.common.records import USABLE, Manifest, Plan
from ta3n.common.store import restore_sidecar, shard_path, sidecar_path
from ta3n.extract.backbones import Backbone
from ta3n.extract.plan import JobShare, agree_on_plan

_FAILURES_LISTED = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractionJob:
    """What one call of the command does.

    Attributes:
        root: Folder of the clips.
        folder: Feature folder of the dataset.
        plan: What the folder is to hold.
        share: This job's part of it.
        backbone: The network.
        weights: As given: a name, a file, or `random:SEED`.
        device: As given: `auto`, `cpu` or `cuda:N`.
        batch_size: Frames in one forward pass.
        decode_threads: Clips decoded side by side; None follows the CPUs allowed.
    """

    root: Path
    folder: Path
    plan: Plan
    share: JobShare
    backbone: Backbone
    weights: str
    device: str
    batch_size: int
    decode_threads: int | None


def run_job(job: ExtractionJob) -> Manifest:
    """Do what is left of a job's share; return the state of the whole folder.

    Raises:
        DataConflictError: If the folder was made with other settings.
        WeightsError: If the weights cannot be loaded.
        DeviceError: If the device is not there.
        OSError: If the folder cannot be written; finished shards stay.
    """
    plan = agree_on_plan(job.folder, job.plan)
    mine = job.share.of(plan.shards)
    todo = [shard for shard in mine if not _is_done(job.folder, shard)]
    LOGGER.info(
        "%s: %d clips in %d shards, %d of %d shards of this job are done",
        job.plan.config.dataset,
        len(plan.clips),
        len(plan.shards),
        len(mine) - len(todo),
        len(mine),
    )
    try:
        if todo:
            # Torch is imported only where there is work: a finished folder answers at once.
            from ta3n.extract.pipeline import extract_shards

            extract_shards(job, plan, todo)
    finally:
        manifest = build_manifest(job.folder)
    return manifest


def report(manifest: Manifest, folder: Path) -> None:
    """Log what became of the clips, with the reason for each that has no features."""
    counts = ", ".join(f"{n} {status}" for status, n in sorted(manifest.status_counts().items()))
    LOGGER.info("%s: %s", folder, counts or "no clip is done yet")
    unhappy = [clip for clip in manifest.clips if clip.status != "ok"]
    for clip in unhappy[:_FAILURES_LISTED]:
        LOGGER.info("%s %s: %s", clip.status, clip.path, clip.error)
    if len(unhappy) > _FAILURES_LISTED:
        LOGGER.info("... and %d more, see the manifest", len(unhappy) - _FAILURES_LISTED)
    if manifest.absent:
        LOGGER.info(
            "%d clips of the official splits are not on disk: %s",
            len(manifest.absent),
            shorten((clip.path for clip in manifest.absent), 3),
        )
    if manifest.pending:
        LOGGER.info("%d clips are left for other jobs or a rerun", len(manifest.pending))


def check_failures(manifest: Manifest, allowed: str) -> None:
    """Hold the number of failed clips against `N` or `P%`.

    Raises:
        TooManyFailuresError: If more failed.
    """
    num_failed = sum(clip.status not in USABLE for clip in manifest.clips)
    limit = float(allowed.rstrip("%"))
    if allowed.endswith("%"):
        limit *= len(manifest.clips) / 100
    if num_failed > limit:
        raise TooManyFailuresError(
            f"{num_failed} of {len(manifest.clips)} clips failed, --max-failures allows {allowed}; "
            "the manifest holds the reasons"
        )


def _is_done(folder: Path, shard: str) -> bool:
    """Return whether a shard is finished; a kill between file and sidecar is mended here."""
    if sidecar_path(folder, shard).exists() and shard_path(folder, shard).exists():
        return True
    if not shard_path(folder, shard).exists():
        return False
    try:
        restore_sidecar(folder, shard)
    except FeatureStoreError as error:
        LOGGER.warning("%s; it is made again", error)
        shard_path(folder, shard).unlink()
        return False
    return True
