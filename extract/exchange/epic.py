"""The published features of the EPIC-KITCHENS-100 challenge, as two feature folders.

A pickle for each part of the challenge holds `features`, an array of segments x 25 rows x values
for each modality, and `narration_ids`, the segment of each row of the arrays. What nobody published
(form and order of the modalities, order of the ids) is never relied on: modalities and ids are
taken by name. Nothing but a shard's segments is in memory at a time.

Legend: N segments, R rows of a segment, D feature width.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ta3n.common.errors import (
    DataConflictError,
    DataMissingError,
    UsageError,
    did_you_mean,
    printable,
    shorten,
)
from ta3n.common.files import expand_home
from ta3n.common.log import LOGGER
from ta3n.common.records import (
    IMPORTED,
    FeatureConfig,
    Manifest,
    PlannedClip,
    ShardRecord,
    read_record,
)
from ta3n.common.sampling import FrameSelection
from ta3n.common.store import Features, sidecar_path
from ta3n.datasets.epic.annotations import Annotations, SegmentTable, read_annotations
from ta3n.datasets.epic.challenge import (
    EPIC_SPLITS,
    MODALITIES,
    PUBLISHED,
    ROWS_PER_SEGMENT,
    EpicSplit,
    Modality,
)
from ta3n.datasets.reading.base import Clip, Listing
from ta3n.datasets.reading.folders import quoted
from ta3n.extract.backbones import IMAGE_SIZE
from ta3n.extract.exchange.importing import ReadClip, imported_weights, plan_import, write_import
from ta3n.extract.exchange.pickles import PickledArray, open_pickle

BACKBONE, WEIGHTS = "tbn", "epic-kitchens-55"
"""What made the published features: a TBN, trained on the challenge of 2018."""

_NEED_NOT_BE_THERE: tuple[EpicSplit, ...] = ("source_test",)
_KINDS = {dict: "dict", list: "list", tuple: "list", PickledArray: "array", str: "text"}


@dataclass(frozen=True, slots=True, kw_only=True)
class EpicImport:
    """What one call imports.

    Attributes:
        source: Folder with the pickles.
        annotations: Folder with the annotation files.
        out: Folder for the two feature folders.
        modalities: Those whose values are taken, always in the order of `MODALITIES`.
        frames: Rows that are kept: those that `segments:K` use, or `all`.
        backbone: Network that made them.
        weights: Its weights, in words.
        new_splits: Take other parts of the same segments for those that are there.
    """

    source: Path
    annotations: Path
    out: Path
    modalities: tuple[Modality, ...] = MODALITIES
    frames: str = "segments:5"
    backbone: str = BACKBONE
    weights: str = WEIGHTS
    new_splits: bool = False


def parse_modalities(text: str) -> tuple[Modality, ...]:
    """Return the modalities that are named, in the order in which they become columns.

    Raises:
        UsageError: One is not known.
    """
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in MODALITIES:
            raise UsageError(
                f"modality '{printable(name)}' is not known{did_you_mean(name, MODALITIES)}; "
                f"use some of {','.join(MODALITIES)}"
            )
    return tuple(modality for modality in MODALITIES if modality in names)


@dataclass(slots=True)
class _Part:
    """A part of the challenge: its pickle, open, and its annotations.

    Attributes:
        mtime_ns: Time of the pickle's last change, nanoseconds since 1970.
        streams: Of each modality an array [N, 25, D].
        places: Segment -> its number in the arrays.
        bad_rows: Places of values that are not finite in rows that are not kept.
    """

    split: EpicSplit
    path: Path
    mtime_ns: int
    table: SegmentTable
    streams: dict[Modality, PickledArray]
    places: dict[str, int]
    bad_rows: list[str] = field(default_factory=list)

    @property
    def widths(self) -> dict[str, int]:
        """D of each modality."""
        return {modality: array.shape[2] for modality, array in self.streams.items()}

    @property
    def bytes_per_segment(self) -> int:
        """Bytes that a segment takes in the pickle."""
        sizes = (a.shape[1] * a.shape[2] * a.dtype.itemsize for a in self.streams.values())
        return sum(sizes)

    def rows(self, segment: str, kept: Sequence[int]) -> Features:
        """Return the kept rows of a segment [R, D], all modalities one after another.

        Raises:
            DataConflictError: A kept row is not finite.
        """
        place = self.places[segment]
        columns = []
        for modality, array in self.streams.items():
            with np.errstate(over="ignore"):  # told below
                values = array[place : place + 1][0].astype(np.float32)
            bad = np.flatnonzero(~np.isfinite(values).all(axis=1)).tolist()
            for row in bad:
                where = f"row {row} of {modality} of {segment}"
                if row in kept:
                    raise DataConflictError(
                        f"{quoted(self.path)}: {where} is not finite; fetch the file again"
                    )
                self.bad_rows.append(where)
            columns.append(values[kept])
        return np.concatenate(columns, axis=1)


def import_epic(job: EpicImport) -> Iterator[tuple[Path, Manifest]]:
    """Write the two feature folders; yield each as it is done, with its manifest.

    What is finished is not read again. All pickles are checked before anything is written, but for
    their values, which are checked as they are read.

    Raises:
        DataMissingError: Pickles, annotations, segments or a modality are not there.
        DataConflictError: A pickle is no such file or does not fit the annotations or the others,
            values are not finite, or a folder was made otherwise or of other pickles.
        OSError: A folder cannot be read or written.
    """
    began_s = time.monotonic()
    source, annotations = expand_home(job.source), read_annotations(job.annotations)
    with ExitStack() as opened:
        parts = [
            _open_part(opened, path, annotations.table(split), job)
            for split, path in _pickles(source, annotations).items()
        ]
        _check_widths(parts)
        for dataset in dict.fromkeys(PUBLISHED[part.split].dataset for part in parts):
            mine = [part for part in parts if PUBLISHED[part.split].dataset == dataset]
            folder = job.out / dataset
            yield folder, _import_dataset(job, dataset, mine, folder)
        num_segments = sum(len(part.table.segments) for part in parts)
        LOGGER.info("%d segments in %.0f s", num_segments, time.monotonic() - began_s)


def _pickles(source: Path, annotations: Annotations) -> dict[EpicSplit, Path]:
    """Return the pickle of each part that is to be imported, not all of which need be there."""
    if not source.is_dir():
        raise DataMissingError(f"no folder {quoted(source)}")
    paths = {split: source / f"{split}.pkl" for split in EPIC_SPLITS}
    for split in _NEED_NOT_BE_THERE:
        if not paths[split].exists():
            del paths[split]
    if missing := [path.name for path in paths.values() if not path.is_file()]:
        raise DataMissingError(
            f"{shorten(missing)} not in {quoted(source)}, which has to hold "
            f"{', '.join(path.name for path in paths.values())}"
        )
    for split in paths:
        annotations.table(split)  # its absence is told before any large file is looked at
    return paths


def _open_part(opened: ExitStack, path: Path, table: SegmentTable, job: EpicImport) -> _Part:
    content = opened.enter_context(open_pickle(path))
    arrays = _arrays(path, content, job.modalities)
    places = _places(path, content["narration_ids"], arrays, table)
    return _Part(table.split, path, path.stat().st_mtime_ns, table, arrays, places)


def _arrays(
    path: Path, content: Any, modalities: Sequence[Modality]
) -> dict[Modality, PickledArray]:
    """Return the array of each modality [N, 25, D]."""
    _check_keys(path, content)
    features = content["features"]
    there = [str(name) for name in features]
    arrays = {modality: features.get(modality) for modality in modalities}
    if missing := [modality for modality, array in arrays.items() if array is None]:
        raise DataConflictError(
            f"{quoted(path)} has no {', '.join(missing)}, but {printable(shorten(there)) or 'none'}"
            "; --modalities chooses among what is there"
        )
    for modality, array in arrays.items():
        if wrong := _wrong(array):
            raise DataConflictError(f"{quoted(path)}: {modality} {wrong}")
    if lengths := {m: a.shape[0] for m, a in arrays.items() if a.shape[0] != _first(arrays)}:
        told = ", ".join(f"{n} of {m}" for m, n in lengths.items())
        raise DataConflictError(
            f"{quoted(path)} has {_first(arrays)} segments of {modalities[0]}, but {told}"
        )
    in_file = tuple(name for name in there if name in MODALITIES)
    if in_file != tuple(name for name in MODALITIES if name in in_file):
        LOGGER.info(
            "%s holds %s in this order; columns are in that of %s",
            path,
            ", ".join(in_file),
            ", ".join(modalities),
        )
    return arrays


def _first(arrays: Mapping[Modality, PickledArray]) -> int:
    return next(iter(arrays.values())).shape[0]


def _check_keys(path: Path, content: Any) -> None:
    if not isinstance(content, dict):
        raise DataConflictError(
            f"{quoted(path)} holds {_kind_of(content)}, not a dict of features and narration_ids"
        )
    for key in ("features", "narration_ids"):
        if key not in content:
            keys = printable(shorten(map(str, content))) or "no key"
            raise DataConflictError(f"{quoted(path)} has no key {key} (it has {keys})")
    if not isinstance(content["features"], dict):
        raise DataConflictError(
            f"{quoted(path)}: features are {_kind_of(content['features'])}, not a dict of an array "
            "for each modality"
        )


def _kind_of(value: Any) -> str:
    kind = _KINDS.get(type(value), type(value).__name__)
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"


def _wrong(array: Any) -> str:
    """Return what is wrong with the array of a modality, in words."""
    if not isinstance(array, PickledArray):
        return f"is {_kind_of(array)}, not an array"
    if array.items is not None:
        return f"has objects for values (dtype object, shape {list(array.shape)}), not floats"
    if array.dtype.kind != "f":
        return f"has values of {array.dtype}, not floats"
    shape = array.shape
    if len(shape) != 3 or shape[1] != ROWS_PER_SEGMENT or shape[2] == 0:
        return f"has shape {list(shape)}, not segments x {ROWS_PER_SEGMENT} rows x values"
    return "" if shape[0] else "holds no segment"


def _places(
    path: Path, names: Any, arrays: Mapping[Modality, PickledArray], table: SegmentTable
) -> dict[str, int]:
    """Return the number of each segment in the arrays."""
    ids = _ids(path, names)
    if len(ids) != _first(arrays):
        raise DataConflictError(
            f"{quoted(path)} has {len(ids)} narration_ids for {_first(arrays)} segments"
        )
    places: dict[str, int] = {}
    for place, name in enumerate(ids):
        if (before := places.setdefault(name, place)) != place:
            raise DataConflictError(
                f"{quoted(path)} has {printable(name)} twice, as segments {before} and {place}"
            )
    known = dict.fromkeys(table.ids)
    if missing := [name for name in known if name not in places]:
        raise DataConflictError(
            f"{quoted(path)} has no features of {shorten(missing, 3)}, {len(missing)} of the "
            f"{len(known)} segments in {quoted(table.file)}"
        )
    if extra := [name for name in ids if name not in known]:
        raise DataConflictError(
            f"{quoted(path)} has features of {printable(shorten(extra, 3))}, which "
            f"{quoted(table.file)} does not list"
        )
    if ids != list(known):
        LOGGER.warning(
            "%s has its segments in another order than %s; they are matched by name",
            path,
            table.file,
        )
    return places


def _ids(path: Path, names: Any) -> list[str]:
    """Return the ids, whatever holds them."""
    if isinstance(names, PickledArray):
        if len(names.shape) != 1:
            raise DataConflictError(
                f"{quoted(path)}: narration_ids have shape {list(names.shape)}, not one name each"
            )
        names = names.read().tolist() if names.items is None else names.items
    if not isinstance(names, list | tuple):
        raise DataConflictError(f"{quoted(path)}: narration_ids are {_kind_of(names)}, not a list")
    ids = [name.decode("latin-1") if isinstance(name, bytes) else name for name in names]
    if wrong := [name for name in ids if not isinstance(name, str)]:
        raise DataConflictError(
            f"{quoted(path)}: narration_ids hold {_kind_of(wrong[0])}, not texts such as P01_11_0"
        )
    return ids


def _check_widths(parts: Sequence[_Part]) -> None:
    first = parts[0]
    for part in parts:
        for modality, width in part.widths.items():
            if width != first.widths[modality]:
                raise DataConflictError(
                    f"{quoted(part.path)} has {width} values a row of {modality}, "
                    f"{quoted(first.path.name)} has {first.widths[modality]}; one of them is of "
                    "other features"
                )


def _import_dataset(
    job: EpicImport, dataset: str, parts: Sequence[_Part], folder: Path
) -> Manifest:
    widths = parts[0].widths
    config = FeatureConfig(
        dataset=dataset,
        backbone=job.backbone,
        weights=imported_weights(job.weights),
        profile=IMPORTED,
        image_size=IMAGE_SIZE,
        frames=job.frames,
        feature_dim=sum(widths.values()),
        transform=f"columns {', '.join(f'{name} {width}' for name, width in widths.items())}",
    )
    part_of = {name: part for part in parts for name in part.places}
    kept = list(FrameSelection.parse(job.frames).indices(ROWS_PER_SEGMENT))

    def read(clip: PlannedClip) -> ReadClip:
        rows = part_of[clip.path].rows(clip.path, kept)
        return rows, kept, {"status": "ok", "num_frames": ROWS_PER_SEGMENT}

    listing = _listing(dataset, job, parts)
    plan, finished = plan_import(folder, listing, config, new_splits=job.new_splits)
    left = set(plan.shards) - set(finished)
    _check_same_pickles(folder, finished, part_of, is_complete=not left)
    with ExitStack() as copies:
        for part in parts if left else ():
            part.streams = {
                modality: copies.enter_context(array.with_rows_together(folder))
                for modality, array in part.streams.items()
            }
        manifest = write_import(folder, plan, finished, listing, read, f"segments of {dataset}")
    for part in (part for part in parts if part.bad_rows):
        LOGGER.warning(
            "%s: %d rows that are not kept are not finite, the first is %s",
            part.path,
            len(part.bad_rows),
            part.bad_rows[0],
        )
    return manifest


def _listing(dataset: str, job: EpicImport, parts: Sequence[_Part]) -> Listing:
    clips = []
    for part in parts:
        clips += [
            Clip(
                path=segment.narration_id,
                class_name=segment.class_name,
                splits=PUBLISHED[part.split].roles,
                size_bytes=part.bytes_per_segment,
                mtime_ns=part.mtime_ns,
            )
            for segment in part.table.segments
        ]
    return Listing(
        dataset=dataset,
        root=job.source,
        clips=tuple(sorted(clips, key=lambda clip: clip.path)),
        absent=(),
        splits_origin=f"annotations {job.annotations}",
    )


def _check_same_pickles(
    folder: Path, finished: Sequence[str], part_of: Mapping[str, _Part], *, is_complete: bool
) -> None:
    """Refuse to go on where shards are of pickles that were replaced since."""
    changed = dict.fromkeys(
        part_of[clip.path].path.name
        for shard in finished
        for clip in read_record(ShardRecord, sidecar_path(folder, shard)).clips
        if clip.mtime_ns != part_of[clip.path].mtime_ns
    )
    if not changed:
        return
    told = (
        f"{quoted(folder)} holds features of {shorten(changed)} as it was before it was written "
        "anew"
    )
    if not is_complete:
        raise DataConflictError(f"{told}; remove the folder to import them again")
    LOGGER.warning("%s; they stay, remove the folder to import them again", told)
