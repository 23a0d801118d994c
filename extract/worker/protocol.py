"""What the supervisor and its worker process tell each other."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ta3n.common.records import ClipStatus, PlannedClip
from ta3n.common.sampling import Timing
from ta3n.extract.backbones import Backbone
from ta3n.extract.inference.profiles import CompilePolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The end of a clip that may not be decoded again: it killed the worker, or hung.

    Attributes:
        status: `crashed` or `timeout`.
        error: What happened.
        attempts: How often it was tried.
    """

    status: ClipStatus
    error: str
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardTask:
    """A shard to be made.

    Attributes:
        shard: Its name.
        clips: Its clips in plan order.
        kept: Numbers of the clips whose rows are taken over from the shard that is there.
        replace: Whether it takes the place of one that is there.
    """

    shard: str
    clips: tuple[PlannedClip, ...]
    kept: frozenset[int] = frozenset()
    replace: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """All that a worker needs to make shards.

    Attributes:
        root: Folder of the clips.
        folder: Feature folder of the dataset.
        config_hash: Hash of the feature configuration.
        frames: Which frames are kept, as `FrameSelection` reads it.
        backbone: The network.
        weights: As given: a name, a file, or `random:SEED`.
        device: As given: `auto`, `cpu` or `cuda:N`; several with commas.
        batch_size: Frames in one forward pass; None takes what suits the device.
        decode_threads: Clips decoded side by side; None follows the CPUs allowed.
        clip_timeout_s: Seconds without progress after which a clip is given up.
        tasks: The shards, in order.
        profile: How a frame becomes the network's input.
        timing: How frames are counted.
        compile: Whether the network is compiled.
        num_sharing: Workers that share the CPUs of this process.
        verdicts: Clips that are not decoded, by number.
        attempts: How often clips were tried before, by number.
    """

    root: Path
    folder: Path
    config_hash: str
    frames: str
    backbone: Backbone
    weights: str
    device: str
    batch_size: int | None
    decode_threads: int | None
    clip_timeout_s: float
    tasks: tuple[ShardTask, ...]
    profile: str = "ta3n"
    timing: Timing = "frames"
    compile: CompilePolicy = "auto"
    num_sharing: int = 1
    verdicts: Mapping[int, Verdict] = field(default_factory=dict)
    attempts: Mapping[int, int] = field(default_factory=dict)

    @property
    def devices(self) -> tuple[str, ...]:
        """The devices, each by its own name."""
        return tuple(name.strip() for name in self.device.split(","))


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A clip to be decoded alone, to see whether that kills or hangs the worker.

    Attributes:
        root: Folder of the clips.
        clip: The suspect.
        frames: Which frames are kept, as `FrameSelection` reads it.
        clip_timeout_s: Seconds without progress after which it is given up.
        timing: How frames are counted.
    """

    root: Path
    clip: PlannedClip
    frames: str
    clip_timeout_s: float
    timing: Timing = "frames"


@dataclass(frozen=True, slots=True)
class Started:
    """Decoding of a clip begins."""

    clip_id: int


@dataclass(frozen=True, slots=True)
class Ended:
    """Decoding of a clip has ended, well or not."""

    clip_id: int


@dataclass(frozen=True, slots=True)
class Alive:
    """The worker's heartbeat.

    Attributes:
        stalled: Numbers of the clips that made no progress for too long.
    """

    stalled: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Advanced:
    """How far the worker is.

    Attributes:
        num_clips: Clips it has done.
        num_frames: Frames of them that went through the network.
        wait_s: Seconds that the network waited for frames.
    """

    num_clips: int
    num_frames: int
    wait_s: float


@dataclass(frozen=True, slots=True)
class ShardDone:
    """A shard is published."""

    shard: str


@dataclass(frozen=True, slots=True)
class Logged:
    """A line for the log."""

    text: str


@dataclass(frozen=True, slots=True)
class Failed:
    """The worker cannot go on: the job ends with this error."""

    error: Exception


@dataclass(frozen=True, slots=True)
class Finished:
    """The worker has done all it was asked to."""


Message = Started | Ended | Alive | Advanced | ShardDone | Logged | Failed | Finished
