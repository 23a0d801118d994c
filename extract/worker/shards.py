"""Shards made of what decoders give: frames through the network, and rows back to their clips.

Legend: F rows of a shard, D feature width.
"""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from ta3n.common.device import allowed_cpus, resolve_device
from ta3n.common.errors import DeviceError, first_line
from ta3n.common.records import PlannedClip
from ta3n.common.sampling import FrameSelection
from ta3n.common.store import Features, is_finished
from ta3n.extract.decoders.pool import Attempt, Decoders, Ended, Frames
from ta3n.extract.decoding.decode import ClipOutcome
from ta3n.extract.decoding.passes import Pass, PassDecoding
from ta3n.extract.inference.batches import BatchRunner, RowSpool
from ta3n.extract.inference.engine import Engine, start_engine
from ta3n.extract.inference.preprocessing import cropper_for, max_frame_bytes
from ta3n.extract.worker.progress import Advanced, JobProgress, Tell
from ta3n.extract.worker.publishing import DecodedClip, Publisher
from ta3n.extract.worker.quarantine import Quarantined, add_to_quarantine
from ta3n.extract.worker.work import Work

# A CPU's network is slow; a GPU takes a clip in a tenth of a second, so many are to be ready.
_BYTES_AHEAD = {"cpu": 128 * 2**20, "cuda": 768 * 2**20}
# Of the datasets' clips, about: enough to tell a long job from a short one.
_BYTES_A_FRAME, _USUAL_RATE = 4096, 25.0
# How errors of a GPU begin, in all versions of torch.
_OF_GPUS = ("CUDA", "cuDNN")


def extract(work: Work, progress: JobProgress) -> None:
    """Get all shards of some work made, on each of its devices side by side.

    Several devices are served by a thread each, and each gets every so-manieth shard.

    Raises:
        WeightsError: If the weights cannot be loaded.
        DeviceError: If a device is not there, or has not enough memory.
        WorkerError: If decoders end again and again, and no clip is to blame.
        DataMissingError: If the folder of the clips went away, or does not answer.
        FeatureStoreError: If a shard to be completed is damaged.
        OSError: If a shard cannot be written; finished ones stay.
    """
    parts = deal(work)
    if len(parts) == 1:
        extract_shards(parts[0], progress.of_device())
        return
    ready = [(part, progress.of_device(), engine_for(part)) for part in parts]
    stopped = threading.Event()
    with ThreadPoolExecutor(len(parts)) as threads:
        runs = [threads.submit(extract_shards, *part, stopped) for part in ready]
        try:
            for run in as_completed(runs):
                run.result()
        except BaseException:
            # Leaving the threads waits for the others.
            stopped.set()
            raise


def deal(work: Work) -> list[Work]:
    """Return the part of each device; devices that get no shard are left out."""
    used = work.devices[: len(work.tasks)]
    return [
        replace(work, device=device, tasks=work.tasks[first :: len(used)], num_sharing=len(used))
        for first, device in enumerate(used)
    ]


def engine_for(work: Work) -> Engine:
    """Start what computes the features of some work; it raises what `start_engine` does."""
    with _gpu_told(work):
        return start_engine(
            work.backbone,
            work.weights,
            profile=work.config.profile,
            device=work.device,
            batch_size=work.batch_size,
            compiled=work.compile,
            num_sharing=work.num_sharing,
            num_inputs=_num_inputs(work),
        )


@contextmanager
def _gpu_told(work: Work) -> Iterator[None]:
    """Tell in a line what is wrong with a GPU: others may have its memory, or it is lost."""
    try:
        yield
    except RuntimeError as error:
        if not (reason := first_line(error)).startswith(_OF_GPUS):
            raise
        raise DeviceError(
            f"{work.device} cannot be used: {reason}; is it used by others? What is done is kept; "
            "use another --device or a smaller --batch-size, or run again later"
        ) from error


