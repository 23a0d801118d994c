"""The plan of an extraction: which clips, in which shards. Equal for every job on a folder.

It only grows: what is new on disk, or in a wider selection, gets shards of its own after those
that are there.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Self, TypeVar

from ta3n.common.errors import DataConflictError, FeatureStoreError, shorten
from ta3n.common.files import publish_file, replace_file, temporary_beside
from ta3n.common.log import LOGGER
from ta3n.common.records import (
    IMPORTED,
    MANIFEST_NAME,
    PLAN_NAME,
    AbsentClip,
    FeatureConfig,
    Plan,
    PlannedClip,
    ShardRecord,
    build_manifest,
    dump_record,
    join_plan,
    plan_part_path,
    read_plan_parts,
    read_record,
)
from ta3n.common.shares import JobShare
from ta3n.common.store import shard_path, sidecar_path
from ta3n.datasets.reading.base import Clip, Listing
from ta3n.datasets.reading.folders import in_words
from ta3n.datasets.reading.ratio import RatioSplit
from ta3n.extract.backbones import Backbone, get_backbone, weights_identity, with_window
from ta3n.extract.job.feature_folder import mend_sidecar
from ta3n.extract.job.settings import ExtractSettings

T = TypeVar("T")

_SHARD = "shard-"
_CLIPS_PER_SHARD = 64
_BYTES_PER_SHARD = 64 * 2**20


def feature_config(settings: ExtractSettings, dataset: str) -> tuple[Backbone, str, FeatureConfig]:
    """Return the backbone, its weights as they are to be loaded, and what makes the features.

    Raises:
        UsageError: If there is no such backbone, its library does not give the profile, or it does
            not take the window.
        WeightsError: If a file of weights, or the backbone's library, is not there.
    """
    backbone = with_window(
        get_backbone(settings.backbone, settings.weights),
        settings.window,
        settings.window_step,
        settings.window_pad,
    )
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
        source=backbone.source,
    )
    if (window := backbone.window) is not None:
        of_window = {"window": window.length, "window_step": window.step, "window_pad": window.pad}
        config = config.model_copy(update=of_window)
    return backbone, weights, config


def make_plan(
    listing: Listing, config: FeatureConfig, *, selection: str, limit: int | None
) -> Plan:
    """Lay clips, sorted by path, sections of one video side by side, out in shards.

    Args:
        selection: Which part of the dataset this is, in words.
        limit: Keep only so many clips, spread evenly over the listing.
    """
    clips = listing.clips
    if limit is not None and limit < len(clips):
        clips = tuple(spread_evenly(clips, limit))
        selection += f", limit {limit}"
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
        clips=tuple(_laid_out(clips)),
        absent=absent,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What a job's plan tells of a dataset. What else its folder holds is none of its business.

    Attributes:
        listed: The clips on disk that were looked for, those that a limit leaves out too; None
            for those of the plan.
        classes: The class folders that were looked for; None for all there are.
        ratio: The rule for the splits where that is a ratio.
        aliases: Other spelling of a class folder -> the one that clips not on disk have.
        num_parts: Parts that the folder's plan had before it was looked for clips: those of later
            parts may be newer than what was found. None for all.
    """

    listed: tuple[Clip, ...] | None = None
    classes: frozenset[str] | None = None
    ratio: RatioSplit | None = None
    aliases: Mapping[str, str] = field(default_factory=dict)
    num_parts: int | None = None

    @classmethod
    def of(
        cls, listing: Listing, classes: Iterable[str] | None, num_parts: int | None = None
    ) -> Self:
        """Return what a listing of these classes tells."""
        return cls(
            listed=listing.clips,
            classes=None if classes is None else frozenset(classes),
            ratio=listing.ratio,
            aliases=listing.aliases,
            num_parts=num_parts,
        )

    def files(self, plan: Plan) -> dict[str, Clip]:
        """Return the clips on disk by path, as they are now."""
        listed = map(_as_clip, plan.clips) if self.listed is None else self.listed
        return {clip.path: clip for clip in listed}

    def covers(self, class_name: str) -> bool:
        """Whether it tells what clips there are of a class."""
        return self.classes is None or in_words(class_name) in self.classes


