"""The records that a feature folder keeps: plan, shards, manifest. The last links the two stages.

A dataset's folder holds `plan.json` (what is to be extracted, fixed by the first job), a
`plan-NNNN.json` for each time that it grew, `shard-NNNNN.h5` with a sidecar `shard-NNNNN.json`
each, and `manifest.json`, rebuilt from the plan and the sidecars whenever a job ends.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from ta3n.common.errors import DataMissingError, FeatureStoreError
from ta3n.common.files import canonical_json, replace_file, sha256_of
from ta3n.common.sampling import AS_IT_IS, Reading, Section, Timing, Window, WindowPad

MANIFEST_NAME = "manifest.json"
PLAN_NAME = "plan.json"
SCHEMA_VERSION = 1

ClipStatus = Literal["ok", "partial", "empty", "failed", "crashed", "timeout"]
"""ok; partial: damaged, fewer frames than there were; empty: no frame; the rest: no features."""

IMPORTED = "imported"
"""Profile of features whose pixels nobody here has seen."""

PYTHON_PREFIX = "python:"
"""Begins the names of backbones that are code of the user's own."""

USABLE: tuple[ClipStatus, ...] = ("ok", "partial")


def _inside(path: str) -> str:
    """Refuse a path that could lead out of the folder that it is relative to."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\0" in path:
        raise ValueError(f"path {path!r} leaves its folder")
    return path


def _shard_name(name: str) -> str:
    if not re.fullmatch(r"shard-[0-9]{5,9}", name):
        raise ValueError(f"shard name {name!r} is not shard-NNNNN")
    return name


# Records may come from anyone: what they name is only ever looked for inside its own folder.
RelativePath = Annotated[str, AfterValidator(_inside)]
ShardName = Annotated[str, AfterValidator(_shard_name)]


class Record(BaseModel):
    """What all records have in common: values that do not change, and no others."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    # Fields that came later: left out where nothing is set, so that what was written before, and
    # its hash, stay as they are.
    later_fields: ClassVar[tuple[str, ...]] = ()
    # What brings back a file of it that is damaged, for the end of a message.
    remedy: ClassVar[str] = ""

    @model_serializer(mode="wrap")
    def _without_unset(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = dump(self)
        for name in self.later_fields:
            if getattr(self, name) == type(self).model_fields[name].default:
                values.pop(name, None)
        return values


class FeatureConfig(Record):
    """All that decides the numbers in a feature file; equal configurations, equal features.

    Attributes:
        weights: Identity of the weights, such as `imagenet1k_v1:resnet101-63fe2227.pth`.
        profile: How pixels become the network's input.
        image_size: Side of the square crop in pixels.
        frames: `all`, `segments:K`, `every:N` or `fps:F`.
        feature_dim: D, the width of a feature vector.
        transform: The transform that a library gives with its weights, in words; empty for the
            paper's, which the profile names. Of imported features of several streams, what their
            columns are.
        reading: What was told of the clips that neither they nor their names tell. It is about
            one dataset's files, not about what becomes of a frame.
        source: SHA-256 of the code of a backbone that is the user's own; empty for others.
        window: Frames around a kept one that its row is of; 0 where it is of that frame alone.
        window_step: Only every so many frames of the clip are among them.
        window_pad: What stands for frames beyond the clip.
    """

    later_fields = ("reading", "source", "window", "window_step", "window_pad")

    dataset: str
    backbone: str
    weights: str
    profile: str
    image_size: int
    frames: str
    feature_dim: int
    timing: Timing = "frames"
    transform: str = ""
    reading: Reading = AS_IT_IS
    source: str = ""
    window: int = 0
    window_step: int = 1
    window_pad: WindowPad = "repeat"

    @property
    def hash(self) -> str:
        """SHA-256 of the configuration."""
        return sha256_of(canonical_json(self.as_hashed()))

    @property
    def clip_window(self) -> Window | None:
        """The frames that a row is of; None where it is of one alone."""
        if not self.window:
            return None
        return Window(self.window, self.window_step, self.window_pad)

    def as_hashed(self) -> dict[str, Any]:
        """Return all values but an empty transform: hashes are those of before there were any."""
        return self.model_dump(exclude=set() if self.transform else {"transform"})


class PlannedClip(Record):
    """A clip on disk that is to be extracted.

    Attributes:
        id: Position in the plan.
        path: Path relative to the dataset's folder; the key.
        splits: `train` or `test` by official split number; a split that does not use it is absent.
        mtime_ns: Time of its last change, nanoseconds since 1970.
        video: Path of the video that it is a section of; None where it is one itself. Then the
            path is a name that no other clip has.
        section: Which part of that; None for all of it.
    """

    later_fields = ("video", "section")

    id: int
    path: RelativePath
    class_name: str
    splits: dict[str, Literal["train", "test"]]
    size_bytes: int
    mtime_ns: int
    shard: ShardName
    video: RelativePath | None = None
    section: Section | None = None

    @property
    def file(self) -> str:
        """Path of the file or folder that it is read from."""
        return self.video or self.path


class AbsentClip(Record):
    """A clip that the official splits name but that is not on disk."""

    path: RelativePath
    class_name: str
    splits: dict[str, Literal["train", "test"]]


class ClipRecord(PlannedClip):
    """What became of a clip.

    Attributes:
        status: How decoding ended; `ok` and `partial` clips have features.
        error: The reason where the status is not `ok`.
        warning: What to know about features that are there, such as HDR colours.
        num_frames: Frames that decoding gave, or those of a constant rate (`cfr`).
        declared_frames: Frames that the container declares, or a list of a section, or None.
        codec: Decoder name, empty if the file could not be opened.
        width: Coded width in pixels; `height` likewise.
        rotation: Degrees by which frames were turned upright.
        frame_rate: Frames per second, or None.
        start: First row in the shard.
        length: Rows in the shard: frames that were kept.
        crc32: CRC-32 of those rows' bytes (little-endian float32).
    """

    status: ClipStatus
    error: str = ""
    warning: str = ""
    attempts: int = 1
    num_frames: int = 0
    declared_frames: int | None = None
    codec: str = ""
    pixel_format: str = ""
    width: int = 0
    height: int = 0
    rotation: int = 0
    frame_rate: float | None = None
    start: int = 0
    length: int = 0
    crc32: int = 0


class ShardRecord(Record):
    """A finished shard: its sidecar, also kept inside the shard.

    Attributes:
        num_rows: F, rows in the shard.
        provenance: Versions, device and weights checksum behind these rows.
        clips: In plan order.
    """

    remedy = "; ta3n-extract --repair, with the line that made it, writes it anew"

    schema_version: int = SCHEMA_VERSION
    config_hash: str
    shard: ShardName
    num_rows: int
    provenance: dict[str, str]
    clips: tuple[ClipRecord, ...]


class Plan(Record):
    """What a feature folder is to hold; the first job writes it, later ones agree or add to it.

    Attributes:
        selection: Which part of the dataset, in words.
        splits_origin: Where the splits come from, in words.
        clips: Clips to extract, by number: sorted by path, those that were added later after them.
        absent: Clips that the splits name but that are not on disk.
    """

    remedy = "; bring it back from a copy, or move the folder away and make the features again"

    schema_version: int = SCHEMA_VERSION
    config: FeatureConfig
    selection: str
    splits_origin: str
    clips: tuple[PlannedClip, ...]
    absent: tuple[AbsentClip, ...] = ()

    @property
    def shards(self) -> list[str]:
        """Names of all shards, in order."""
        return list(dict.fromkeys(clip.shard for clip in self.clips))


class Manifest(Record):
    """The state of a feature folder; what a plan has too is as there.

    Attributes:
        pending: Clips whose shard is not finished.
        provenance: The distinct provenances of the finished shards.
        clips: Clips of the finished shards, sorted by path.
    """

    remedy = "; ta3n-features merge writes it anew"

    schema_version: int = SCHEMA_VERSION
    config: FeatureConfig
    config_hash: str
    selection: str
    splits_origin: str
    num_shards: int
    pending: tuple[PlannedClip, ...] = ()
    provenance: tuple[dict[str, str], ...] = ()
    clips: tuple[ClipRecord, ...] = ()
    absent: tuple[AbsentClip, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every planned shard is finished."""
        return not self.pending

    @property
    def content_hash(self) -> str:
        """SHA-256 of what training depends on: configuration and every clip's rows."""
        clips = [(c.path, c.class_name, c.splits, c.status, c.length, c.crc32) for c in self.clips]
        return sha256_of(canonical_json([self.config_hash, clips]))

    def status_counts(self) -> dict[ClipStatus, int]:
        """Return how many clips ended in each status that occurs."""
        return Counter(clip.status for clip in self.clips)


_R = TypeVar("_R", bound=Record)
_Clip = TypeVar("_Clip", bound=PlannedClip)


def dump_record(record: Record) -> bytes:
    """Return a record as ASCII JSON, so that any file name survives, with a line for each clip."""
    fields = []
    for key, value in record.model_dump(mode="python").items():
        if isinstance(value, tuple) and value:
            rows = ",\n  ".join(json.dumps(row) for row in value)
            fields.append(f' "{key}": [\n  {rows}\n ]')
        else:
            fields.append(f' "{key}": {json.dumps(value)}')
    return ("{\n" + ",\n".join(fields) + "\n}\n").encode("ascii")


def parse_record(kind: type[_R], data: bytes, origin: Path) -> _R:
    """Read a record back.

    Raises:
        FeatureStoreError: If it is no such record, or of another schema version.
    """
    try:
        raw: Mapping[str, Any] = json.loads(data)
        version = raw.get("schema_version", SCHEMA_VERSION)
        if version != SCHEMA_VERSION:
            raise FeatureStoreError(
                f"{origin} has schema version {version}, this program reads {SCHEMA_VERSION}; "
                "extract again or use the version that wrote it"
            )
        return kind.model_validate(raw)
    except (ValueError, AttributeError, RecursionError, ValidationError) as error:
        reason = str(error).replace("\n", " ")[:200]
        raise FeatureStoreError(f"{origin} is damaged: {reason}{kind.remedy}") from error


def read_record(kind: type[_R], path: Path) -> _R:
    """Read a record from a file.

    Raises:
        DataMissingError: If there is no such file.
        FeatureStoreError: If it is damaged.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise DataMissingError(f"no {path.name} in {path.parent}") from error
    return parse_record(kind, data, path)


def read_plan_parts(folder: Path) -> list[Plan]:
    """Read the plan of a feature folder: `plan.json`, then what was added to it each time.

    A part has the clips that are new, or in another split than before; the rest of it is as it is
    from then on.

    Raises:
        DataMissingError: If there is no plan.
        FeatureStoreError: If a part is damaged, or not of the others' settings.
    """
    parts = [read_record(Plan, folder / PLAN_NAME)]
    # Asked for by name: a list of the folder may be older on a network file system.
    with suppress(DataMissingError):
        while True:
            path = plan_part_path(folder, len(parts))
            part = read_record(Plan, path)
            if part.config != parts[0].config:
                raise FeatureStoreError(f"{path} was made with other settings than {PLAN_NAME}")
            parts.append(part)
    return parts


def join_plan(parts: Sequence[Plan]) -> Plan:
    """Return the plan that the parts of a folder's plan come to."""
    clips = {clip.path: clip for part in parts for clip in part.clips}
    return parts[-1].model_copy(update={"clips": tuple(clips.values())})


def read_plan(folder: Path) -> Plan:
    """Read the plan of a feature folder with all that was added; it raises as its parts do."""
    return join_plan(read_plan_parts(folder))


def plan_part_path(folder: Path, number: int) -> Path:
    """Return where a part of the plan lies; part 0 is the first job's."""
    name = Path(PLAN_NAME)
    return folder / (f"{name.stem}-{number:04d}{name.suffix}" if number else name)


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
    sidecars, and parts of the plan, that were written meanwhile. A manifest that is right already
    is left alone, so that a finished folder may be read-only.

    Raises:
        DataMissingError: If there is no plan.
        FeatureStoreError: If a sidecar belongs to another configuration.
        OSError: If the folder cannot be written.
    """
    parts = read_plan_parts(folder)
    path = folder / MANIFEST_NAME
    done = _finished_shards(folder, join_plan(parts))
    while True:
        manifest = _collect(folder, join_plan(parts), done)
        data = dump_record(manifest)
        there = None
        with suppress(FileNotFoundError):
            there = path.read_bytes()
        if there != data:
            replace_file(path, data)
        parts_now = read_plan_parts(folder)
        done_now = _finished_shards(folder, join_plan(parts_now))
        if (parts_now, done_now) == (parts, done):
            return manifest
        parts, done = parts_now, done_now


def collect_manifest(folder: Path) -> Manifest:
    """Return the manifest as plan and sidecars have it, without writing anything.

    Raises:
        DataMissingError: If there is no plan.
        FeatureStoreError: If a record is damaged or belongs to another configuration.
    """
    plan = read_plan(folder)
    return _collect(folder, plan, _finished_shards(folder, plan))


def _collect(folder: Path, plan: Plan, shards: Iterable[str]) -> Manifest:
    planned: dict[str, list[tuple[int, str]]] = {}
    for clip in plan.clips:
        planned.setdefault(clip.shard, []).append((clip.id, clip.path))
    config_hash = plan.config.hash
    finished = []
    for shard in shards:
        path = folder / f"{shard}.json"
        try:
            record = read_record(ShardRecord, path)
        except DataMissingError:
            # Another job makes this shard again; whoever ends last lists it.
            continue
        clips_of = [(clip.id, clip.path) for clip in record.clips]
        if (record.config_hash, record.shard, clips_of) != (config_hash, shard, planned[shard]):
            raise FeatureStoreError(
                f"{path} was made with other settings, or for other clips, than {PLAN_NAME} beside "
                "it says; run ta3n-extract --repair to make this shard again"
            )
        finished.append(record)
    done = {record.shard for record in finished}
    made = (clip for record in finished for clip in record.clips)
    clips = sorted(with_splits_of(made, plan.clips), key=lambda clip: clip.path)
    provenance = {canonical_json(record.provenance): record.provenance for record in finished}
    return Manifest(
        config=plan.config,
        config_hash=config_hash,
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
