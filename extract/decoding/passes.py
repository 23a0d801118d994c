"""What is decoded at once: a clip, or all sections of a video that are asked for."""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from ta3n.common.records import FeatureConfig, PlannedClip
from ta3n.common.sampling import FrameSelection
from ta3n.common.video import RgbImage, nothing
from ta3n.extract.decoding.decode import ClipOutcome, decode_clip, decode_sections
from ta3n.extract.inference.preprocessing import Cropper, crop

Pass: TypeAlias = tuple[PlannedClip, ...]
"""What is decoded at once: one clip, or sections of one video."""
Outcomes: TypeAlias = tuple[ClipOutcome, ...]
"""How each clip of a pass ended."""


@dataclass(frozen=True, slots=True)
class PassDecoding:
    """Decodes one pass after another.

    Args:
        root: Folder of the clips.
        config: Says which frames are kept, and how clips are read.
        cropper: Applied to every frame that is kept.
    """

    root: Path
    config: FeatureConfig
    cropper: Cropper = crop

    def __call__(
        self, clips: Pass, on_packet: Callable[[], None] = nothing
    ) -> Generator[RgbImage, None, Outcomes]:
        """Yield the crops of a clip, or of sections of one video; return how each ended.

        Args:
            on_packet: Called whenever a packet was read.
        """
        path, config = self.root / clips[0].file, self.config
        selection = FrameSelection.parse(config.frames)
        more: dict[str, Any] = {
            "timing": config.timing,
            "cropper": self.cropper,
            "reading": config.reading,
            "window": config.clip_window,
        }
        sections = [clip.section for clip in clips if clip.section is not None]
        if sections:
            return (yield from decode_sections(path, sections, selection, on_packet, **more))
        outcome = yield from decode_clip(path, selection, on_packet, **more)
        return (outcome,)
