"""Clips that crashed or hung decoders, kept beside the shards: no job tries them again unasked.

One small file a clip, written whole and never locked: `quarantine-NNNNNN.json`, by number in the
plan. It only counts for the very file that did it, told by size and time of change.
"""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Self

from ta3n.common.errors import DataMissingError, FeatureStoreError
from ta3n.common.files import canonical_json, replace_file
from ta3n.common.records import ClipStatus, PlannedClip, Record, read_record


class Quarantined(Record):
    """A clip that is not decoded again: that file `crashed` decoders, or hung them (`timeout`)."""

    path: str
    size_bytes: int
    mtime_ns: int
    status: ClipStatus
    error: str
    attempts: int

    @classmethod
    def of(cls, clip: PlannedClip, *, status: ClipStatus, error: str, attempts: int) -> Self:
        """Return the entry of a clip's file as it is now."""
        file = clip.model_dump(include={"path", "size_bytes", "mtime_ns"})
        return cls(**file, status=status, error=error, attempts=attempts)


def read_quarantine(folder: Path, clips: Iterable[PlannedClip]) -> dict[int, Quarantined]:
    """Return the entries of clips, by number; an unreadable one counts for nothing."""
    if not any(folder.glob("quarantine-*.json")):
        return {}
    found = {}
    for clip in clips:
        with suppress(OSError, DataMissingError, FeatureStoreError):
            entry = read_record(Quarantined, _path(folder, clip))
            if (entry.path, entry.size_bytes, entry.mtime_ns) == (
                clip.path,
                clip.size_bytes,
                clip.mtime_ns,
            ):
                found[clip.id] = entry
    return found


def add_to_quarantine(folder: Path, clip: PlannedClip, entry: Quarantined) -> None:
    """Write an entry; OSError is raised if the folder cannot be written."""
    replace_file(_path(folder, clip), canonical_json(entry.model_dump()) + b"\n")


def remove_from_quarantine(folder: Path, clips: Iterable[PlannedClip]) -> None:
    """Forget the entries of clips that are to be tried again; it raises likewise."""
    for clip in clips:
        _path(folder, clip).unlink(missing_ok=True)


def _path(folder: Path, clip: PlannedClip) -> Path:
    return folder / f"quarantine-{clip.id:06d}.json"
