"""What many videos cost: memory beside the features in use, seconds, and processes that share them.

Made-up features of several sizes are trained on by `ta3n-train` itself, in a process of its own,
whose peak is taken; then the report is made of many runs. Run as
`python -P -m ta3n.train.bench_scale`. The largest size takes 2 GB of disk until the end, and twice
that of memory with the cache of the files.
"""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import numpy as np

from ta3n.common.cli import handles_errors
from ta3n.common.errors import TrainingError
from ta3n.common.records import (
    PLAN_NAME,
    ClipRecord,
    FeatureConfig,
    Plan,
    PlannedClip,
    ShardRecord,
    build_manifest,
    dump_record,
)
from ta3n.common.store import Features, crc32_of, write_shard
from ta3n.datasets.published.registry import PUBLISHED
from ta3n.datasets.reading.split_files import Role
from ta3n.train.runs.folder import RunFolder
from ta3n.train.runs.records import read_run

COMMAND = "ta3n.train.bench_scale"

SIZES = (12_500, 25_000, 50_000)
"""Videos of both domains; the largest is that of Kinetics-Gameplay."""
RUNS = (250, 500, 1000)
"""Runs in a report, each of settings of its own."""
_FEWEST = 120
"""Videos that show what a process takes by itself."""
_JOBS = 2
NUM_SEGMENTS = 5
(_BENCHMARK,) = (each for each in PUBLISHED if each.name == "kinetics-gameplay")
_CLIPS_IN_A_SHARD = 64
_TESTED = 10
"""Every so many videos are tested on."""


