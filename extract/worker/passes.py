"""What is decoded at once: a clip, or all sections of a video that are asked for."""

from collections.abc import Callable, Generator
from pathlib import Path
from typing import TypeAlias

from ta3n.common.records import FeatureConfig
from ta3n.common.sampling import FrameSelection
from ta3n.common.video import RgbImage, nothing
from ta3n.extract.decoding.decode import ClipOutcome, decode_clip, decode_sections
from ta3n.extract.inference.preprocessing import Cropper, crop
from ta3n.extract.worker.messages import Pass

Outcomes: TypeAlias = tuple[ClipOutcome, ...]
"""How each clip of a pass ended."""


def decode_pass(
    root: Path,
    clips: Pass,
    config: FeatureConfig,
    on_packet: Callable[[], None] = nothing,
    *,
    cropper: Cropper = crop,
) -> Generator[RgbImage, None, Outcomes]:
    """Yield the crops of a clip, or of sections of one video; return how each ended.

    Args:
        root: Folder of the clips.
        config: Says which frames are kept, and how clips are read.
        on_packet: Called whenever a packet was read.
        cropper: Applied to every frame that is kept.
    """
    path, selection = root / clips[0].file, FrameSelection.parse(config.frames)
    sections = [clip.section for clip in clips if clip.section is not None]
    if not sections:
        outcome = yield from decode_clip(
            path, selection, on_packet, timing=config.timing, cropper=cropper,
            reading=config.reading, window=config.clip_window,
        )  # fmt: skip
        return (outcome,)
    return (
        yield from decode_sections(
            path, sections, selection, on_packet, timing=config.timing, cropper=cropper,
            reading=config.reading, window=config.clip_window,
        )
    )  # fmt: skip