def agree_on_plan(
    folder: Path,
    plan: Plan,
    *,
    scope: Scope | None = None,
    retry_failed: bool = False,
    new_splits: bool = False,
) -> Plan:
    """Make this the folder's plan, or add what is new to the one that is there; return that.

    Clips that are there keep their shards; the others get shards after them. Parts of a plan are
    published under numbered names, each taken once, and never change: of several jobs that add
    something at once, all come to the same plan.

    A file may only differ in size from the planned one where the features were made from it as it
    is now, or are to be made: because there are none yet, or because it failed before.

    Args:
        plan: What this job would do in an empty folder.
        scope: What that tells of the dataset; None stands for all of it.
        retry_failed: Whether clips that failed are to be done again.
        new_splits: Whether other splits of the same clips take the place of those there.

    Raises:
        DataConflictError: If the folder was made with other settings, or clips are gone or changed.
        OSError: If the folder cannot be written.
    """
    scope = scope or Scope()
    _publish(folder, 0, plan)
    while True:
        parts = read_plan_parts(folder)
        there = join_plan(parts)
        if there.config != plan.config and is_untouched(folder):
            # Of a call that failed before its first shard. Should that one still run, its shards
            # are told from ours by the hash of their settings.
            LOGGER.info("%s: nothing was made with other settings yet; these hold now", folder)
            for number in range(len(parts) - 1, 0, -1):
                plan_part_path(folder, number).unlink(missing_ok=True)
            replace_file(folder / PLAN_NAME, dump_record(plan))
            continue
        agreed = grown_plan(
            folder, parts, plan, scope, retry_failed=retry_failed, new_splits=new_splits
        )
        if agreed == there:
            _tell_kept_splits(folder, there, plan)
            if len(parts) > 1 and (folder / MANIFEST_NAME).exists():
                # What is to come must be in the manifest before it is made, also where the job
                # that added it was killed here. A damaged shard is told later.
                with suppress(FeatureStoreError):
                    build_manifest(folder)
            return there
        if _publish(folder, len(parts), _part(there, agreed)):
            _tell_growth(folder, there, agreed)


def grown_plan(
    folder: Path,
    parts: Sequence[Plan],
    now: Plan,
    scope: Scope,
    *,
    retry_failed: bool = False,
    new_splits: bool = False,
) -> Plan:
    """Return the plan whose parts are there with what is new now; nothing is written.

    Raises:
        DataConflictError: If that does not fit, see `agree_on_plan`.
    """
    there, files = join_plan(parts), scope.files(now)
    _refuse_others(folder, parts, now, scope, retry_failed=retry_failed)
    keeps = scope.ratio is not None and _is_same_rule(there, scope.ratio) and not new_splits
    splits = {path: clip.splits for path, clip in files.items()}
    if keeps and scope.ratio is not None:
        splits |= scope.ratio.splits({c.path: c.splits for c in there.clips})
    moved = sorted(c.path for c in there.clips if splits.get(c.path, c.splits) != c.splits)
    if moved and not new_splits:
        raise DataConflictError(
            f"{folder} was made with other splits: {len(moved)} clips are in another split "
            f"({shorten(moved, 3)}). Features do not depend on them: --new-splits takes these for "
            "all that is there"
        )
    others = [clip.path for clip in there.clips if clip.path not in files]
    if moved and others:
        raise DataConflictError(
            f"--new-splits is for all clips that {folder} holds, and {len(others)} of them are not "
            f"asked for ({shorten(others, 3)}); ask for their classes too"
        )
    clips = [c.model_copy(update={"splits": splits.get(c.path, c.splits)}) for c in there.clips]
    added = _added(there, now, files)
    clips += _laid_out([replace(c, splits=splits[c.path]) for c in added], after=there.clips)
    update: dict[str, object] = {"clips": tuple(clips), "absent": _absent(there, now, scope)}
    if added:
        update["selection"] = _both(there.selection, now.selection, whole=not others)
    if moved or (added and not keeps):
        whole = bool(moved) or not others
        update["splits_origin"] = _both(there.splits_origin, now.splits_origin, whole=whole)
    return there.model_copy(update=update)