def make_features(features: Path, num_videos: int, feature_dim: int) -> int:
    """Write the feature folders of both domains, half of the videos each; return their bytes."""
    for number, dataset in enumerate(_BENCHMARK.sides):
        _make_domain(features / dataset, num_videos // 2, feature_dim, number)
    return 2 * (num_videos // 2) * NUM_SEGMENTS * feature_dim * 4


def _make_domain(folder: Path, num_videos: int, feature_dim: int, number: int) -> None:
    folder.mkdir(parents=True)
    config = FeatureConfig(
        dataset=folder.name,
        backbone="resnet101",
        weights="random:0",
        profile="ta3n",
        image_size=224,
        frames=f"segments:{NUM_SEGMENTS}",
        feature_dim=feature_dim,
    )
    classes = _BENCHMARK.class_names
    # By label first, as sorted paths are.
    labels = np.sort(np.arange(num_videos) % len(classes))
    planned = [
        plan_clip(n, classes[label], f"shard-{n // _CLIPS_IN_A_SHARD:05d}")
        for n, label in enumerate(labels.tolist())
    ]
    plan = Plan(config=config, selection="all", splits_origin="made up", clips=tuple(planned))
    (folder / PLAN_NAME).write_bytes(dump_record(plan))
    # A domain is a shift of all classes.
    centres = np.random.default_rng(0).random((len(classes), feature_dim), np.float32) + number / 2
    generator = np.random.default_rng(number)
    for first in range(0, num_videos, _CLIPS_IN_A_SHARD):
        here = slice(first, first + _CLIPS_IN_A_SHARD)
        around = centres[labels[here], None]
        noise = generator.random((len(around), NUM_SEGMENTS, feature_dim), np.float32)
        write_clips(folder, planned[here], around + noise, config.hash)
    build_manifest(folder)


def plan_clip(number: int, class_name: str, shard: str) -> PlannedClip:
    """Return a clip that there is not, one in ten of which is tested on."""
    role: Role = "test" if number % _TESTED == 0 else "train"
    return PlannedClip(
        id=number,
        path=f"{class_name}/{number:06d}.mp4",
        class_name=class_name,
        splits={"1": role},
        size_bytes=1,
        mtime_ns=1,
        shard=shard,
    )


def write_clips(
    folder: Path, planned: Sequence[PlannedClip], features: Features, config_hash: str = ""
) -> tuple[ClipRecord, ...]:
    """Write a shard of clips; return their records.

    Args:
        folder: For the shard.
        planned: N clips of one shard.
        features: Of all frames, [N, frames, width].
        config_hash: Of how they are made.
    """
    num, num_frames, width = features.shape
    clips = tuple(
        ClipRecord(
            **plan.model_dump(),
            status="ok",
            num_frames=num_frames,
            start=n * num_frames,
            length=num_frames,
            crc32=crc32_of(features[n]),
        )
        for n, plan in enumerate(planned)
    )
    record = ShardRecord(
        config_hash=config_hash,
        shard=planned[0].shard,
        num_rows=num * num_frames,
        provenance={},
        clips=clips,
    )
    frames = np.tile(np.arange(num_frames, dtype=np.int32), num)
    write_shard(folder, record, features.reshape(-1, width), frames)
    return clips


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a call of `ta3n-train` took.

    Attributes:
        peak: Bytes in memory at most, of one process; of several their sum, what they share once.
        own: Of them at most what no file backs, which alone the system can't take back when
            memory is short; the rest are pages of libraries.
        epoch_s: Seconds for an epoch of the first seed.
    """

    peak: int
    own: int
    seconds: float
    epoch_s: float


def train(features: Path, out: Path, *more: str) -> Cost:
    """Train for an epoch, and look at the memory of all processes meanwhile.

    Raises:
        TrainingError: If the call fails.
    """
    source, target = _BENCHMARK.sides
    line = [sys.executable, "-P", "-c", "from ta3n.train.cli import main; main()"]
    line += ["--device", "cpu", "--epochs", "1"]
    line += ["--source", source, "--target", target, "--features", str(features)]
    line += ["--out", str(out), "--allow-missing", *more]
    started = time.perf_counter()
    with subprocess.Popen(
        line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    ) as process:
        together = _Together(process.pid)
        told = process.stderr.read() if process.stderr else b""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        peak, own = together.stop()
    seconds = time.perf_counter() - started
    if process.returncode:
        raise TrainingError(told.decode().strip().rpartition("\n")[2])
    (first, *_) = sorted(out.rglob("environment.json"))
    return Cost(
        peak=peak if "--jobs" in more else 1024 * usage.ru_maxrss,
        own=own,
        seconds=seconds,
        epoch_s=json.loads(first.read_text())["seconds_per_epoch"],
    )


class _Together:
    """The most memory that the processes of a session took together, looked at now and then.

    What they share counts once, pages of libraries in full, whoever else has them open.
    """

    _SECONDS_BETWEEN_LOOKS = 0.1

    def __init__(self, session: int) -> None:
        self._session = session
        self._peak = self._own = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def stop(self) -> tuple[int, int]:
        """Return the bytes, and the most without those of mapped files."""
        self._over.set()
        self._thread.join()
        return self._peak, self._own

    def _look(self) -> None:
        while not self._over.wait(self._SECONDS_BETWEEN_LOOKS):
            found = [self._size(process) for process in Path("/proc").glob("[0-9]*")]
            own, of_files = zip(*found, strict=True)
            self._own = max(self._own, sum(own))
            self._peak = max(self._peak, sum(own) + max(of_files))

    def _size(self, process: Path) -> tuple[int, int]:
        """Return the bytes of a process, what it shares in parts, and those of mapped files."""
        with suppress(OSError, ValueError):
            if os.getsid(int(process.name)) == self._session:
                words = (process / "smaps_rollup").read_text().split()
                words += (process / "status").read_text().split()
                names = ("Pss_Anon:", "Pss_Shmem:", "RssFile:")
                anonymous, shared, of_files = (int(words[words.index(n) + 1]) for n in names)
                return 1024 * (anonymous + shared), 1024 * of_files
        return 0, 0


def _torch_alone() -> int:
    """Return the bytes that a process takes which has imported torch, and done nothing."""
    line = "import torch; from ta3n.common.device import peak_memory; print(peak_memory())"
    return int(subprocess.check_output([sys.executable, "-P", "-c", line]))


def measure_training(folder: Path, sizes: Sequence[int], feature_dim: int) -> None:
    """Print the cost of each size, and of runs side by side on the last one."""
    click.echo(f"torch alone: {_torch_alone() / 1e9:.2f} GB")
    make_features(folder / "few", _FEWEST, feature_dim)
    base = train(folder / "few", folder / "runs-few")
    click.echo(f"{_FEWEST} videos: {base.peak / 1e9:.2f} GB at most, {base.seconds:.1f} s")
    for place, size in enumerate(sizes):
        features = folder / str(size)
        num_bytes = make_features(features, size, feature_dim)
        cost = train(features, folder / f"runs-{size}")
        click.echo(
            f"{size} videos, features of {num_bytes / 1e9:.2f} GB: {_in_words(cost, num_bytes)}, "
            f"{_beyond(cost, base, num_bytes)}; "
            f"{cost.seconds:.1f} s, {1e3 * cost.seconds / size:.2f} ms a video, of which an epoch "
            f"{cost.epoch_s:.1f} s"
        )
        if place == len(sizes) - 1:
            more = ("--jobs", str(_JOBS), "--seeds", str(_JOBS), "--method", "source-only")
            together = train(features, folder / "runs-together", *more)
            alone = train(folder / "few", folder / "runs-few-together", *more)
            click.echo(
                f"{size} videos, {_JOBS} processes together: {_in_words(together, num_bytes)}, "
                f"{_beyond(together, alone, num_bytes)}"
            )
        shutil.rmtree(features)


def _in_words(cost: Cost, num_bytes: int) -> str:
    return (
        f"at most {cost.peak / 1e9:.2f} GB, {cost.peak / num_bytes:.2f} times the features, "
        f"{cost.own / num_bytes:.2f} without pages of libraries"
    )


def _beyond(cost: Cost, base: Cost, num_bytes: int) -> str:
    return f"{(cost.peak - base.peak) / num_bytes:.2f} beyond what {_FEWEST} videos take"


def measure_report(folder: Path, counts: Sequence[int]) -> None:
    """Print how long the report takes of so many runs, none of whose settings are another's."""
    from ta3n.train.report.write import write_report

    make_features(folder / "features", _FEWEST, 8)
    train(folder / "features", folder / "run")
    (made,) = (path.parent for path in (folder / "run").rglob("result.json"))
    for count in counts:
        out = folder / f"runs-{count}"
        for number in range(count):
            _copy(made, out, number)
        started = time.perf_counter()
        write_report([out], folder / "report", features=None, command="", pictures=False)
        seconds = time.perf_counter() - started
        click.echo(f"report of {count} runs: {seconds:.1f} s, {1e3 * seconds / count:.1f} ms a run")


def _copy(made: Path, out: Path, number: int) -> None:
    """Write a run once more, as if it were one of a search."""
    run = read_run(made)
    weights = {**run.config.settings["weights"], "gamma": number / 1000}
    config = replace(
        run.config,
        identity={**run.config.identity, "weights": weights},
        settings={**run.config.settings, "weights": weights},
    )
    folder = RunFolder(config.folder(out, run.seed))
    folder.write_start(config, run.seed)
    for name in ("metrics.jsonl", "predictions.csv", "environment.json", "result.json"):
        shutil.copy(made / name, folder.path / name)


@click.command(COMMAND)
@click.option("--size", "sizes", multiple=True, type=int, help="Videos; repeat for more.")
@click.option("--width", default=2048, show_default=True, type=click.IntRange(min=1))
@click.option("--runs", "counts", multiple=True, type=int, help="In a report; repeat for more.")
@click.option("--folder", type=click.Path(path_type=Path), help="For what is made up.")
@handles_errors(COMMAND)
def main(sizes: tuple[int, ...], width: int, counts: tuple[int, ...], folder: Path | None) -> None:
    """Measure what memory and time of training, and of the report, grow with."""
    with TemporaryDirectory(dir=folder) as made:
        measure_training(Path(made), sizes or SIZES, width)
        measure_report(Path(made), counts or RUNS)


if __name__ == "__main__":
    main()