def _num_inputs(work: Work) -> int:
    """Return about how many frames are to be computed, as the files' sizes tell."""
    clips = [clip for task in work.tasks for clip in task.to_decode]
    selection = FrameSelection.parse(work.config.frames)
    if selection.num_segments is not None:
        return selection.num_segments * len(clips)
    # Sections of a video are parts of one file.
    files = {clip.file: clip.size_bytes for clip in clips}
    num_frames = sum(files.values()) // _BYTES_A_FRAME
    if selection.fps is not None:
        return int(num_frames * min(selection.fps / _USUAL_RATE, 1))
    return num_frames // (selection.every or 1)


def decoders_for(work: Work) -> Decoders:
    """Return the decoders of some work, which are to be started."""
    device = resolve_device(work.device)
    num_passes = sum(len(task.passes(work.quarantined)) for task in work.tasks)
    count = work.decode_threads or max(allowed_cpus() // work.num_sharing, 1)
    cropper = cropper_for(work.config.profile, work.backbone, device)
    return Decoders(
        PassDecoding(work.root, work.config, cropper),
        # One more than there are clips would only be started.
        count=min(count, max(num_passes, 1)),
        max_bytes=work.decode_bytes or _BYTES_AHEAD[device.type],
        frame_bytes=max_frame_bytes(work.backbone, device),
        command=work.decoder_command,
        timeout_s=work.clip_timeout_s,
    )


def extract_shards(
    work: Work,
    tell: Tell = lambda _: None,
    engine: Engine | None = None,
    stopped: threading.Event | None = None,
    decoders: Decoders | None = None,
) -> None:
    """Make the shards of one device; it raises what `extract` does.

    Args:
        engine: If one was started before.
        stopped: Ends it with `CancelledError` once it is set.
        decoders: If some were started before.
    """
    with _gpu_told(work), ExitStack() as stack:
        # They start while the network is loaded.
        decoders = decoders or stack.enter_context(decoders_for(work))
        if engine is None:
            engine = engine_for(work)
            stack.callback(engine.close)
        if engine.device.type == "cuda":
            # Each thread has a current one.
            torch.cuda.set_device(engine.device)
        publisher = stack.enter_context(Publisher(work, engine.provenance))
        _ShardMaker(work, tell, engine.new_runner(), publisher, decoders).run(stopped)


@dataclass
class _ShardMaker:
    """Makes the shards of a piece of work."""

    work: Work
    tell: Tell
    runner: BatchRunner
    publisher: Publisher
    decoders: Decoders
    _open: dict[str, "ClipCollector"] = field(default_factory=dict)
    _num_clips: int = 0
    _num_frames: int = 0

    def run(self, stopped: threading.Event | None) -> None:
        """Decode all clips, compute their rows, and have shards published that are whole."""
        self._tasks = {task.shard: task for task in self.work.tasks}
        for task in self.work.tasks:
            if not task.passes(self.work.quarantined) and not self._is_done(task.shard):
                self._collector(task.shard)
        for item in self.decoders.decoded(self._todo(), stopped):
            collector = self._collector(item.attempt.clips[0].shard)
            if isinstance(item, Frames):
                collector.add(item)
                self._num_frames += len(item.pixels)
            else:
                self._end(collector, item)
            self._publish()
        self.runner.flush()
        self._publish()

    def _todo(self) -> Iterator[Pass]:
        """Yield what is to be decoded; shards that another job finished meanwhile are skipped."""
        for task in self.work.tasks:
            if not self._is_done(task.shard):
                yield from task.passes(self.work.quarantined)

    def _is_done(self, shard: str) -> bool:
        return not self._tasks[shard].replace and is_finished(self.work.folder, shard)

    def _collector(self, shard: str) -> "ClipCollector":
        if shard not in self._open:
            task = self._tasks[shard]
            collector = ClipCollector(
                self.runner,
                RowSpool(self.runner.feature_dim, self.work.folder),
                len(task.to_decode),
            )
            for clip in task.to_decode:
                if (bad := self.work.quarantined.get(clip.id)) is not None:
                    outcome = ClipOutcome(status=bad.status, error=bad.error, attempts=bad.attempts)
                    collector.put(clip, outcome, np.empty(0, np.int64))
            self._open[shard] = collector
        return self._open[shard]

    def _end(self, collector: "ClipCollector", ended: Ended) -> None:
        """Take the end of clips; those that crash or hang decoders are not tried again unasked."""
        outcomes = []
        for clip, outcome in zip(ended.attempt.clips, ended.outcomes, strict=True):
            tries = outcome.attempts + self.work.attempts.get(clip.id, 0)
            outcomes.append(replace(outcome, attempts=tries))
            if outcome.status in ("crashed", "timeout"):
                entry = Quarantined.of(
                    clip, status=outcome.status, error=outcome.error, attempts=tries
                )
                add_to_quarantine(self.work.folder, clip, entry)
        collector.end(Ended(ended.attempt, tuple(outcomes)))
        self._num_clips += len(outcomes)

    def _publish(self) -> None:
        """Have what is whole published, and tell how far we are."""
        self.publisher.check()
        for shard in [shard for shard, collector in self._open.items() if collector.is_whole]:
            collector = self._open.pop(shard)
            self.publisher.submit(self._tasks[shard], collector.decoded, collector.rows)
        self.tell(Advanced(self._num_clips, self._num_frames, self.decoders.wait_s))


@dataclass
class _Part:
    """Frames of an attempt: those that still are in batches, and rows that others have become."""

    num_waiting: int = 0
    rows: list[range] = field(default_factory=list)
    ended: Ended | None = None


@dataclass
class ClipCollector:
    """Takes frames and ends of a shard's clips as they come; knows which rows are whose.

    Attributes:
        runner: Computes features.
        rows: Of all frames that came, in the order in which they were computed.
        num_clips: How many clips are to come.
        decoded: Those that are there with all their rows, by number.
    """

    runner: BatchRunner
    rows: RowSpool
    num_clips: int
    decoded: dict[int, DecodedClip] = field(default_factory=dict)
    _parts: dict[Attempt, _Part] = field(default_factory=dict)

    @property
    def is_whole(self) -> bool:
        """Whether all clips are there."""
        return len(self.decoded) == self.num_clips

    def add(self, frames: Frames) -> None:
        """Run frames through the network."""
        part = self._parts.setdefault(frames.attempt, _Part())
        part.num_waiting += len(frames.pixels)
        self.runner.add(frames.pixels, partial(self._take, part))

    def end(self, ended: Ended) -> None:
        """Take the end of clips that were decoded at once."""
        part = self._parts.pop(ended.attempt, _Part())
        part.ended = ended
        self._finish(part)

    def put(self, clip: PlannedClip, outcome: ClipOutcome, rows: NDArray[np.int64]) -> None:
        """Take a clip with the numbers of its rows."""
        self.decoded[clip.id] = DecodedClip(outcome, rows)

    def _take(self, part: _Part, rows: Features) -> None:
        if self.is_whole:
            # Of an attempt that crashed.
            return
        first = self.rows.shape[0]
        self.rows.append(rows)
        part.rows.append(range(first, first + len(rows)))
        part.num_waiting -= len(rows)
        self._finish(part)

    def _finish(self, part: _Part) -> None:
        if part.ended is None or part.num_waiting:
            return
        numbers = np.concatenate([np.empty(0, np.int64), *map(np.asarray, part.rows)])
        for clip, outcome in zip(part.ended.attempt.clips, part.ended.outcomes, strict=True):
            own = numbers if outcome.crops is None else numbers[np.asarray(outcome.crops, np.int64)]
            self.put(clip, outcome, own.astype(np.int64))
