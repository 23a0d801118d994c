"""Clips that killed or hung a worker, kept beside the shards: no job tries them again unasked.

One small file a clip, written whole and never locked: `quarantine-NNNNNN.json`, by number in the
plan. It only counts for the very file that did it, told by size and time of change.
"""

import json
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from ta3n.common.files import canonical_json, replace_file
from ta3n.common.records import ClipStatus, PlannedClip
from ta3n.extract.worker.protocol import Verdict

_NAME = re.compile(r"quarantine-[0-9]{6,9}\.json")


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    size_bytes: int
    mtime_ns: int
    status: ClipStatus
    error: str
    attempts: int


def read_quarantine(folder: Path, clips: Iterable[PlannedClip]) -> dict[int, Verdict]:
    """Return the verdicts on clips, by number; an unreadable entry counts for nothing."""
    if not any(_NAME.fullmatch(path.name) for path in folder.iterdir()):
        return {}
    verdicts = {}
    for clip in clips:
        # Not pydantic's own JSON reader: names that are not UTF-8 must survive.
        with suppress(OSError, ValueError):
            entry = _Entry.model_validate(json.loads(_path(folder, clip).read_bytes()))
            if (entry.path, entry.size_bytes, entry.mtime_ns) == _identity(clip):
                verdicts[clip.id] = Verdict(
                    status=entry.status, error=entry.error, attempts=entry.attempts
                )
    return verdicts


def add_to_quarantine(folder: Path, clip: PlannedClip, verdict: Verdict) -> None:
    """Write an entry.

    Raises:
        OSError: If the folder cannot be written.
    """
    path, size_bytes, mtime_ns = _identity(clip)
    entry = _Entry(
        path=path,
        size_bytes=size_bytes,
        mtime_ns=mtime_ns,
        status=verdict.status,
        error=verdict.error,
        attempts=verdict.attempts,
    )
    replace_file(_path(folder, clip), canonical_json(entry.model_dump()) + b"\n")


def remove_from_quarantine(folder: Path, clips: Iterable[PlannedClip]) -> None:
    """Forget the verdicts on clips that are to be tried again.

    Raises:
        OSError: If the folder cannot be written.
    """
    for clip in clips:
        _path(folder, clip).unlink(missing_ok=True)


def _path(folder: Path, clip: PlannedClip) -> Path:
    return folder / f"quarantine-{clip.id:06d}.json"


def _identity(clip: PlannedClip) -> tuple[str, int, int]:
    return clip.path, clip.size_bytes, clip.mtime_ns
