"""The plan of an extraction: which clips, in which shards. Equal for every job on a folder."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from ta3n.common.errors import DataConflictError, shorten
from ta3n.common.files import publish_file, replace_file, temporary_beside
from ta3n.common.log import LOGGER
from ta3n.common.records import (
    PLAN_NAME,
    AbsentClip,
    FeatureConfig,
    Plan,
    PlannedClip,
    ShardRecord,
    dump_record,
    read_record,
    with_splits_of,
)
from ta3n.common.shares import JobShare
from ta3n.common.store import sidecar_path
from ta3n.datasets.reading.base import Clip, Listing
from ta3n.extract.backbones import Backbone, get_backbone, weights_identity
from ta3n.extract.job.feature_folder import mend_sidecar
from ta3n.extract.job.settings import ExtractSettings

_CLIPS_PER_SHARD = 64
_BYTES_PER_SHARD = 64 * 2**20


def feature_config(settings: ExtractSettings, dataset: str) -> tuple[Backbone, str, FeatureConfig]:
    """Return the backbone, its weights as they are to be loaded, and what makes the features.

    Raises:
        UsageError: If there is no such backbone, or its library does not give the profile.
        WeightsError: If a file of weights, or the backbone's library, is not there.
    """
    backbone = get_backbone(settings.backbone, settings.weights)
    weights = backbone.pretrained if settings.weights is None else settings.weights
    profile = backbone.profile_of(settings.profile)
    config = FeatureConfig(
        dataset=dataset,
        backbone=backbone.name,
        weights=weights_identity(backbone, weights),
        profile=profile,
        transform=backbone.transform_of(profile),
        image_size=backbone.image_size,
        frames=settings.frames,
        feature_dim=backbone.feature_dim,
        timing=settings.timing,
    )
    return backbone, weights, config


def make_plan(
    listing: Listing, config: FeatureConfig, *, selection: str, limit: int | None
) -> Plan:
    """Lay clips, sorted by path, out in shards.

    Args:
        selection: Which part of the dataset this is, in words.
        limit: Keep only so many clips, spread evenly over the listing.
    """
    clips = listing.clips
    if limit is not None and limit < len(clips):
        clips = tuple(clips[i * len(clips) // limit] for i in range(limit))
        selection += f", limit {limit}"
    planned = tuple(
        PlannedClip(id=number, shard=shard, **asdict(clip))
        for number, (clip, shard) in enumerate(zip(clips, _shard_names(clips), strict=True))
    )
    absent = tuple(
        AbsentClip(
            path=f"{clip.class_name}/{clip.stem}",
            class_name=clip.class_name,
            splits=dict(clip.splits),
        )
        for clip in listing.absent
    )
    return Plan(
        config=config,
        selection=selection,
        splits_origin=listing.splits_origin,
        clips=planned,
        absent=absent,
    )


def agree_on_plan(
    folder: Path, plan: Plan, *, retry_failed: bool = False, new_splits: bool = False
) -> Plan:
    """Make this the folder's plan, or check it against the one that is there, and return that.

    A file may only differ in size from the planned one where the features were made from it as it
    is now, or are to be made because it failed before.

    Args:
        plan: What this job would do.
        retry_failed: Whether clips that failed are to be done again.
        new_splits: Whether other splits of the same clips take the place of those there.

    Raises:
        DataConflictError: If the folder was made with other settings or for other clips.
        OSError: If the folder cannot be written.
    """
    path = folder / PLAN_NAME
    if not path.exists():
        with temporary_beside(path) as temporary:
            temporary.write_bytes(dump_record(plan))
            publish_file(temporary, path)
    agreed = read_record(Plan, path)
    is_untouched = not any(folder.glob("shard-*"))
    if agreed.config != plan.config and is_untouched:
        # Of a call that failed before its first shard. Should that one still run, its shards are
        # told from ours by the hash of their settings.
        LOGGER.info("%s: nothing was made with other settings yet; these hold now", folder)
        replace_file(path, dump_record(plan))
        agreed = plan
    there, differences = agreed, _differences(agreed, plan)
    if differences and agreed.config == plan.config:
        there = _with_renewed_files(folder, agreed, plan, retry_failed=retry_failed)
        differences = _differences(there, plan)
    if not differences:
        return agreed
    told = "; ".join(differences)
    if _differences(_with_splits_of(there, plan), plan):
        way_out = (
            "It holds no features yet: remove the folder, or use another --out"
            if is_untouched
            else "Use another --out, or remove the folder to start afresh, or give --retry-failed "
            "if files of failed clips were replaced"
        )
        raise DataConflictError(f"{folder} was made with another setting: {told}. {way_out}")
    if not new_splits:
        raise DataConflictError(
            f"{folder} was made with other splits: {told}. Features do not depend on them: "
            "--new-splits takes these for all that is there"
        )
    LOGGER.info("%s: %s; the features stay", folder, told)
    agreed = _with_splits_of(agreed, plan)
    replace_file(path, dump_record(agreed))
    return agreed


def _with_splits_of(there: Plan, now: Plan) -> Plan:
    """Return a plan with the splits of another one."""
    clips = tuple(with_splits_of(there.clips, now.clips))
    update = {"clips": clips, "absent": now.absent, "splits_origin": now.splits_origin}
    return there.model_copy(update=update)


def describe_plan(plan: Plan, root: Path, share: JobShare, folder: Path) -> str:
    """Say what a job would do with its share of a plan, a fact a line."""
    config, mine = plan.config, share.of(plan.shards)
    per_class = Counter(clip.class_name for clip in plan.clips if clip.class_name)
    of_classes = f" of {len(per_class)} classes" if per_class else ""
    megabytes = sum(clip.size_bytes for clip in plan.clips) / 1e6
    lines = [
        f"{config.dataset}: {len(plan.clips)} clips ({megabytes:.1f} MB){of_classes} in {root}",
        f"selection: {plan.selection}; splits: {plan.splits_origin}; "
        f"{len(plan.absent)} listed clips are not on disk",
        f"features: {config.backbone}, weights {config.weights}, profile {config.profile}, frames "
        f"{config.frames}, {config.feature_dim} values a frame",
        f"this job: {len(mine)} of {len(plan.shards)} shards, to {folder}",
        *(f"{count:7d} {name}" for name, count in sorted(per_class.items())),
    ]
    return "\n".join(lines)


def _shard_names(clips: Sequence[Clip]) -> list[str]:
    names = []
    shard, num_clips, num_bytes = 0, 0, 0
    for clip in clips:
        if num_clips == _CLIPS_PER_SHARD or (num_clips and num_bytes >= _BYTES_PER_SHARD):
            shard, num_clips, num_bytes = shard + 1, 0, 0
        num_clips += 1
        num_bytes += clip.size_bytes
        names.append(f"shard-{shard:05d}")
    return names


def _differences(there: Plan, now: Plan) -> list[str]:
    """Return in words where two plans differ: settings first, clips only if those agree."""
    old, new = there.config.model_dump(), now.config.model_dump()
    found = [
        f"{key} is {old[key] or 'none'} there, {new[key] or 'none'} now"
        for key in old
        if old[key] != new[key]
    ]
    if there.selection != now.selection:
        found.append(f"the selection is {there.selection} there, {now.selection} now")
    return found or _clip_differences(there, now)


def _with_renewed_files(folder: Path, there: Plan, now: Plan, *, retry_failed: bool) -> Plan:
    """Return the plan with the sizes of files that were, or are to be, extracted anew."""
    new = {clip.path: clip for clip in now.clips}
    shards = {c.shard for c in there.clips if new.get(c.path, c).size_bytes != c.size_bytes}
    renewed = {}
    for shard in filter(lambda shard: mend_sidecar(folder, shard), shards):
        for record in read_record(ShardRecord, sidecar_path(folder, shard)).clips:
            clip = new.get(record.path, record)
            is_same = record.size_bytes == clip.size_bytes
            if is_same or (retry_failed and record.status != "ok"):
                renewed[record.path] = clip.size_bytes
    clips = (
        c.model_copy(update={"size_bytes": renewed.get(c.path, c.size_bytes)}) for c in there.clips
    )
    return there.model_copy(update={"clips": tuple(clips)})


def _clip_differences(there: Plan, now: Plan) -> list[str]:
    old = {clip.path: clip for clip in there.clips}
    new = {clip.path: clip for clip in now.clips}
    both = old.keys() & new.keys()
    kinds = {
        "clips are new": sorted(new.keys() - old.keys()),
        "clips are gone": sorted(old.keys() - new.keys()),
        "clips changed size": sorted(p for p in both if old[p].size_bytes != new[p].size_bytes),
        "clips are in another split": sorted(p for p in both if old[p].splits != new[p].splits),
    }
    return [f"{len(paths)} {kind} ({shorten(paths, 3)})" for kind, paths in kinds.items() if paths]
