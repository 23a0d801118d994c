"""What the supervisor and its worker process tell each other, and how the worker reports."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self, TypeAlias, TypeVar

from ta3n.common.records import ClipStatus, FeatureConfig, PlannedClip, Record
from ta3n.extract.backbones import Backbone

if TYPE_CHECKING:
    # It decodes, which the supervisor does not.
    from ta3n.common.video import RgbImage

T = TypeVar("T")


class Quarantined(Record):
    """A clip that is not decoded again: that file `crashed` the worker, or hung it (`timeout`)."""

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


Pass: TypeAlias = tuple[PlannedClip, ...]
"""What is decoded at once: one clip, or sections of one video."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardTask:
    """A shard to be made.

    Attributes:
        kept: Numbers of the clips whose rows are taken over from the shard that is there.
        replace: Whether it takes the place of one that is there.
    """

    shard: str
    clips: tuple[PlannedClip, ...]
    kept: frozenset[int] = frozenset()
    replace: bool = False

    @property
    def to_decode(self) -> list[PlannedClip]:
        """The clips that are not kept."""
        return [clip for clip in self.clips if clip.id not in self.kept]

    @property
    def passes(self) -> list[Pass]:
        """The clips that are not kept, sections of one video together."""
        found: list[Pass] = []
        for clip in self.to_decode:
            before = found[-1][0] if found else None
            if before and before.section and clip.section and before.file == clip.file:
                found[-1] += (clip,)
            else:
                found.append((clip,))
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """All that a worker needs to make shards; options are those of `ExtractSettings`.

    Attributes:
        root: Folder of the clips.
        folder: Feature folder of the dataset.
        num_sharing: Workers that share the CPUs of this process.
        quarantined: Clips that are not decoded, by number.
        attempts: How often clips were tried before, by number.
        alone: A clip that is only decoded, to see what that does to the worker; no shards are made.
        alone_with: Other sections of its video, which are decoded with it.
    """

    root: Path
    folder: Path
    config: FeatureConfig
    backbone: Backbone
    weights: str
    device: str
    batch_size: int | None = None
    compile: str = "auto"
    decode_threads: int | None = None
    clip_timeout_s: float = 60.0
    num_sharing: int = 1
    tasks: tuple[ShardTask, ...] = ()
    quarantined: Mapping[int, Quarantined] = field(default_factory=dict)
    attempts: Mapping[int, int] = field(default_factory=dict)
    alone: PlannedClip | None = None
    alone_with: Pass = ()

    @property
    def devices(self) -> tuple[str, ...]:
        """Each by its own name."""
        return tuple(name.strip() for name in self.device.split(","))


class Started(NamedTuple):
    """Decoding of a clip begins."""

    clip_id: int


class Ended(NamedTuple):
    """Decoding of a clip has ended, well or not."""

    clip_id: int


class Alive(NamedTuple):
    """The worker's heartbeat, with the numbers of clips that made no progress for too long."""

    stalled: tuple[int, ...] = ()


class Advanced(NamedTuple):
    """How far the worker is, and for how many seconds the network waited for frames."""

    num_clips: int
    num_frames: int
    wait_s: float


class ShardDone(NamedTuple):
    """A shard is published."""

    shard: str


class Logged(NamedTuple):
    """A line for the log."""

    text: str


class Failed(NamedTuple):
    """The worker cannot go on: the job ends with this error."""

    error: Exception


class Finished(NamedTuple):
    """The worker has done all it was asked to."""


Message = Started | Ended | Alive | Advanced | ShardDone | Logged | Failed | Finished


@dataclass(slots=True)
class ClipWatch:
    """The signs of life of one clip: steps, which count up with every packet read.

    Attributes:
        waiting: Whether it only waits until its crops are taken.
    """

    waiting: bool = False
    _num_steps: int = 0
    _last_steps: int = -1
    _idle_s: float = 0.0

    def step(self) -> None:
        """Note progress."""
        self._num_steps += 1

    def look(self, since_s: float) -> float:
        """Return for how many seconds the clip has been stuck; `since_s` since the last look."""
        if self.waiting or self._num_steps != self._last_steps:
            self._idle_s = 0.0
        else:
            self._idle_s += since_s
        self._last_steps = self._num_steps
        return self._idle_s


class Reporter:
    """Sends messages to whoever supervises, from any thread; by default they are dropped.

    Attributes:
        publishing: Held while a shard is written: a worker that is told to stop finishes that.
    """

    def __init__(self, send: Callable[[Message], None] = lambda _: None) -> None:
        self._send = send
        self._sending = threading.Lock()
        self._watched: dict[int, ClipWatch] = {}
        self.publishing = threading.Lock()

    def send(self, message: Message) -> None:
        """Send a message, whole, before returning."""
        with self._sending:
            self._send(message)

    def watched(
        self, clip_id: int, decode: Callable[[Callable[[], None]], Generator[RgbImage, None, T]]
    ) -> Generator[RgbImage, None, T]:
        """Report that a clip is being decoded, for the supervisor to know should that kill us.

        Args:
            decode: Yields the crops, which are passed on; it is given what notes progress.
        """
        watch = ClipWatch()
        self.send(Started(clip_id))
        self._watched[clip_id] = watch
        try:
            crops = decode(watch.step)
            while True:
                try:
                    pixels = next(crops)
                except StopIteration as end:
                    outcome: T = end.value
                    return outcome
                # Now it is the consumer who keeps the clip waiting.
                watch.waiting = True
                yield pixels
                watch.waiting = False
                watch.step()
        finally:
            del self._watched[clip_id]
            self.send(Ended(clip_id))

    def beat(self, since_s: float, timeout_s: float) -> None:
        """Send the heartbeat with the clips that are stuck.

        Time is counted in beats, so a process that was stopped and goes on blames no clip.
        """
        idle_s = {clip_id: watch.look(since_s) for clip_id, watch in list(self._watched.items())}
        self.send(Alive(tuple(i for i, idle in idle_s.items() if idle >= timeout_s)))