def shards_asked_for(agreed: Plan, plan: Plan, scope: Scope) -> frozenset[str]:
    """Return the shards that hold what a job asks for; a folder may hold more than that."""
    files = scope.files(plan)
    clips = [clip for clip in agreed.clips if clip.path in files]
    # With a limit any so many clips will do, so the first: they are done already, if any are.
    asked = clips if len(files) == len(plan.clips) else clips[: len(plan.clips)]
    return frozenset(clip.shard for clip in asked)


def num_plan_parts(folder: Path) -> int:
    """Return in how many parts the plan of a folder is, 0 if there is none."""
    return next(n for n in count() if not plan_part_path(folder, n).exists())


def is_untouched(folder: Path) -> bool:
    """Whether no shard was made in a folder yet."""
    return not any(folder.glob("shard-*"))


def expected_plan(
    plan: Plan,
    folder: Path,
    *,
    scope: Scope | None = None,
    retry_failed: bool = False,
    new_splits: bool = False,
) -> Plan:
    """Return the plan on which `agree_on_plan` would agree; nothing is written.

    Raises:
        DataConflictError: If it would refuse.
    """
    parts = read_plan_parts(folder) if (folder / PLAN_NAME).exists() else []
    if not parts or (parts[0].config != plan.config and is_untouched(folder)):
        return plan
    return grown_plan(
        folder, parts, plan, scope or Scope(), retry_failed=retry_failed, new_splits=new_splits
    )


def describe_plan(
    plan: Plan,
    root: Path,
    share: JobShare,
    folder: Path,
    *,
    scope: Scope | None = None,
    retry_failed: bool = False,
    new_splits: bool = False,
) -> str:
    """Say what a job would do with its share of a plan, a fact a line; see `agree_on_plan`."""
    scope, agreed = scope or Scope(), plan
    in_folder: list[str] = []
    try:
        agreed = expected_plan(
            plan, folder, scope=scope, retry_failed=retry_failed, new_splits=new_splits
        )
        if agreed is not plan:
            there = join_plan(read_plan_parts(folder))
            num_new = len(agreed.clips) - len(there.clips)
            in_folder = [f"the folder is for {len(there.clips)} clips; {num_new} are added"]
    except DataConflictError as error:
        in_folder = [f"it would be refused: {error}"]
    asked = shards_asked_for(agreed, plan, scope)
    config, mine = plan.config, [shard for shard in share.of(agreed.shards) if shard in asked]
    per_class = Counter(clip.class_name for clip in plan.clips if clip.class_name)
    of_classes = f" of {len(per_class)} classes" if per_class else ""
    megabytes = sum({clip.file: clip.size_bytes for clip in plan.clips}.values()) / 1e6
    windows = f", windows of {config.clip_window}" if config.clip_window else ""
    lines = [
        f"{config.dataset}: {len(plan.clips)} clips ({megabytes:.1f} MB){of_classes} in {root}",
        f"selection: {plan.selection}; splits: {plan.splits_origin}; "
        f"{len(plan.absent)} listed clips are not on disk",
        f"features: {config.backbone}, weights {config.weights}, profile {config.profile}, frames "
        f"{config.frames}{windows}, {config.feature_dim} values a frame",
        f"this job: {len(mine)} of {len(agreed.shards)} shards, to {folder}",
        *in_folder,
        *(f"{count:7d} {name}" for name, count in sorted(per_class.items())),
    ]
    return "\n".join(lines)


def _publish(folder: Path, number: int, part: Plan) -> bool:
    """Write a part of a plan unless there is one of this number; return whether it was written."""
    path = plan_part_path(folder, number)
    if path.exists():
        return False
    with temporary_beside(path) as temporary:
        temporary.write_bytes(dump_record(part))
        return publish_file(temporary, path)


