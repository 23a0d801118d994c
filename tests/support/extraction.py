"""Extraction jobs of small data, with decoders that break where a test wants it."""

import json
import sys
from pathlib import Path

import pytest

from ta3n.common.records import FeatureConfig, Manifest
from ta3n.common.shares import JobShare
from ta3n.common.store import Features, ShardReader, shard_path
from ta3n.datasets.benchmarks.registry import BUILT_IN_CATALOGUE
from ta3n.extract.backbones import BACKBONES
from ta3n.extract.job.plan import Scope, make_plan
from ta3n.extract.job.run import ExtractionJob
from ta3n.extract.worker.work import Work

BACKBONE = BACKBONES["resnet18"]
FAULTY = (sys.executable, "-P", str(Path(__file__).with_name("faulty_decoder.py")))
"""Command of a decoder that `set_faults` lets break."""


def job(
    root: Path,
    out: Path,
    *,
    frames: str = "segments:2",
    share: str | None = None,
    batch_size: int = 4,
    classes: tuple[str, ...] | None = None,
    weights: str = "random:0",
    retry_failed: bool = False,
    repair: bool = False,
    decoder_command: tuple[str, ...] = (),
    decode_threads: int = 2,
    clip_timeout_s: float = 60,
    selection: str | None = None,
    limit: int | None = None,
    device: str = "cpu",
) -> ExtractionJob:
    """Return a job on a tree in UCF101's layout, as the command line would make it."""
    listing = BUILT_IN_CATALOGUE.dataset("ucf101").scan(root, None, classes)
    config = FeatureConfig(
        dataset="ucf101",
        backbone=BACKBONE.name,
        weights=weights,
        profile="ta3n",
        image_size=224,
        frames=frames,
        feature_dim=BACKBONE.feature_dim,
    )
    work = Work(
        root=listing.root,
        folder=out,
        config=config,
        backbone=BACKBONE,
        weights=weights,
        device=device,
        batch_size=batch_size,
        decode_threads=decode_threads,
        clip_timeout_s=clip_timeout_s,
        decoder_command=decoder_command,
    )
    return ExtractionJob(
        work=work,
        plan=make_plan(listing, config, selection=selection or str(classes), limit=limit),
        scope=Scope.of(listing, classes),
        share=JobShare.parse(share) if share else None,
        retry_failed=retry_failed,
        repair=repair,
    )


def rows_of(folder: Path, manifest: Manifest) -> dict[str, Features]:
    """Return every clip's rows, by its path."""
    rows = {}
    for clip in manifest.clips:
        with ShardReader(shard_path(folder, clip.shard)) as shard:
            rows[clip.path] = shard.rows(clip.start, range(clip.length))
    return rows


def set_faults(monkeypatch: pytest.MonkeyPatch, **faults: str) -> None:
    """Let decoding break in `FAULTY`, by a clip's stem; `faulty_decoder` has the ways."""
    monkeypatch.setenv("TA3N_TEST_FAULTS", json.dumps(faults))
