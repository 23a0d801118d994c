"""The stages of extraction, each by itself, for `bench`. Every function returns a frame count."""

import multiprocessing
import tempfile
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ta3n.common.records import PlannedClip
from ta3n.common.sampling import FrameSelection
from ta3n.common.video import RgbImage, VideoReader, write_video
from ta3n.extract.backbones import IMAGE_SIZE
from ta3n.extract.decoding.decode import ClipOutcome, decode_clip
from ta3n.extract.decoding.prefetch import ClipFeed
from ta3n.extract.inference.engine import Engine
from ta3n.extract.inference.preprocessing import crop
from ta3n.extract.inference.resize import resize_and_crop
from ta3n.extract.worker.heartbeat import Reporter
from ta3n.extract.worker.pipeline import make_shards
from ta3n.extract.worker.protocol import ShardTask, Work

_WIDTH, _HEIGHT, _TEXEL = 320, 240, 8
_NETWORK_RUNS = 3


def make_clips(folder: Path, count: int, num_frames: int) -> list[Path]:
    """Encode clips like UCF101's: MPEG-4 in AVI, 320 by 240."""
    paths = [folder / f"{number}.avi" for number in range(count)]
    for number, path in enumerate(paths):
        write_video(path, _moving(number, num_frames), frame_rate=25, codec="mpeg4")
    return paths


def _moving(seed: int, num_frames: int) -> Iterator[RgbImage]:
    size = (_HEIGHT // _TEXEL, _WIDTH // _TEXEL, 3)
    texture = np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)
    image = texture.repeat(_TEXEL, axis=0).repeat(_TEXEL, axis=1)
    return (np.roll(image, 3 * shift, axis=1) for shift in range(num_frames))


def first_frames(path: Path, count: int) -> list[RgbImage]:
    """Return the first frames of a clip."""
    with VideoReader(path) as reader:
        return [frame.rgb() for frame, _ in zip(reader.frames(), range(count), strict=False)]


def decode_only(clips: Sequence[Path]) -> int:
    """Decode on one thread, converting nothing."""
    num_frames = 0
    for path in clips:
        with VideoReader(path) as reader:
            num_frames += sum(1 for _ in reader.frames())
    return num_frames


def decode_and_convert(clips: Sequence[Path]) -> int:
    """Decode on one thread and convert every frame to RGB."""
    num_frames = 0
    for path in clips:
        with VideoReader(path) as reader:
            num_frames += sum(1 for frame in reader.frames() if frame.rgb() is not None)
    return num_frames


def resize_by_pillow(frames: Sequence[RgbImage]) -> int:
    """Resize and crop on one thread with Pillow."""
    return sum(1 for pixels in frames if crop(pixels) is not None)


def resize_by_tensors(frames: Tensor) -> int:
    """Resize and crop uint8 frames [N, H, W, 3] where they are."""
    wait_for(resize_and_crop(frames, IMAGE_SIZE))
    return len(frames)


def run_network(network: nn.Module, batch: Tensor) -> int:
    """Run a batch a few times over."""
    with torch.inference_mode():
        for _ in range(_NETWORK_RUNS):
            wait_for(network(batch))
    return _NETWORK_RUNS * len(batch)


def wait_for(result: Tensor) -> None:
    """Wait until a device has computed something."""
    result.flatten()[0].item()


def cropped_by_threads(clips: Sequence[Path], num_threads: int) -> int:
    """Decode, convert and crop in threads; count the crops that arrive."""
    with ClipFeed(clips, _crops_of, num_threads=num_threads) as feed:
        return sum(1 for _, crops in feed for _ in crops)


def _crops_of(path: Path) -> Generator[RgbImage, None, ClipOutcome]:
    return decode_clip(path, FrameSelection())


class ProcessDecoders:
    """Processes that decode, convert and crop, to be compared with threads.

    Args:
        count: Number of processes.
    """

    def __init__(self, count: int) -> None:
        self._pool = ProcessPoolExecutor(count, multiprocessing.get_context("spawn"))
        # They are to be running before anything is measured.
        list(self._pool.map(len, [()] * count))

    def crop(self, clips: Sequence[Path]) -> int:
        """Return how many crops arrive here."""
        return sum(len(crops) for crops in self._pool.map(_list_of_crops, clips))

    def close(self) -> None:
        """End the processes."""
        self._pool.shutdown()


def _list_of_crops(path: Path) -> list[RgbImage]:
    return list(_crops_of(path))


class PipelineRuns:
    """Whole extractions of the same clips, each to a folder of its own.

    Args:
        work: What to do, without shards.
        engine: Computes features.

    Attributes:
        last_feed: Of the last run; it knows who waited for whom.
    """

    def __init__(self, work: Work, engine: Engine) -> None:
        self._work = work
        self._engine = engine
        self.last_feed: ClipFeed[PlannedClip]

    def extract(self, clips: Sequence[Path], num_frames: int) -> int:
        """Extract clips of `num_frames` frames altogether into one shard."""
        folder = Path(tempfile.mkdtemp(dir=self._work.folder))
        task = ShardTask(shard="shard-00000", clips=tuple(map(_planned, range(len(clips)), clips)))
        work = replace(self._work, folder=folder, tasks=(task,))
        self.last_feed = make_shards(work, Reporter(), self._engine)
        return num_frames


def _planned(number: int, path: Path) -> PlannedClip:
    return PlannedClip(
        id=number,
        path=path.name,
        class_name="bench",
        splits={},
        size_bytes=path.stat().st_size,
        mtime_ns=0,
        shard="shard-00000",
    )
