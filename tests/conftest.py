"""Fixtures for all tests."""

import logging
import os
from pathlib import Path

import pytest

if int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")) > 1:
    # Before torch is imported, here or by a command that a test starts.
    os.environ["OMP_NUM_THREADS"] = "1"

from ta3n.common.device import allowed_cpus
from ta3n.common.log import LOGGER
from ta3n.common.video import write_video
from ta3n.extract.job import plan

from .support.videos import WriteClip, moving_square

MOST_WORKERS = 8


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return how many workers share the tests: the CPUs allowed here, and no more than pay."""
    return min(allowed_cpus(), MOST_WORKERS)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of real clips and reference files that TA3N_SHARED names."""
    folder = os.environ.get("TA3N_SHARED")
    if not folder:
        pytest.skip("TA3N_SHARED is not set: no folder of real clips and reference files")
    return Path(folder)


@pytest.fixture(scope="session")
def write_clip() -> WriteClip:
    """Return a function that encodes a small clip and returns its path."""

    def write(
        path: Path,
        num_frames: int = 12,
        *,
        width: int = 96,
        height: int = 64,
        seed: int = 0,
        codec: str = "mpeg4",
        pixel_format: str = "yuv420p",
        frame_rate: float = 25,
    ) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_video(
            path,
            moving_square(num_frames, width, height, seed),
            frame_rate=frame_rate,
            codec=codec,
            pixel_format=pixel_format,
        )
        return path

    return write


@pytest.fixture(scope="session")
def ucf_tree(tmp_path_factory: pytest.TempPathFactory, write_clip: WriteClip) -> Path:
    """Return a folder in UCF101's layout: 2 classes of 4 clips, half of them in the test split."""
    root = tmp_path_factory.mktemp("data") / "UCF-101"
    for number, name in enumerate(("Archery", "Biking")):
        for group in (1, 2, 8, 9):
            clip = root / name / f"v_{name}_g{group:02d}_c01.avi"
            write_clip(clip, 8 + group, seed=10 * number + group)
    return root


@pytest.fixture
def one_clip_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let small data make many shards."""
    monkeypatch.setattr(plan, "_CLIPS_PER_SHARD", 1)


@pytest.fixture(autouse=True)
def quiet_log() -> None:
    """Undo what a command of an earlier test set up: what it logs would not reach caplog."""
    LOGGER.handlers.clear()
    LOGGER.setLevel(logging.NOTSET)
    LOGGER.propagate = True


@pytest.fixture
def log(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> pytest.LogCaptureFixture:
    """Return what is told on the way, which our logger does not pass on."""
    monkeypatch.setattr(LOGGER, "propagate", True)
    caplog.set_level(logging.INFO)
    return caplog
