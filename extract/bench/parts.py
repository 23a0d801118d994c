"""The parts of stage one, each by itself."""

import multiprocessing
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ta3n.common.records import PlannedClip
from ta3n.common.sampling import FrameSelection
from ta3n.common.video import Frame, RgbImage, VideoReader, write_video
from ta3n.extract.decoding.decode import decode_clip
from ta3n.extract.decoding.prefetch import ClipFeed
from ta3n.extract.inference.engine import Engine
from ta3n.extract.worker.messages import Reporter, ShardTask, Work
from ta3n.extract.worker.shards import extract_shards

_WIDTH, _HEIGHT, _TEXEL = 320, 240, 8
_NETWORK_RUNS = 3


def make_clips(folder: Path, count: int, num_frames: int) -> list[Path]:
    """Encode clips like UCF101's: MPEG-4 in AVI, 320 by 240."""
    paths = [folder / f"{number}.avi" for number in range(count)]
    size = (_HEIGHT // _TEXEL, _WIDTH // _TEXEL, 3)
    for seed, path in enumerate(paths):
        texture = np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)
        image = texture.repeat(_TEXEL, axis=0).repeat(_TEXEL, axis=1)
        moving = (np.roll(image, 3 * shift, axis=1) for shift in range(num_frames))
        write_video(path, moving, frame_rate=25, codec="mpeg4")
    return paths


def frames_of(clips: Iterable[Path]) -> Iterator[Frame]:
    """Decode clips on one thread; nothing is converted yet."""
    for path in clips:
        with VideoReader(path) as reader:
            yield from reader.frames()


def first_frames(path: Path, count: int) -> list[RgbImage]:
    """Return the first frames of a clip."""
    return [frame.rgb() for frame in islice(frames_of([path]), count)]


def run_network(network: nn.Module, batch: Tensor) -> int:
    """Run a batch a few times over; return how many images that were."""
    with torch.inference_mode():
        for _ in range(_NETWORK_RUNS):
            wait_for(network(batch))
    return _NETWORK_RUNS * len(batch)


def wait_for(result: Tensor) -> int:
    """Wait until a device has computed something; return its length."""
    result.flatten()[0].item()
    return len(result)


def cropped_by_threads(clips: Sequence[Path], num_threads: int) -> int:
    """Decode, convert and crop in threads; count the crops that arrive."""
    feed = ClipFeed(
        clips, lambda path: decode_clip(path, FrameSelection()), num_threads=num_threads
    )
    with feed:
        return sum(1 for _, crops in feed for _ in crops)


def cropped_by_processes(clips: Sequence[Path], pool: ProcessPoolExecutor) -> int:
    """Decode, convert and crop in processes; count the crops that arrive."""
    return sum(len(crops) for crops in pool.map(_crops_of, clips))


def _crops_of(path: Path) -> list[RgbImage]:
    return list(decode_clip(path, FrameSelection()))


def decoding_processes(count: int) -> ProcessPoolExecutor:
    """Start processes that decode, to be compared with threads."""
    pool = ProcessPoolExecutor(count, multiprocessing.get_context("spawn"))
    # They are to be running before anything is measured.
    list(pool.map(len, [()] * count))
    return pool


def whole_pipeline(work: Work, engine: Engine, clips: Sequence[Path]) -> ClipFeed[PlannedClip]:
    """Extract clips into one shard, in a folder of its own; return the feed, used up."""
    folder = Path(tempfile.mkdtemp(dir=work.folder))
    task = ShardTask(shard="shard-00000", clips=tuple(map(_planned, range(len(clips)), clips)))
    return extract_shards(replace(work, folder=folder, tasks=(task,)), Reporter(), engine)


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
