"""An extraction job: plan, skip what is done, do this job's shards, rebuild the manifest."""

import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from ta3n.common.device import interruption_behind
from ta3n.common.errors import (
    DataConflictError,
    Ta3nError,
    TooManyFailuresError,
    lack_of_the_machine,
    printable,
    shorten,
    unexpected,
)
from ta3n.common.files import remove_stale_temporaries
from ta3n.common.log import LOGGER
from ta3n.common.records import (
    IMPORTED,
    USABLE,
    ClipRecord,
    Manifest,
    Plan,
    PlannedClip,
    build_manifest,
)
from ta3n.common.shares import SHARES_NAME, JobShare, agree_on_count
from ta3n.common.store import is_finished, restore_sidecar, shard_path, sidecar_path
from ta3n.datasets.reading.base import Clip
from ta3n.datasets.reading.folders import size_and_time
from ta3n.extract.job.feature_folder import damage_of, failed_clips, mend_sidecar
from ta3n.extract.job.plan import Scope, agree_on_plan, shards_asked_for
from ta3n.extract.worker.progress import JobProgress
from ta3n.extract.worker.quarantine import read_quarantine, remove_from_quarantine
from ta3n.extract.worker.work import ShardTask, Work

_FAILURES_LISTED = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractionJob:
    """What one call of the command does.

    Attributes:
        work: What it does, without shards.
        scope: What the plan tells of the dataset.
        share: This job's part of it; None does all that is left, whatever array was at it.
        retry_failed: Do clips again that failed before.
        new_splits: Take other splits of the same clips for those that are there.
        repair: Check every finished shard, and make damaged ones again.
    """

    work: Work
    plan: Plan
    scope: Scope = field(default_factory=Scope)
    share: JobShare | None = None
    retry_failed: bool = False
    new_splits: bool = False
    repair: bool = False


def run_job(job: ExtractionJob) -> Manifest:
    """Do what is left of a job's share; return the state of the whole folder.

    Raises:
        DataConflictError: If the folder was made with other settings, is cut into another number
            of parts, or has another job's plan in the place of this one's now.
        WeightsError: If the weights cannot be loaded.
        DeviceError: If the device is not there.
        OSError: If the folder cannot be written; finished shards stay.
    """
    folder = job.work.folder
    plan = agree_on_plan(
        folder,
        job.plan,
        scope=job.scope,
        retry_failed=job.retry_failed,
        new_splits=job.new_splits,
    )
    remove_stale_temporaries(folder)
    if job.share is not None:
        agree_on_count(folder / SHARES_NAME, job.share)
    asked = shards_asked_for(plan, job.plan, job.scope)
    # Shares are of all there is, so that they do not depend on what is asked for.
    mine = [shard for shard in (job.share or JobShare()).of(plan.shards) if shard in asked]
    work = work_left(job, plan, mine)
    LOGGER.info(
        "%s: %d clips in %d shards, %d of %d shards of this job are done",
        plan.config.dataset,
        len(plan.clips),
        len(plan.shards),
        len(mine) - len(work.tasks),
        len(mine),
    )
    try:
        if work.tasks:
            _work_off(work)
    except BaseException:
        _tidy_up(folder)
        raise
    # What a job left that was killed meanwhile.
    remove_stale_temporaries(folder)
    manifest = build_manifest(folder)
    _refuse_lost_plan(folder, plan, manifest)
    return manifest


def _refuse_lost_plan(folder: Path, plan: Plan, manifest: Manifest) -> None:
    """Refuse to end well where another job's plan has taken the place of this one's.

    Two jobs that add clips in one moment come to that on a file system without hard links.
    """
    there = {(clip.id, clip.path) for clip in (*manifest.clips, *manifest.pending)}
    if lost := [clip.path for clip in plan.clips if (clip.id, clip.path) not in there]:
        raise DataConflictError(
            f"{folder}: another job has put its plan in the place of this one's, which lacks "
            f"{len(lost)} clips ({shorten(lost, 3)}); give the same line again, with --repair if "
            "shards are of other clips now"
        )


def work_left(
    job: ExtractionJob, there: Plan, shards: Sequence[str], *, mends: bool = True
) -> Work:
    """Return what is to be done of some shards of a plan; its files may have been replaced since.

    Args:
        mends: Whether sidecars are written that are missing or wrong, and clips leave quarantine.
    """
    folder = job.work.folder
    files = job.scope.files(job.plan)
    members: dict[str, list[PlannedClip]] = {shard: [] for shard in shards}
    for clip in there.clips:
        if clip.shard in members:
            file = files.get(clip.path)
            now = _as_now(clip, file, job.work.root, there.config.reading.frames)
            members[clip.shard].append(now)
    by_path = {clip.path: clip for clips in members.values() for clip in clips}
    tasks: list[ShardTask] = []
    attempts: dict[int, int] = {}
    for shard, clips in members.items():
        task = ShardTask(shard=shard, clips=tuple(clips), replace=True)
        if job.repair and not _is_sound(folder, there, shard, mends=mends):
            tasks.append(task)
        elif not (mend_sidecar if mends else is_finished)(folder, shard):
            is_there = shard_path(folder, shard).exists() or sidecar_path(folder, shard).exists()
            tasks.append(replace(task, replace=is_there))
        elif job.retry_failed and (failed := failed_clips(folder, shard, by_path)):
            attempts.update({clip.id: clip.attempts for clip in failed})
            kept = frozenset(clip.id for clip in clips) - {clip.id for clip in failed}
            tasks.append(replace(task, kept=kept))
    clips = [clip for task in tasks for clip in task.to_decode]
    bad = read_quarantine(folder, clips)
    if job.retry_failed:
        # Some of them in shards that were never finished.
        attempts = {number: entry.attempts for number, entry in bad.items()} | attempts
        bad = {}
        if mends:
            remove_from_quarantine(folder, (clip for clip in clips if clip.id in attempts))
    return replace(
        job.work, config=there.config, tasks=tuple(tasks), attempts=attempts, quarantined=bad
    )


