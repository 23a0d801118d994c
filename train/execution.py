"""Running jobs: seeds one by one, stacked into one program, or in several processes."""

import io
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr
from typing import TYPE_CHECKING

from ta3n.common.errors import TrainingError, UsageError
from ta3n.common.log import LOGGER
from ta3n.train.runs import RunResult

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from ta3n.train.checks import RunSettings
    from ta3n.train.job import TrainingJob
    from ta3n.train.session import RunData
    from ta3n.train.videos import DomainVideos, Video

Task = tuple["TrainingJob", Sequence[int]]
"""A job and those of its seeds that are trained together, or one after another."""


class FeatureCache:
    """The features that the jobs of one call share, read once."""

    def __init__(self) -> None:
        # By identity of the list of videos, which is held so that its identity stays its own.
        self._read: dict[int, tuple[object, Tensor]] = {}

    def load(self, side: "DomainVideos", videos: "Sequence[Video]") -> "Tensor":
        """Return the features of some of a domain's videos, [N, K, D]."""
        from ta3n.train.features import load_features

        known = self._read.get(id(videos))
        if known is None:
            features = load_features(side.folder, videos, side.manifest.config.feature_dim)
            known = self._read[id(videos)] = (videos, features)
        return known[1]


def run_jobs(jobs: "Sequence[TrainingJob]", processes: int = 1) -> list[list[RunResult]]:
    """Train every seed of every job that is not finished; return the results of all.

    Args:
        jobs: One a row, trained one after another.
        processes: How many processes train side by side, each with one thread of torch.

    Raises:
        TrainingError: If a run cannot start, its loss stops being finite, or a process died.
        FeatureStoreError: If features or a run folder are damaged.
        DeviceError: If the device is not there.
        UsageError: If several processes are to share a GPU.
        OSError: If a run folder cannot be written.
    """
    todo = {number: _unfinished(job) for number, job in enumerate(jobs)}
    if processes > 1 and any(todo.values()):
        _run_parallel([(jobs[number], seeds) for number, seeds in todo.items() if seeds], processes)
    else:
        cache = FeatureCache()
        for number, job in enumerate(jobs):
            # Rows may share their runs, so what is left is asked again before each.
            if todo[number] and (seeds := _unfinished(job)):
                train(job, seeds, cache)
    return [_results(job) for job in jobs]


def train(job: "TrainingJob", seeds: Sequence[int], cache: FeatureCache) -> list[RunResult]:
    """Train some seeds of a job here, stacked if the job's policy says so.

    Args:
        job: What to run.
        seeds: Which of its seeds.
        cache: Where features are taken from.
    """
    # Torch is imported only where there is work: finished runs answer at once.
    from ta3n.common.device import resolve_device
    from ta3n.train.session import run_seed, run_stacked

    device = resolve_device(job.device)
    data = _load(job, cache)
    settings = [_settings(job, seed) for seed in seeds]
    for seed in seeds:
        job.folder(seed).write_start(job.config, seed)
    if len(seeds) > 1 and stacks(job, device):
        LOGGER.info("%s: %d seeds as one program", job.method.name, len(seeds))
        return run_stacked(settings, data, [job.folder(seed) for seed in seeds], device)
    return [run_seed(each, data, job.folder(each.seed), device) for each in settings]


def stacks(job: "TrainingJob", device: "torch.device") -> bool:
    """Say whether seeds of a job are trained as one program on a device.

    `auto` stacks on a GPU, where one seed leaves most of the device idle. On a CPU it does not:
    one seed keeps the cores busy already.
    """
    return job.stack == "on" or (job.stack == "auto" and device.type == "cuda")


def _unfinished(job: "TrainingJob") -> list[int]:
    return [seed for seed in job.seeds if job.folder(seed).read_result() is None]


def _results(job: "TrainingJob") -> list[RunResult]:
    results = [job.folder(seed).read_result() for seed in job.seeds]
    LOGGER.info(
        "%s: %d of %d seeds are done, runs in %s",
        job.method.name,
        sum(result is not None for result in results),
        len(results),
        job.folder(job.seeds[0]).path.parent,
    )
    return [result for result in results if result is not None]


def _run_parallel(unfinished: Sequence[Task], processes: int) -> None:
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    from ta3n.common.device import resolve_device

    if any(resolve_device(job.device).type == "cuda" for job, _ in unfinished):
        raise UsageError(
            f"--jobs {processes} starts processes for a CPU, and this would run on a GPU; there "
            "seeds are stacked instead. Give --device cpu, or leave out --jobs"
        )
    tasks = _tasks(unfinished)
    LOGGER.info("%d processes for %d pieces of work", min(processes, len(tasks)), len(tasks))
    done = 0
    try:
        work = Parallel(n_jobs=processes, backend="loky", return_as="generator_unordered")
        for name, results in work(delayed(_train_alone)(*task) for task in tasks):
            done += 1
            _log_done(name, results, done, len(tasks))
    except TerminatedWorkerError as error:
        raise TrainingError(
            f"a worker process died, most likely killed for want of memory ({done} of "
            f"{len(tasks)} pieces of work are done and kept); run the same command line again, "
            "with fewer --jobs"
        ) from error


def _tasks(unfinished: Sequence[Task]) -> list[Task]:
    """Cut work into pieces: a seed each, or all seeds of a row that is stacked; no run twice."""
    tasks: list[Task] = []
    taken = set()
    for job, seeds in unfinished:
        own = [seed for seed in seeds if job.folder(seed).path not in taken]
        taken |= {job.folder(seed).path for seed in own}
        tasks += [(job, own)] if job.stack == "on" and own else [(job, [seed]) for seed in own]
    return tasks


def _train_alone(job: "TrainingJob", seeds: Sequence[int]) -> tuple[str, list[RunResult]]:
    """Train in a worker process, with one thread: the processes are what runs side by side."""
    import torch

    torch.set_num_threads(1)
    with redirect_stderr(_NoTerminal()):
        return job.method.name, train(job, seeds, FeatureCache())


class _NoTerminal(io.TextIOBase):
    """Standard error, but no terminal: the bars of several processes would overwrite each other."""

    def write(self, text: str) -> int:
        """Pass text on."""
        return sys.__stderr__.write(text) if sys.__stderr__ else len(text)


def _log_done(name: str, results: Sequence[RunResult], done: int, total: int) -> None:
    from ta3n.train.session import log_result

    LOGGER.info("%d of %d: %s", done, total, name)
    for result in results:
        log_result(result)


def _settings(job: "TrainingJob", seed: int) -> "RunSettings":
    from ta3n.train.checks import RunSettings

    return RunSettings(
        method=job.method,
        recipe=job.recipe,
        adaptation=job.adaptation,
        num_classes=len(job.benchmark.class_names),
        seed=seed,
    )


def _load(job: "TrainingJob", cache: FeatureCache) -> "RunData":
    """Read the features that the method needs; target training labels are never among them."""
    from ta3n.train.batches import TrainingData
    from ta3n.train.features import labels_of
    from ta3n.train.session import RunData

    learned = job.target if job.method.trains_on == "target" else job.source
    target = cache.load(job.target, job.target.train) if job.method.uses_target else None
    return RunData(
        training=TrainingData(
            source_features=cache.load(learned, learned.train),
            source_labels=labels_of(learned.train),
            target_features=target,
        ),
        val_features=cache.load(job.target, job.target.val),
        val_labels=labels_of(job.target.val),
        val_videos=[video.clip.path for video in job.target.val],
    )
