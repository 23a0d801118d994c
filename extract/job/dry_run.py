"""`ta3n-extract --dry-run`: what would be done, and by a few clips what it costs.

The trial is the work as it would be, in a folder that is removed again.
"""

import errno
import math
import os
import re
import shutil
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from ta3n.common.device import peak_memory
from ta3n.common.errors import ClipError, Ta3nError, shorten
from ta3n.common.log import describe_bytes, describe_duration
from ta3n.common.records import USABLE, ClipRecord, PlannedClip, ShardRecord, read_record
from ta3n.common.sampling import FrameSelection
from ta3n.common.shares import SHARES_NAME, JobShare, check_count
from ta3n.common.store import is_finished, sidecar_path
from ta3n.extract.job.plan import describe_plan, expected_plan, shards_asked_for, spread_evenly
from ta3n.extract.job.run import ExtractionJob, check_failures, work_left
from ta3n.extract.worker.work import ShardTask, Work

if TYPE_CHECKING:
    from ta3n.extract.worker.progress import Advanced

_BUDGET_S = 15.0
"""Of a trial, from its first frame on."""
_LOOK_EVERY_S = 0.5
_MOST_CLIPS = 64
_MOST_CONTAINERS = 64
_BYTES_A_ROW = 8
"""Beside its values: the number of its frame, and its checksum."""
_BYTES_A_CLIP, _BYTES_A_SHARD = 2000, 20_000
"""Of records, and of a file of features that has none."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What a few clips cost.

    Attributes:
        clips: Those that were ended.
        num_frames: Frames, or windows of them, that the network took.
        start_s: Until the network was ready and the first frame was there.
        frames_a_second: From then on; 0 if there was none.
        memory: Bytes that this process and its decoders held, all together, at most.
        memory_of_gpu: Bytes, likewise; None without one.
    """

    clips: Sequence[ClipRecord]
    num_frames: int
    start_s: float
    frames_a_second: float
    memory: int
    memory_of_gpu: int | None


def look_ahead(job: ExtractionJob, max_failures: str = "100%") -> Iterator[str]:
    """Yield in lines what a call would do and cost; end with the error that it would end with.

    Raises:
        As `run_job`; Ta3nError: If space or memory do not suffice.
        TooManyFailuresError: If the trial was of all clips, and more failed than are allowed.
    """
    folder, share = job.work.folder, job.share or JobShare()
    again = {"retry_failed": job.retry_failed, "new_splits": job.new_splits}
    yield from describe_plan(
        job.plan, job.work.root, share, folder, scope=job.scope, **again
    ).splitlines()
    agreed = expected_plan(job.plan, folder, scope=job.scope, **again)
    if job.share is not None:
        check_count(folder / SHARES_NAME, job.share)
    here = _existing(folder)
    asked = shards_asked_for(agreed, job.plan, job.scope)
    mine = [shard for shard in share.of(agreed.shards) if shard in asked]
    work = work_left(job, agreed, mine, mends=False)
    num_left = sum(len(task.to_decode) for task in work.tasks)
    yield f"to be done: {num_left} clips in {len(work.tasks)} shards"
    if work.tasks:
        tried = yield from _try_all(work, here)
        if len(tried) == len(agreed.clips):
            check_failures(tried, max_failures)


def _try_all(work: Work, here: Path) -> Generator[str, None, Sequence[ClipRecord]]:
    """Yield what the work costs; return what became of the clips that were tried."""
    from ta3n.common.device import available_memory, describe_device, resolve_device

    devices = [resolve_device(name) for name in work.devices]
    # A GPU's own memory is told apart.
    free, before = available_memory(resolve_device("cpu")), peak_memory()
    num_rows, told = _expected_rows(work)
    num_clips = sum(len(task.to_decode) for task in work.tasks)
    # What is computed stands in a file of its own until its shard is written.
    share_open = 1 + 1 / len(work.tasks)
    width = work.config.feature_dim
    disk = int(num_rows * (4 * width + _BYTES_A_ROW) * share_open)
    disk += num_clips * _BYTES_A_CLIP + len(work.tasks) * _BYTES_A_SHARD
    space = shutil.disk_usage(here).free
    yield f"rows: about {num_rows}, {told}"
    yield f"disk: about {describe_bytes(disk)}, of {describe_bytes(space)} that are free in {here}"
    if disk > space:
        raise Ta3nError(
            f"no space: the features take about {describe_bytes(disk)}, and "
            f"{describe_bytes(space)} are free in {here}; make room, or give another --out"
        )
    if not any(task.passes(work.quarantined) for task in work.tasks):
        yield "time: a moment, all clips are in quarantine"
        return ()
    with TemporaryDirectory(prefix=".trial-", dir=here) as folder:
        trial = _try(work, Path(folder), num_devices=len(devices))
    failed = [f"{clip.path}: {clip.error}" for clip in trial.clips if clip.status not in USABLE]
    of_them = f", {len(failed)} failed ({shorten(failed, 1)})" if failed else ""
    yield f"trial: {len(trial.clips)} clips, {trial.num_frames} frames, not kept{of_them}"
    side_by_side = f", {len(devices)} devices" if len(devices) > 1 else ""
    if trial.frames_a_second:
        seconds = num_rows / trial.frames_a_second / len(devices) + trial.start_s
        yield (
            f"time: about {describe_duration(max(seconds, 1))} on {describe_device(devices[0])}"
            f"{side_by_side}, {describe_duration(trial.start_s)} of them to start, then "
            f"{trial.frames_a_second * len(devices):.1f} frames/s"
        )
    else:
        yield "time: not known, no clip of the trial had a frame"
    need = trial.memory * len(devices)
    yield f"memory: about {describe_bytes(need)}, of {describe_bytes(free)} that are free"
    if trial.memory_of_gpu is not None:
        yield f"memory of the GPU: about {describe_bytes(trial.memory_of_gpu)}"
    # What this process has taken is not among what is free.
    if need - before > free:
        raise Ta3nError(
            f"no memory: it takes about {describe_bytes(need)}, and {describe_bytes(free)} are "
            "free; give fewer --decode-threads, or a smaller --batch-size or --decode-memory"
        )
    return trial.clips


