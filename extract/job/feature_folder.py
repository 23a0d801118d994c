"""What a feature folder holds and what it lacks: finished, damaged and failed parts."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ta3n.common.errors import DataMissingError, FeatureStoreError, UsageError, shorten
from ta3n.common.log import LOGGER
from ta3n.common.records import (
    PLAN_NAME,
    USABLE,
    ClipRecord,
    Plan,
    PlannedClip,
    ShardRecord,
    read_record,
)
from ta3n.common.store import ShardReader, is_finished, restore_sidecar, shard_path, sidecar_path


@dataclass(frozen=True, slots=True)
class DamagedShard:
    """What is wrong with a shard, or only `in_sidecar`, which can be written from the shard."""

    text: str
    in_sidecar: bool = False


def damage_of(folder: Path, plan: Plan, shard: str) -> DamagedShard | None:
    """Check everything about a shard that is there; return what is wrong with it, if anything.

    One that was never made is not damaged.
    """
    if not shard_path(folder, shard).exists():
        alone = sidecar_path(folder, shard).exists()
        return DamagedShard("it is missing, only its sidecar is there") if alone else None
    try:
        with ShardReader(shard_path(folder, shard)) as reader:
            reader.verify()
            found = (check(reader, plan) for check in (_origin, _clips, _frame_numbers))
            if text := next(filter(None, found), ""):
                return DamagedShard(text)
            try:
                is_same = read_record(ShardRecord, sidecar_path(folder, shard)) == reader.record
                text = "" if is_same else "its sidecar says otherwise than the shard"
            except DataMissingError:
                text = "its sidecar is missing"
            except FeatureStoreError as error:
                text = str(error)
            return DamagedShard(text, in_sidecar=True) if text else None
    except FeatureStoreError as error:
        return DamagedShard(str(error))


def mend_sidecar(folder: Path, shard: str) -> bool:
    """Write a sidecar that is missing after a kill; return whether the shard is finished now."""
    if is_finished(folder, shard):
        return True
    if not shard_path(folder, shard).exists():
        return False
    try:
        restore_sidecar(folder, shard)
    except FeatureStoreError as error:
        LOGGER.warning("%s; it is made again", error)
        return False
    return True


def failed_clips(folder: Path, shard: str, now: dict[str, PlannedClip]) -> list[ClipRecord]:
    """Return the clips of a finished shard that are worth another try; `now` has the files by path.

    Those without features, and partial ones whose file has changed.

    Raises:
        FeatureStoreError: If the sidecar is damaged.
    """
    failed = []
    for clip in read_record(ShardRecord, sidecar_path(folder, shard)).clips:
        file = now.get(clip.path, clip)
        has_changed = (file.size_bytes, file.mtime_ns) != (clip.size_bytes, clip.mtime_ns)
        if clip.status not in USABLE or (clip.status == "partial" and has_changed):
            failed.append(clip)
    return failed


def _origin(reader: ShardReader, plan: Plan) -> str:
    record, attributes = reader.record, reader.attributes()
    if record.config_hash != plan.config.hash:
        return "it was made with other settings than the plan's"
    if reader.feature_dim != plan.config.feature_dim:
        return f"its rows have {reader.feature_dim} values, the plan says {plan.config.feature_dim}"
    if not record.provenance.get("weights_sha256"):
        return "its record does not tell which weights made it"
    wanted = record.provenance | {"config_hash": record.config_hash}
    wrong = [key for key, value in wanted.items() if attributes.get(key) != value]
    return f"its attributes and its record disagree on {', '.join(wrong)}" if wrong else ""


def _clips(reader: ShardReader, plan: Plan) -> str:
    planned = [c for c in plan.clips if c.shard == reader.path.stem]
    keys = [(clip.id, clip.path, clip.class_name, clip.shard) for clip in planned]
    found = [(c.id, c.path, c.class_name, c.shard) for c in reader.record.clips]
    return "" if found == keys else "its clips are not those of the plan"


def _frame_numbers(reader: ShardReader, _plan: Plan) -> str:
    """Check that each clip's rows are of rising frames that it has, and no row is left over."""
    end = 0
    for clip in reader.record.clips:
        if clip.status not in USABLE and clip.length:
            return f"{clip.path!r} is {clip.status} but has rows"
        if clip.length:
            numbers = reader.frames[clip.start : clip.start + clip.length]
            rising = bool((np.diff(numbers) > 0).all())
            if clip.start != end or not rising or numbers[0] < 0 or numbers[-1] >= clip.num_frames:
                return f"the rows of {clip.path!r} are not of its frames"
            end += clip.length
    return "" if end == reader.record.num_rows else "it holds rows of no clip"


def feature_folders(folder: Path) -> list[Path]:
    """Return the folder if it holds features, else those of its folders that do.

    Raises:
        DataMissingError: If there are none.
    """
    candidates = [folder]
    if folder.is_dir() and not (folder / PLAN_NAME).is_file():
        candidates = sorted(path for path in folder.iterdir() if path.is_dir())
    found = [path for path in candidates if (path / PLAN_NAME).is_file()]
    if not found:
        raise DataMissingError(f"no features in {folder}: there is no {PLAN_NAME}")
    return found


def only_feature_folder(folder: Path) -> Path:
    """Return the one feature folder that this is, or holds.

    Raises:
        DataMissingError: If there is none.
        UsageError: If there are several.
    """
    found = feature_folders(folder)
    if len(found) > 1:
        raise UsageError(f"{folder} holds several; name one of {shorten(map(str, found))}")
    return found[0]