def _part(there: Plan, agreed: Plan) -> Plan:
    """Return what is to be added to a plan so that it becomes another one."""
    known = {clip.path: clip for clip in there.clips}
    clips = tuple(clip for clip in agreed.clips if known.get(clip.path) != clip)
    return agreed.model_copy(update={"clips": clips})


def _laid_out(clips: Sequence[Clip], after: Sequence[PlannedClip] = ()) -> list[PlannedClip]:
    """Number clips and give them shards, behind those that have some already."""
    first_id = 1 + max((clip.id for clip in after), default=-1)
    first_shard = 1 + max((int(c.shard.removeprefix(_SHARD)) for c in after), default=-1)
    return [
        PlannedClip(
            id=first_id + number, shard=f"{_SHARD}{first_shard + shard:05d}", **asdict(clip)
        )
        for number, (clip, shard) in enumerate(zip(clips, _shard_numbers(clips), strict=True))
    ]


def _shard_numbers(clips: Sequence[Clip]) -> Iterator[int]:
    shard, num_clips, num_bytes, video = 0, 0, 0, ""
    for clip in clips:
        # All sections of a video are in one shard, so that it is decoded once.
        if clip.file != video:
            if num_clips >= _CLIPS_PER_SHARD or (num_clips and num_bytes >= _BYTES_PER_SHARD):
                shard, num_clips, num_bytes = shard + 1, 0, 0
            num_bytes += clip.size_bytes
        num_clips += 1
        video = clip.file
        yield shard


