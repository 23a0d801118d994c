"""Features of videos in memory: stage one as one function, without a dataset and without files.

Legend: F kept frames of a clip, D feature width.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from os import PathLike, fspath
from pathlib import Path
from threading import RLock
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError

from ta3n.common.device import resolve_device
from ta3n.common.errors import DeviceError, UsageError, first_line
from ta3n.common.records import ClipRecord, ClipStatus, FeatureConfig
from ta3n.common.sampling import Timing, WindowPad
from ta3n.common.store import Features
from ta3n.datasets.custom.loose import scan_videos
from ta3n.extract.backbones import Backbone
from ta3n.extract.decoders.pool import Frames
from ta3n.extract.inference.batches import RowSpool
from ta3n.extract.inference.engine import Engine, start_engine, torch_switched
from ta3n.extract.job.plan import feature_config, make_plan
from ta3n.extract.job.settings import ExtractSettings
from ta3n.extract.worker.publishing import ShardContent, ShardOrigin, shard_content
from ta3n.extract.worker.shards import ClipCollector, decoders_for
from ta3n.extract.worker.work import ShardTask, Work

_NETWORKS_KEPT = 2
# A network, and torch's switches, are for one call at a time.
_ONE_CALL = RLock()


@dataclass(frozen=True, kw_only=True, eq=False)
class ClipFeatures:
    """The features of one clip, or why there are none.

    Attributes:
        features: A row for each kept frame in time order, float32 [F, D]; F is 0 without features.
        frame_numbers: Number of each row's frame in the clip, from 0, int32 [F].
        status: `ok`; `partial`: damaged, fewer frames than there were; `empty`: no frame; `failed`.
        reason: Why the status is not `ok`, or empty.
        warning: What to know of features that are there, such as HDR colours, or empty.
        num_frames: Frames that decoding gave, or those of a constant rate where that was asked for.
        declared_frames: Frames that the container declares, or None.
        frame_rate: Frames per second, or None.
        config: All that decides the numbers; equal for all clips of a call.
    """

    features: Features
    frame_numbers: NDArray[np.int32]
    status: ClipStatus
    reason: str
    warning: str
    num_frames: int
    declared_frames: int | None
    frame_rate: float | None
    config: FeatureConfig


def extract_features(
    paths: str | PathLike[str] | Sequence[str | PathLike[str]],
    *,
    backbone: str = "resnet101",
    weights: str | PathLike[str] | None = None,
    profile: Literal["ta3n", "fast", "torchvision", "timm", "own"] | None = None,
    frames: str = "all",
    window: int | None = None,
    window_step: int | None = None,
    window_pad: WindowPad | None = None,
    timing: Timing = "frames",
    device: str = "auto",
    batch_size: int | None = None,
    decode_threads: int | None = None,
    compile: Literal["auto", "on", "off"] = "auto",  # noqa: A002  as the option is called
) -> dict[str, ClipFeatures]:
    """Decode videos and return features of their frames: the rows that `ta3n-extract` writes.

        from ta3n.extract import extract_features

        clips = extract_features(["one.mp4", "folder"], backbone="resnet50", frames="segments:5")
        for path, clip in clips.items():
            print(path, clip.status, clip.features.shape)  # /data/one.mp4 ok (5, 2048)

    All happens in this process, and no file is written. The network stays loaded for the next calls
    with the same backbone, weights, profile and device, until `release_networks`. Calls of several
    threads wait for each other. A damaged clip has its status and keeps no
    other from its features. But a clip that crashes the decoder takes this process with it, and one
    that hangs it is waited for: `ta3n-extract` survives both.

    Args:
        paths: A video or a folder, or several; of a folder all videos in it and below are taken.
        backbone: A classifier of torchvision, `efficientnet_lite0`, `timm:NAME`, `video:NAME`, or
            `python:MODULE:FACTORY`, whose code is run.
        weights: Name of published weights such as `imagenet1k_v1`, a file, or `random:SEED`; None
            takes the backbone's.
        profile: How a frame becomes the network's input, and in which precision it runs; None takes
            the backbone's.
        frames: `all`, or only those of `segments:K`, `every:N` or `fps:F`.
        window: Frames around a kept one that its row is of, for networks of clips; None takes what
            the backbone was trained on.
        window_step: Only every so many frames of the clip are in a window.
        window_pad: What stands for frames beyond a clip: `repeat` its first or last, or `zero`.
        timing: Frames as decoded (`frames`), or at a constant rate (`cfr`).
        device: `auto`, `cpu` or `cuda:N`.
        batch_size: Frames, or windows, in one forward pass, of each core on a CPU; None takes what
            suits.
        decode_threads: Clips decoded side by side; None follows the CPUs allowed.
        compile: Whether the network is compiled; `auto` does so on a GPU for profile `fast`.

    Returns:
        The features by absolute path, links to folders resolved, sorted by path.

    Raises:
        UsageError: For a value that is not known, or no path.
        DataMissingError: A path is not there, or a folder holds no video.
        WeightsError: The weights are missing, damaged, or of another network.
        DeviceError: The device is not there, or has not enough memory.
    """
    settings = _settings(
        backbone=backbone, weights=None if weights is None else fspath(weights), profile=profile,
        frames=frames, window=window, window_step=window_step, window_pad=window_pad,
        timing=timing, device=device, batch_size=batch_size, decode_threads=decode_threads,
        compile=compile,
    )  # fmt: skip
    given = [paths] if isinstance(paths, str | PathLike) else paths
    listing = scan_videos([Path(path) for path in given])
    described, named, config = feature_config(settings, listing.dataset)
    clips = make_plan(listing, config, selection="", limit=None).clips
    on = resolve_device(device)
    work = Work(
        root=listing.root,
        folder=Path(),  # nothing is written
        config=config,
        backbone=described,
        weights=named,
        device=str(on),
        decode_threads=decode_threads,
        tasks=(ShardTask(shard=clips[0].shard, clips=clips),),
    )
    try:
        with _ONE_CALL, torch_switched(config.profile, on):
            engine = _engine(
                described, named, config.weights, config.profile, str(on), batch_size, compile
            )
            try:
                content = _extract(work, engine)
            except BaseException as error:
                # Threads that were just being started would keep the process from ending.
                engine.close()
                _engine.cache_clear()
                # Where it comes while a condition takes its lock again, Python leaves the lock
                # free, and releasing it then hides the interruption behind a RuntimeError.
                if isinstance(error.__context__, KeyboardInterrupt):
                    raise error.__context__ from None
                raise
    except torch.OutOfMemoryError as error:
        raise DeviceError(
            f"{on} has not enough memory for {config.backbone}: {first_line(error)}; "
            "give a smaller batch_size, or call release_networks() first"
        ) from error
    return {
        str(listing.root / clip.path): _clip(clip, content, config) for clip in content.record.clips
    }


def release_networks() -> None:
    """Let go of the networks that calls of `extract_features` keep loaded, and of their memory."""
    with _ONE_CALL:
        _engine.cache_clear()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _forget() -> None:
    """Begin anew in a forked process: threads of the network are not there, a lock may be held."""
    global _ONE_CALL
    _ONE_CALL = RLock()
    _engine.cache_clear()


os.register_at_fork(after_in_child=_forget)


def _settings(**values: object) -> ExtractSettings:
    try:
        return ExtractSettings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        reason = first["msg"].removeprefix("Value error, ")
        raise UsageError(f"{first['loc'][0]} = {first['input']!r}: {reason}") from error


@lru_cache(maxsize=_NETWORKS_KEPT)
def _engine(
    backbone: Backbone,
    weights: str,
    _identity: str,
    profile: str,
    device: str,
    batch_size: int | None,
    compiled: str,
) -> Engine:
    """Return the network, loaded once; a file of weights that has changed has another identity."""
    return start_engine(
        backbone, weights, profile=profile, device=device, batch_size=batch_size, compiled=compiled
    )


def _extract(work: Work, engine: Engine) -> ShardContent:
    (task,) = work.tasks
    runner = engine.new_runner()
    collector = ClipCollector(runner, RowSpool(runner.feature_dim, None), len(task.clips))
    with decoders_for(work) as decoders:
        for item in decoders.decoded(task.passes({})):
            collector.add(item) if isinstance(item, Frames) else collector.end(item)
    runner.flush()
    origin = ShardOrigin(work.config.hash, engine.provenance)
    return shard_content(task.shard, task.clips, collector.decoded, collector.rows, origin)


def _clip(clip: ClipRecord, content: ShardContent, config: FeatureConfig) -> ClipFeatures:
    rows = slice(clip.start, clip.start + clip.length)
    return ClipFeatures(
        features=content.features[rows],
        frame_numbers=content.frames[rows],
        status=clip.status,
        reason=clip.error,
        warning=clip.warning,
        num_frames=clip.num_frames,
        declared_frames=clip.declared_frames,
        frame_rate=clip.frame_rate,
        config=config,
    )