def _as_now(clip: PlannedClip, file: Clip | None, root: Path, frames: str) -> PlannedClip:
    """Return a planned clip with the size and time of its file, which is looked at if need be."""
    size_bytes, mtime_ns = clip.size_bytes, clip.mtime_ns
    if file is not None:
        size_bytes, mtime_ns = file.size_bytes, file.mtime_ns
    else:
        # Not asked for, but in a shard with clips that are. One that is gone fails by itself.
        with suppress(OSError):
            size_bytes, mtime_ns = size_and_time(root / clip.file, frames)
    return clip.model_copy(update={"size_bytes": size_bytes, "mtime_ns": mtime_ns})


def _is_sound(folder: Path, plan: Plan, shard: str, *, mends: bool) -> bool:
    """Say whether a shard is as it must be, but for a sidecar that can be written again."""
    damage = damage_of(folder, plan, shard)
    if damage is None:
        return True
    if mends:
        LOGGER.warning("%s: %s", shard_path(folder, shard), damage.text)
        if damage.in_sidecar:
            restore_sidecar(folder, shard)
    return damage.in_sidecar


def _work_off(work: Work) -> None:
    # Torch is imported only where there is work: a finished folder answers at once.
    from ta3n.extract.worker.shards import extract

    try:
        with JobProgress(work.tasks) as progress:
            extract(work, progress)
    except Ta3nError:
        raise
    except Exception as error:
        if interruption_behind(error) or lack_of_the_machine(error):
            raise
        traceback.print_exc()
        raise unexpected(error) from error


def _tidy_up(folder: Path) -> None:
    """Remove what the job left, and list what is finished; the job's own error is to be told."""
    try:
        remove_stale_temporaries(folder)
        build_manifest(folder)
    except (Ta3nError, OSError) as error:
        LOGGER.warning("the manifest could not be brought up to date: %s", error)


def report(manifest: Manifest, folder: Path) -> None:
    """Log what became of the clips, with the reason for each that has no features."""
    counts = ", ".join(f"{n} {status}" for status, n in sorted(manifest.status_counts().items()))
    LOGGER.info("%s: %s", folder, counts or "no clip is done yet")
    unhappy = [clip for clip in manifest.clips if clip.status != "ok"]
    for clip in unhappy[:_FAILURES_LISTED]:
        LOGGER.info("%s %s: %s", clip.status, printable(clip.path), printable(clip.error))
    if len(unhappy) > _FAILURES_LISTED:
        LOGGER.info("... and %d more, see the manifest", len(unhappy) - _FAILURES_LISTED)
    if manifest.absent:
        is_imported = manifest.config.profile == IMPORTED
        LOGGER.info(
            "%d %s: %s",
            len(manifest.absent),
            "listed videos have no features"
            if is_imported
            else "clips of the splits are not on disk",
            shorten((clip.path for clip in manifest.absent), 3),
        )
    unused = [clip.path for clip in manifest.clips if not clip.splits]
    # Loose videos have no splits at all.
    if 0 < len(unused) < len(manifest.clips):
        LOGGER.info(
            "%d clips are in no part of a split, so that training does not use them: %s",
            len(unused),
            printable(shorten(unused, 3)),
        )
    if manifest.pending:
        LOGGER.info("%d clips are left for other jobs or a rerun", len(manifest.pending))


def check_failures(clips: Sequence[ClipRecord], allowed: str) -> None:
    """Raise `TooManyFailuresError` if more clips failed than `N` or `P%`, or all of them."""
    failed = [clip for clip in clips if clip.status not in USABLE]
    num_failed = len(failed)
    if failed and num_failed == len(clips):
        raise TooManyFailuresError(
            f"nothing is usable: all {num_failed} clips failed, the first, {failed[0].path}: "
            f"{failed[0].error}"
        )
    limit = float(allowed.rstrip("%"))
    if allowed.endswith("%"):
        limit *= len(clips) / 100
    if num_failed > limit:
        raise TooManyFailuresError(
            f"{num_failed} of {len(clips)} clips failed, --max-failures allows {allowed}; "
            "the manifest holds the reasons"
        )
