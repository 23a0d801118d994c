"""What a job has to do: shards that are missing, damaged, or hold clips to be tried again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ta3n.common.log import LOGGER
from ta3n.common.records import Plan, PlannedClip
from ta3n.common.store import restore_sidecar, shard_path, sidecar_path
from ta3n.extract.job.feature_folder import damage_of, failed_clips, mend_sidecar
from ta3n.extract.supervision.quarantine import remove_from_quarantine
from ta3n.extract.worker.protocol import ShardTask


@dataclass(frozen=True, slots=True)
class Todo:
    """What is left to do.

    Attributes:
        tasks: The shards, in order.
        attempts: How often clips were tried before, by number.
    """

    tasks: tuple[ShardTask, ...]
    attempts: Mapping[int, int]


def find_todo(
    folder: Path,
    there: Plan,
    now: Plan,
    shards: Sequence[str],
    *,
    retry_failed: bool,
    repair: bool,
) -> Todo:
    """Look through a job's shards.

    Args:
        folder: Feature folder of the dataset.
        there: Its plan.
        now: The plan for the files as they are now; the same but for files that were replaced.
        shards: The job's part of it.
        retry_failed: Whether clips that failed are to be done again.
        repair: Whether finished shards are to be checked, and damaged ones made again.

    Raises:
        FeatureStoreError: If a sidecar is damaged and is not to be repaired.
        OSError: If the folder cannot be written.
    """
    by_path = {clip.path: clip for clip in now.clips}
    members: dict[str, list[PlannedClip]] = {shard: [] for shard in shards}
    for clip in there.clips:
        if clip.shard in members:
            members[clip.shard].append(by_path.get(clip.path, clip))
    tasks, attempts = [], {}
    for shard, clips in members.items():
        if repair and not _repaired(folder, there, shard):
            tasks.append(ShardTask(shard=shard, clips=tuple(clips), replace=True))
        elif not mend_sidecar(folder, shard):
            replace = shard_path(folder, shard).exists() or sidecar_path(folder, shard).exists()
            tasks.append(ShardTask(shard=shard, clips=tuple(clips), replace=replace))
        elif retry_failed and (failed := failed_clips(folder, shard, by_path)):
            remove_from_quarantine(folder, failed)
            attempts.update({clip.id: clip.attempts for clip in failed})
            kept = frozenset(clip.id for clip in clips) - {clip.id for clip in failed}
            tasks.append(ShardTask(shard=shard, clips=tuple(clips), kept=kept, replace=True))
    return Todo(tuple(tasks), attempts)


def _repaired(folder: Path, plan: Plan, shard: str) -> bool:
    """Check a shard; a wrong sidecar is written again. Return False if it must be made again."""
    damage = damage_of(folder, plan, shard)
    if damage is None:
        return True
    LOGGER.warning("%s: %s", shard_path(folder, shard), damage.text)
    if damage.in_sidecar:
        restore_sidecar(folder, shard)
        return True
    return False