def spread_evenly(clips: Sequence[T], limit: int) -> list[T]:
    """Return so many clips, spread evenly, or all if there are no more."""
    num_chosen = min(limit, len(clips))
    return [clips[i * len(clips) // num_chosen] for i in range(num_chosen)]


def _added(there: Plan, now: Plan, files: Mapping[str, Clip]) -> list[Clip]:
    """Return the clips that are new, as many of them as a limit allows beside those there."""
    known = {clip.path for clip in there.clips}
    new = [c for c in sorted(files.values(), key=lambda c: c.order) if c.path not in known]
    if len(files) == len(now.clips):
        return new
    return spread_evenly(new, max(0, len(now.clips) - (len(files) - len(new))))


def _refuse_others(
    folder: Path, parts: Sequence[Plan], now: Plan, scope: Scope, *, retry_failed: bool
) -> None:
    """Refuse a plan with other settings, or without clips that are there, or of other files."""
    there = join_plan(parts)
    old, new = _settings_of(there), _settings_of(now)
    told = [
        f"{key} is {_said(old.get(key))} there, {_said(new.get(key))} now"
        for key in old | new
        if old.get(key) != new.get(key)
    ]
    if not told:
        files = scope.files(now)
        known = join_plan(parts[: scope.num_parts]).clips if scope.num_parts != 0 else ()
        gone = [c.path for c in known if c.path not in files and scope.covers(c.class_name)]
        changed = _changed_files(folder, there, files, retry_failed=retry_failed)
        moved = [
            c.path
            for c in there.clips
            if c.path in files
            and (files[c.path].video, files[c.path].section) != (c.video, c.section)
        ]
        relabelled = [
            c.path
            for c in there.clips
            if c.path in files and files[c.path].class_name != in_words(c.class_name)
        ]
        kinds = {
            "clips are gone": gone,
            "clips changed size": changed,
            "clips are of another class": relabelled,
            "clips are other sections": moved,
        }
        told = [f"{len(p)} {kind} ({shorten(sorted(p), 3)})" for kind, p in kinds.items() if p]
    if told:
        retry = ", or give --retry-failed if files of failed clips were replaced"
        way_out = (
            "It holds no features yet: remove the folder, or use another --out"
            if is_untouched(folder)
            else "Use another --out, or remove the folder to start afresh"
            f"{'' if now.config.profile == IMPORTED else retry}"
        )
        raise DataConflictError(
            f"{folder} was made with another setting: {'; '.join(told)}. {way_out}"
        )


def _said(value: object) -> object:
    # The first frame's number may be 0.
    return "none" if value is None or value == "" else value


def _settings_of(plan: Plan) -> dict[str, object]:
    """Return what a plan's features are made with, by name."""
    found = plan.config.model_dump(exclude={"reading"})
    return found | {f"reading.{key}": v for key, v in asdict(plan.config.reading).items()}


def _changed_files(
    folder: Path, there: Plan, files: Mapping[str, Clip], *, retry_failed: bool
) -> list[str]:
    """Return the clips of other sizes now, without those that were, or are to be, made so."""
    changed = {
        clip.path: clip.shard
        for clip in there.clips
        if clip.path in files and files[clip.path].size_bytes != clip.size_bytes
    }
    for shard in set(changed.values()):
        if not any(path(folder, shard).exists() for path in (shard_path, sidecar_path)):
            # Planned while they were still being copied; no features are of what they were.
            changed = {path: of for path, of in changed.items() if of != shard}
        elif mend_sidecar(folder, shard):
            for record in read_record(ShardRecord, sidecar_path(folder, shard)).clips:
                is_same = record.path in changed and (
                    record.size_bytes == files[record.path].size_bytes
                )
                if is_same or (retry_failed and record.status != "ok"):
                    changed.pop(record.path, None)
    return sorted(changed)


def _is_same_rule(there: Plan, ratio: RatioSplit) -> bool:
    return there.splits_origin in {ratio.origin, ratio.former_origin}


def _absent(there: Plan, now: Plan, scope: Scope) -> tuple[AbsentClip, ...]:
    """Return the clips that are not on disk, those there where a plan tells nothing of them."""
    known = {clip.path: clip for clip in there.absent}
    names = None if scope.classes is None else {scope.aliases.get(c, c) for c in scope.classes}
    kept = {
        p: clip for p, clip in known.items() if names is not None and clip.class_name not in names
    }
    # Those that another job found since this one looked are there.
    files = scope.files(now)
    newer = {
        (scope.aliases.get(c.class_name, c.class_name), _as_clip(c).stem)
        for c in there.clips
        if c.path not in files
    }
    found = kept | {
        clip.path: clip
        for clip in now.absent
        if (clip.class_name, PurePosixPath(clip.path).name) not in newer
    }
    return there.absent if found == known else tuple(found[path] for path in sorted(found))


def _both(there: str, now: str, *, whole: bool) -> str:
    """Return words for what is there and now; `whole` says that the latter is all of it."""
    return now if whole else "; ".join(dict.fromkeys([*there.split("; "), now]))


def _tell_growth(folder: Path, there: Plan, agreed: Plan) -> None:
    num_clips = len(agreed.clips) - len(there.clips)
    num_shards = len(agreed.shards) - len(there.shards)
    if num_clips:
        LOGGER.info(
            "%s grows by %d clips in %d shards; what is there stays", folder, num_clips, num_shards
        )
    before = {clip.path: clip.splits for clip in there.clips}
    moved = [c.path for c in agreed.clips if before.get(c.path, c.splits) != c.splits]
    if moved:
        LOGGER.info(
            "%s: %d clips are in another split (%s); the features stay",
            folder,
            len(moved),
            shorten(moved, 3),
        )


def _tell_kept_splits(folder: Path, there: Plan, plan: Plan) -> None:
    """Say which clips a ratio would place otherwise today, without what is recorded."""
    now = {clip.path: clip.splits for clip in plan.clips}
    kept = [clip.path for clip in there.clips if now.get(clip.path, clip.splits) != clip.splits]
    if kept:
        LOGGER.info(
            "%s: %d clips keep the part of the split that they have there, though their names "
            "fall on the other side today (%s); --new-splits moves them",
            folder,
            len(kept),
            shorten(kept, 3),
        )


def _as_clip(clip: PlannedClip) -> Clip:
    return Clip(**{each.name: getattr(clip, each.name) for each in fields(Clip)})
