"""An extraction job: plan, skip what is done, do this job's shards, rebuild the manifest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ta3n.common.errors import Ta3nError, TooManyFailuresError, UsageError
from ta3n.common.files import remove_stale_temporaries
from ta3n.common.log import LOGGER
from ta3n.common.names import printable, shorten
from ta3n.common.records import USABLE, Manifest, Plan, build_manifest
from ta3n.common.shares import SHARES_NAME, JobShare, agree_on_count
from ta3n.extract.backbones import Backbone
from ta3n.extract.inference.profiles import CompilePolicy
from ta3n.extract.job.plan import agree_on_plan
from ta3n.extract.job.tasks import Todo, find_todo
from ta3n.extract.supervision.progress import JobProgress
from ta3n.extract.supervision.quarantine import read_quarantine
from ta3n.extract.supervision.supervisor import WORKER_COMMAND, supervise
from ta3n.extract.worker.protocol import Work

_FAILURES_LISTED = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractionJob:
    """What one call of the command does.

    Attributes:
        root: Folder of the clips.
        folder: Feature folder of the dataset.
        plan: What the folder is to hold.
        share: This job's part of it; None does all that is left, whatever array was at it.
        backbone: The network.
        weights: As given: a name, a file, or `random:SEED`.
        device: As given: `auto`, `cpu` or `cuda:N`; several with commas.
        batch_size: Frames in one forward pass; None takes what suits the device.
        decode_threads: Clips decoded side by side; None follows the CPUs allowed.
        clip_timeout_s: Seconds without progress after which a clip is given up.
        compile: Whether the network is compiled.
        retry_failed: Do clips again that failed before.
        new_splits: Take other splits of the same clips for those that are there.
        repair: Check every finished shard, and make damaged ones again.
        worker_command: Starts a worker process; without one this process does the work itself,
            unprotected from clips that crash or hang.
    """

    root: Path
    folder: Path
    plan: Plan
    share: JobShare | None
    backbone: Backbone
    weights: str
    device: str
    batch_size: int | None
    decode_threads: int | None
    clip_timeout_s: float = 60.0
    compile: CompilePolicy = "auto"
    retry_failed: bool = False
    new_splits: bool = False
    repair: bool = False
    worker_command: Sequence[str] = WORKER_COMMAND


def run_job(job: ExtractionJob) -> Manifest:
    """Do what is left of a job's share; return the state of the whole folder.

    Raises:
        DataConflictError: If the folder was made with other settings, or is cut into another
            number of parts.
        WeightsError: If the weights cannot be loaded.
        DeviceError: If the device is not there.
        OSError: If the folder cannot be written; finished shards stay.
    """
    plan = agree_on_plan(
        job.folder, job.plan, retry_failed=job.retry_failed, new_splits=job.new_splits
    )
    remove_stale_temporaries(job.folder)
    if job.share is not None:
        agree_on_count(job.folder / SHARES_NAME, job.share)
    mine = (job.share or JobShare()).of(plan.shards)
    todo = find_todo(
        job.folder, plan, job.plan, mine, retry_failed=job.retry_failed, repair=job.repair
    )
    LOGGER.info(
        "%s: %d clips in %d shards, %d of %d shards of this job are done",
        job.plan.config.dataset,
        len(plan.clips),
        len(plan.shards),
        len(mine) - len(todo.tasks),
        len(mine),
    )
    try:
        if todo.tasks:
            _work_off(job, plan, todo)
    except BaseException:
        _tidy_up(job.folder)
        raise
    return build_manifest(job.folder)


def _work_off(job: ExtractionJob, plan: Plan, todo: Todo) -> None:
    clips = [clip for task in todo.tasks for clip in task.clips]
    work = Work(
        root=job.root,
        folder=job.folder,
        config_hash=plan.config.hash,
        frames=plan.config.frames,
        backbone=job.backbone,
        weights=job.weights,
        device=job.device,
        batch_size=job.batch_size,
        decode_threads=job.decode_threads,
        clip_timeout_s=job.clip_timeout_s,
        profile=plan.config.profile,
        timing=plan.config.timing,
        compile=job.compile,
        tasks=todo.tasks,
        verdicts=read_quarantine(job.folder, clips),
        attempts=todo.attempts,
    )
    if not job.worker_command and len(work.devices) > 1:
        raise UsageError(
            f"devices {work.device} need a worker process each; leave out --no-supervise"
        )
    with JobProgress(work.tasks) as progress:
        if job.worker_command:
            supervise(work, progress, job.worker_command)
            return
        # Torch is imported only where there is work: a finished folder answers at once.
        from ta3n.extract.worker.heartbeat import Reporter
        from ta3n.extract.worker.pipeline import extract_shards

        extract_shards(work, Reporter(progress.worker(work.tasks).handle))


def _tidy_up(folder: Path) -> None:
    """Remove what a worker left, and list what is finished; the job's own error is to be told."""
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
        LOGGER.info(
            "%d clips of the official splits are not on disk: %s",
            len(manifest.absent),
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