def _expected_rows(work: Work) -> tuple[int, str]:
    """Return about how many rows there will be, and how that is known, in words."""
    clips = [clip for task in work.tasks for clip in task.to_decode]
    clips = [clip for clip in clips if clip.id not in work.quarantined]
    looked_at = spread_evenly(clips, _MOST_CONTAINERS)
    selection = FrameSelection.parse(work.config.frames)
    found = sum(_rows_of(work, clip, selection) for clip in looked_at)
    if len(looked_at) == len(clips):
        return found, f"by the containers of all {len(clips)} clips"
    # Long files have many frames, unless only so many are kept or a part of them is asked for.
    by_size = selection.num_segments is None and not any(clip.section for clip in clips)
    sizes = [[clip.size_bytes if by_size else 1 for clip in some] for some in (clips, looked_at)]
    of_all, of_some = map(sum, sizes)
    num_rows = math.ceil(found * of_all / max(of_some, 1))
    return num_rows, f"estimated by the containers of {len(looked_at)} of {len(clips)} clips"


def _rows_of(work: Work, clip: PlannedClip, selection: FrameSelection) -> int:
    """Return how many frames of a clip are kept, as its container has it; 0 if it cannot tell."""
    from ta3n.extract.decoding.decode import open_clip

    with (
        suppress(ClipError, OSError),
        open_clip(work.root / clip.file, reading=work.config.reading) as reader,
    ):
        rate = reader.position_rate
        if clip.section is None:
            num_frames = reader.info.declared_frames or reader.count_packets()
        else:
            length = clip.section.stop - clip.section.start
            num_frames = int(length if clip.section.unit == "frames" else length * (rate or 0))
        return len(selection.indices(max(num_frames, 0), rate))
    return 0


def _try(work: Work, folder: Path, *, num_devices: int) -> Trial:
    """Make features of some clips in a folder, for a few seconds."""
    import torch

    from ta3n.extract.worker.shards import engine_for, extract_shards

    started = time.monotonic()
    work = replace(work, device=work.devices[0], num_sharing=num_devices)
    engine = engine_for(work)
    if engine.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(engine.device)
    passes = [each for task in work.tasks for each in task.passes(work.quarantined)]
    # A shard each, so that what is ended is known wherever the trial is stopped.
    tasks = tuple(
        ShardTask(
            shard=(shard := f"shard-{number:05d}"),
            clips=tuple(clip.model_copy(update={"shard": shard}) for clip in clips),
        )
        for number, clips in enumerate(spread_evenly(passes, _MOST_CLIPS))
    )
    watch = _Watch()
    try:
        with suppress(CancelledError):
            small = replace(work, folder=folder, tasks=tasks, attempts={})
            extract_shards(small, watch.tell, engine, watch.stopped)
        ended = time.monotonic()
    finally:
        engine.close()
    ready = watch.first_s or ended
    return Trial(
        clips=[clip for task in tasks for clip in _ended(folder, task.shard)],
        num_frames=watch.num_frames,
        start_s=ready - started,
        frames_a_second=watch.frames_a_second(ended),
        memory=peak_memory() + watch.memory_of_decoders,
        memory_of_gpu=(
            torch.cuda.max_memory_reserved(engine.device) if engine.device.type == "cuda" else None
        ),
    )


class _Watch:
    """Sees how far a trial is, and stops it once it has taken its time."""

    def __init__(self) -> None:
        self.stopped = threading.Event()
        self.num_frames = 0
        self.first_s: float | None = None
        self.memory_of_decoders = 0
        self._first_frames = 0
        self._looked_s = 0.0

    def tell(self, now: "Advanced") -> None:
        """Take how far it is."""
        self.num_frames = now.num_frames
        if self.first_s is None and now.num_frames:
            self.first_s, self._first_frames = time.monotonic(), now.num_frames
        if self.first_s is not None and time.monotonic() - self.first_s > _BUDGET_S:
            self.stopped.set()
        if time.monotonic() - self._looked_s > _LOOK_EVERY_S:
            self.memory_of_decoders = max(self.memory_of_decoders, _held_by_children())
            self._looked_s = time.monotonic()

    def frames_a_second(self, ended_s: float) -> float:
        """Return the rate after the first frames; of all where hardly any came later."""
        if self.first_s is None:
            return 0.0
        later = self.num_frames - self._first_frames
        counted = later if later >= self._first_frames else self.num_frames
        return counted / max(ended_s - self.first_s, 1e-3)


def _ended(folder: Path, shard: str) -> Sequence[ClipRecord]:
    if not is_finished(folder, shard):
        return ()
    return read_record(ShardRecord, sidecar_path(folder, shard)).clips


def _held_by_children() -> int:
    """Return the bytes that processes started by this one hold now, each for itself."""
    held = 0
    for children in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):
            for number in children.read_text().split():
                status = Path("/proc", number, "status").read_text()
                held += sum(1024 * int(kb) for kb in re.findall(r"RssAnon:\s*(\d+)", status))
    return held


def _existing(folder: Path) -> Path:
    """Return a folder that is there: that for the features, or the nearest it would lie in."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(there))
    return there
