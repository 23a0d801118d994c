"""The clips of one domain: which there are, what they are called, how one is written."""

import os
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ta3n.common.video import write_video
from ta3n.datasets.synthetic.looks import LOOKS, Domain
from ta3n.datasets.synthetic.motions import MOTIONS
from ta3n.datasets.synthetic.render import render
from ta3n.datasets.synthetic.scene import clip_streams, draw_scene

Role = Literal["train", "test"]

CLIPS_PER_GROUP = 4
_PART = ".part"
_STALE_AFTER_S = 3600.0


@dataclass(frozen=True, slots=True)
class ClipName:
    """One clip of a domain; together with the seed it says everything about the content.

    Attributes:
        domain: Which domain.
        motion: Index into `MOTIONS`.
        group: Number of the group, from 1; odd groups are tested on, even ones trained on.
        clip: Number within the group, from 1.
    """

    domain: Domain
    motion: int
    group: int
    clip: int

    @property
    def path(self) -> str:
        """Path within the dataset's folder, `<Class>/v_<Class>_gGG_cCC.<suffix>`."""
        name = MOTIONS[self.motion].name
        suffix = LOOKS[self.domain].suffix
        return f"{name}/v_{name}_g{self.group:02d}_c{self.clip:02d}{suffix}"


def clip_names(domain: Domain, role: Role, clips_per_class: int) -> Iterator[ClipName]:
    """Yield the clips of one role, class by class.

    Groups are numbered so that a clip's role and content do not depend on how many there are.
    """
    for motion in range(len(MOTIONS)):
        for index in range(clips_per_class):
            group, clip = divmod(index, CLIPS_PER_GROUP)
            yield ClipName(domain, motion, 2 * group + (2 if role == "train" else 1), clip + 1)


def write_clip(root: Path, name: ClipName, seed: int) -> None:
    """Render and encode one clip; it has its name when it is complete, and not before.

    Any number of jobs may write the same clip at once: they write the same bytes.

    Raises:
        OSError: The folder cannot be written.
    """
    path = root / name.path
    path.parent.mkdir(parents=True, exist_ok=True)
    look, motion = LOOKS[name.domain], MOTIONS[name.motion]
    scene = draw_scene(*clip_streams(seed, name.domain, motion, name.group, name.clip), look)
    # Hidden, so that a listing passes over it; FFmpeg takes the container from the suffix.
    part = path.with_name(f".{path.stem}.{os.getpid()}-{secrets.token_hex(4)}{_PART}{path.suffix}")
    try:
        write_video(
            part,
            render(scene, motion, look),
            frame_rate=look.frame_rate,
            codec=look.codec,
            pixel_format=scene.size.pixel_format,
            options=look.codec_options,
        )
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def remove_stale_parts(root: Path) -> None:
    """Remove what killed runs left half-written; younger files may belong to a run beside this."""
    oldest = time.time() - _STALE_AFTER_S
    for motion in MOTIONS:
        for part in (root / motion.name).glob(f".*{_PART}.*"):
            try:
                if part.stat().st_mtime < oldest:
                    part.unlink()
            except FileNotFoundError:  # another job was first
                continue
