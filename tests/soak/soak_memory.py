"""Resident memory over many clips, and of very large ones. Run by `make soak`."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from ta3n.common.records import ShardRecord, read_record
from ta3n.common.video import RgbImage, write_video

from ..support.tiny import memory_held
from ..support.videos import WriteClip, clips_of_all_kinds, moving_square

NUM_CLIPS = int(os.environ.get("TA3N_SOAK_CLIPS", "10000"))
EVERY = 1000


def test_memory_over_many_clips(
    tmp_path: Path, write_clip: WriteClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = clips_of_all_kinds(tmp_path / "clips", write_clip, NUM_CLIPS)
    held = memory_held(tmp_path, paths, monkeypatch, lambda num_clips: num_clips % EVERY == 0)
    for number, mb in enumerate(held, start=1):
        print(f"{number * EVERY:6d} clips: {mb:.1f} MB resident")
    assert held[-1] - held[0] < 32


def peak_mb_of_one(clip: Path, frames: str) -> float:
    """Extract one clip in a new process; return the memory that it took at most."""
    folder = clip.parent / frames.replace(":", "-")
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.one_clip", str(clip), str(folder), frames],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        check=True,
    )
    mb: dict[str, float] = json.loads(done.stdout)
    print(f"{clip.name}, {frames}: {mb['before']:.0f} MB before, {mb['most']:.0f} MB at most")
    return mb["most"] - mb["before"]


def test_a_hundred_thousand_frames(tmp_path: Path) -> None:
    num_frames = 100_000
    image = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)

    def frames(number: int) -> RgbImage:
        return np.roll(image, number, axis=1)

    path = tmp_path / "long.avi"
    write_video(path, map(frames, range(num_frames)), frame_rate=25, codec="mpeg4")
    started_s = time.monotonic()
    # The rows alone are 819 MB.
    assert peak_mb_of_one(path, "all") < 700
    assert peak_mb_of_one(path, "segments:5") < 150
    record = read_record(ShardRecord, tmp_path / "all" / "shard-00000.json")
    assert (record.clips[0].status, record.num_rows) == ("ok", num_frames)
    print(f"{time.monotonic() - started_s:.0f} s")


def test_a_4k_clip(tmp_path: Path) -> None:
    path = tmp_path / "large.mp4"
    frames = moving_square(60, 3840, 2160)
    write_video(path, frames, frame_rate=25, codec="libx264", options={"preset": "ultrafast"})
    for kind in ("all", "segments:5"):
        assert peak_mb_of_one(path, kind) < 1000
