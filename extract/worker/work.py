"""What an extraction job has to do: shards to be made, and all that it takes."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ta3n.common.records import FeatureConfig, PlannedClip
from ta3n.extract.backbones import Backbone
from ta3n.extract.worker.quarantine import Quarantined

if TYPE_CHECKING:
    # It decodes, which a finished folder does not need.
    from ta3n.extract.decoding.passes import Pass

DECODER_COMMAND = (sys.executable, "-P", "-m", "ta3n.extract.decoders")
"""Starts a decoder process."""


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

    def passes(self, left_out: Mapping[int, object]) -> list[Pass]:
        """Return the clips that are neither kept nor left out, sections of one video together."""
        found: list[Pass] = []
        for clip in self.to_decode:
            if clip.id in left_out:
                continue
            before = found[-1][0] if found else None
            if before and before.section and clip.section and before.file == clip.file:
                found[-1] += (clip,)
            else:
                found.append((clip,))
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """All that it takes to make shards; options are those of `ExtractSettings`.

    Attributes:
        root: Folder of the clips.
        folder: Feature folder of the dataset.
        decode_bytes: Of decoded frames that may wait; None follows from the device.
        num_sharing: Devices that share the CPUs of this process.
        quarantined: Clips that are not decoded, by number.
        attempts: How often clips were tried before, by number.
        decoder_command: Starts a decoder process; without one clips are decoded in threads of this
            process, unprotected from those that crash or hang.
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
    decode_bytes: int | None = None
    clip_timeout_s: float = 60.0
    num_sharing: int = 1
    tasks: tuple[ShardTask, ...] = ()
    quarantined: Mapping[int, Quarantined] = field(default_factory=dict)
    attempts: Mapping[int, int] = field(default_factory=dict)
    decoder_command: tuple[str, ...] = ()

    @property
    def devices(self) -> tuple[str, ...]:
        """Each by its own name."""
        return tuple(name.strip() for name in self.device.split(","))
