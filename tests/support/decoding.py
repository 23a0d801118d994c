"""Clips decoded in one call, and what holds of each."""

from pathlib import Path

from ta3n.common.sampling import FrameSelection
from ta3n.common.video import RgbImage
from ta3n.extract.decoding.decode import ClipOutcome, decode_clip, drain

ALL, FIVE = FrameSelection(), FrameSelection(5)


def decode(path: Path, selection: FrameSelection = ALL) -> tuple[list[RgbImage], ClipOutcome]:
    """Return a clip's crops, and what became of it."""
    crops: list[RgbImage] = []
    outcome = drain(decode_clip(path, selection), crops.append)
    return crops, outcome


def check(outcome: ClipOutcome, num_crops: int, selection: FrameSelection) -> None:
    """Check what holds for every clip, whatever befell it."""
    assert bool(outcome.error) == (outcome.status != "ok")
    if outcome.status in {"ok", "partial"}:
        assert num_crops == len(outcome.frame_numbers) > 0
        assert outcome.frame_numbers == tuple(selection.indices(outcome.num_frames))
    elif outcome.status == "empty":
        assert num_crops == outcome.num_frames == 0
    if outcome.status == "partial":
        assert outcome.error.startswith(f"{outcome.num_frames} frames decoded, ")
