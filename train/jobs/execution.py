"""Running jobs: seeds one by one, stacked into one program, or in several processes."""

import io
import sys
from collections.abc import Iterator, Sequence
from contextlib import redirect_stderr, suppress
from dataclasses import replace
from functools import partial
from itertools import compress, groupby
from os.path import commonpath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ta3n.common.errors import DivergedError, TrainingError, UsageError
from ta3n.common.files import canonical_json, sha256_of
from ta3n.common.log import LOGGER, counted
from ta3n.common.shares import JobShare, agree_on_count
from ta3n.train.data.videos import DomainVideos, Video, held_out
from ta3n.train.runs.folder import RunFolder, RunResult

if TYPE_CHECKING:
    import torch

    from ta3n.datasets.benchmarks.benchmark import BenchmarkRole
    from ta3n.train.data.features import Allocate, HeldOut, MappedFolder, RunData
    from ta3n.train.data.shared import SharedValue
    from ta3n.train.data.videos import Video
    from ta3n.train.jobs.job import TrainingJob
    from ta3n.train.model.videos import Videos

Task = tuple["TrainingJob", Sequence[int]]
"""A job and those of its seeds that are trained together, or one after another."""

_Lists = tuple[tuple[Video, ...], ...]

_HASH_DIGITS = 8


class FeatureCache:
    """The features that the jobs of one call share, read once.

    Args:
        allocate: Gives the memory that they are read into; None for that of this process.
    """

    def __init__(self, allocate: "Allocate | None" = None) -> None:
        self._given = {} if allocate is None else {"allocate": allocate}
        # By identity of the lists of videos, which are held so that their identity stays their own.
        self._read: dict[tuple[tuple[int, ...], bool, bool], tuple[_Lists, Videos]] = {}
        self._held_out: dict[int, tuple[DomainVideos, DomainVideos]] = {}
        self._folders: dict[Path, MappedFolder] = {}

    def load(
        self, side: DomainVideos, part: "BenchmarkRole", *, drawn: bool = False, mapped: bool
    ) -> "Videos":
        """Return the features of a part of a domain's videos, see `load_part`."""
        return self.join((side,), part, drawn=drawn, mapped=mapped)

    def join(
        self,
        sides: Sequence[DomainVideos],
        part: "BenchmarkRole",
        *,
        drawn: bool = False,
        mapped: bool,
    ) -> "Videos":
        """Return the features of several domains, those of one after those of another."""
        from ta3n.train.data.features import load_part
        from ta3n.train.data.joined import join_videos

        lists = tuple(side.videos(part) for side in sides)
        key = tuple(map(id, lists)), drawn, mapped
        if key not in self._read:
            # What is joined is copied to where it is to be.
            given = self._given if len(sides) == 1 else {}
            folders = self._folders if mapped else None
            read = [load_part(side, part, drawn=drawn, mapped=folders, **given) for side in sides]
            self._read[key] = lists, join_videos(read, **self._given)
        return self._read[key][1]

    def lacks(self, sides: Sequence[DomainVideos], part: "BenchmarkRole", *, drawn: bool) -> bool:
        """Say whether features are not in memory yet."""
        return (tuple(id(side.videos(part)) for side in sides), drawn, False) not in self._read

    def held_out(self, job: "TrainingJob") -> tuple[DomainVideos, ...]:
        """Return the sources of a job with held-out videos alone to validate on, see `held_out`."""
        for source, dataset in zip(job.sources, job.source_datasets, strict=True):
            if id(source) not in self._held_out:
                kept = {video.clip.path for video in held_out(source, dataset)}
                self._held_out[id(source)] = source, source.validated_on(kept)
        return tuple(self._held_out[id(source)][1] for source in job.sources)

    def __getstate__(self) -> tuple[Any, ...]:
        # Without identities, which are those of this process, and mapped files.
        read = [(drawn, *kept) for (_, drawn, mapped), kept in self._read.items() if not mapped]
        return read, list(self._held_out.values())

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.__init__()  # type: ignore[misc]
        read, held_out = state
        self._read = {
            (tuple(map(id, lists)), drawn, False): (lists, kept) for drawn, lists, kept in read
        }
        self._held_out = {id(source): (source, kept) for source, kept in held_out}


_Shared = tuple[Sequence[Task], FeatureCache]
"""What the processes of one call share."""


def run_jobs(
    jobs: "Sequence[TrainingJob]", processes: int = 1, share: JobShare | None = None
) -> list[list[RunResult]]:
    """Train what is not finished; return the results that are there afterwards, for each job.

    A run that diverges is recorded as such, the others go on; it has no result, and is not tried
    again as long as its folder is there (`read_divergences`).

    Args:
        jobs: One a row, trained one after another.
        processes: How many processes train side by side, each with one thread of torch.
        share: Which of the tasks are this call's, see `list_tasks`; None does them all. Seeds of
            different tasks are never stacked, so that no figure depends on the number of shares.

    Raises:
        TrainingError: If a run cannot start, or a process died.
        FeatureStoreError: If features or a run folder are damaged.
        DataConflictError: If these tasks were cut into another number of shares.
        DeviceError: If the device is not there.
        UsageError: If several processes are to share a GPU, or a term needs larger batches.
        OSError: If a run folder cannot be written.
    """
    tasks = list_tasks(jobs)
    mine = tasks if share is None else _share(tasks, share)
    todo = list(_unfinished(mine))
    for job, _ in todo:
        # Before the first is trained, not after hours.
        job.run.check_batches([len(side.train) for side in _learned(job)], len(job.target.train))
    if processes > 1 and todo:
        _run_parallel(todo, processes)
    else:
        cache = FeatureCache()
        # Other jobs may be at the same runs, so what is left is asked again before each.
        for job, seeds in _unfinished(mine if share else _by_job(mine)):
            if len(jobs) > 1:
                LOGGER.info(_called(job, seeds))
            train(job, seeds, cache)
    results = [_results(job) for job in jobs]
    _log_state(jobs, results)
    return results


def list_tasks(jobs: "Sequence[TrainingJob]") -> list[Task]:
    """Cut jobs into pieces that any process may do, in an order that is always the same.

    A piece is one seed of a row; with `--stack on` it is a row with all its seeds, since they are
    one program. `auto` depends on the device, which must not decide who does what. Rows may share
    their runs: no run is in two pieces.
    """
    tasks: list[Task] = []
    taken = set()
    for job in jobs:
        own = [seed for seed in job.seeds if job.folder(seed).path not in taken]
        taken |= {job.folder(seed).path for seed in own}
        tasks += (
            [(job, own)] if job.settings.stack == "on" and own else [(job, [seed]) for seed in own]
        )
    return tasks


def train(job: "TrainingJob", seeds: Sequence[int], cache: FeatureCache) -> list[RunResult]:
    """Train some seeds of a job here, stacked if the job's policy says so.

    Args:
        job: What to run.
        seeds: Which of its seeds.
        cache: Where features are taken from.
    """
    # Torch is imported only where there is work: finished runs answer at once.
    from ta3n.common.device import resolve_device
    from ta3n.train.runs.session import run_seed, run_stacked

    device = resolve_device(job.settings.device)
    data = load_data(job, cache, mapped=is_mapped(job, cache, device))
    settings = [replace(job.run, seed=seed) for seed in seeds]
    for seed in seeds:
        job.folder(seed).write_start(job.config, seed)
    if len(seeds) > 1 and stacks(job, device):
        LOGGER.info("%s: %d seeds as one program", job.method.name, len(seeds))
        folders = [job.folder(seed) for seed in seeds]
        return run_stacked(settings, data, folders, device, tensorboard=job.settings.tensorboard)
    results = []
    for each in settings:
        folder = job.folder(each.seed)
        # Its folder says so, and the log.
        with suppress(DivergedError):
            results.append(
                run_seed(each, data, folder, device, tensorboard=job.settings.tensorboard)
            )
    return results


def stacks(job: "TrainingJob", device: "torch.device") -> bool:
    """Say whether seeds of a job are trained as one program on a device.

    `auto` stacks on a GPU, where one seed leaves most of the device idle. On a CPU it does not:
    one seed keeps the cores busy already.
    """
    if job.method.closed_form is not None:
        return False
    return job.settings.stack == "on" or (job.settings.stack == "auto" and device.type == "cuda")


def _share(tasks: Sequence[Task], share: JobShare) -> list[Task]:
    """Return a share of the tasks, once the folder agrees on the number of shares."""
    agree_on_count(shares_file(tasks), share)
    mine = share.of(tasks)
    left = sum(len(seeds) for _, seeds in _unfinished(mine))
    LOGGER.info(
        "part %s: %d of %d runs, of which %d are to be trained",
        share,
        sum(len(seeds) for _, seeds in mine),
        sum(len(seeds) for _, seeds in tasks),
        left,
    )
    return mine


def shares_file(tasks: Sequence[Task]) -> Path:
    """Return where it stands into how many parts this list of runs is cut.

    It is in the folder of the direction that all are of, or that of their benchmark.
    """
    runs = [
        str(job.folder(seed).path.relative_to(job.settings.out))
        for job, own in tasks
        for seed in own
    ]
    # Another list of runs may be cut into as many parts as it likes.
    name = f"shares-{sha256_of(canonical_json(runs))[:_HASH_DIGITS]}.json"
    return Path(commonpath({job.folder(0).path.parents[1] for job, _ in tasks})) / name


def _unfinished(tasks: Sequence[Task]) -> Iterator[Task]:
    """Yield the tasks with the seeds that are left, as it is when each is reached."""
    for job, seeds in tasks:
        if left := [seed for seed in seeds if not _is_over(job.folder(seed))]:
            yield job, left


def _is_over(folder: RunFolder) -> bool:
    return folder.is_finished() or folder.read_divergence() is not None


def _by_job(tasks: Sequence[Task]) -> list[Task]:
    """Put the tasks of a job together, which may then be stacked."""
    groups = [list(group) for _, group in groupby(tasks, key=lambda task: id(task[0]))]
    return [(group[0][0], [seed for _, seeds in group for seed in seeds]) for group in groups]


def _called(job: "TrainingJob", seeds: Sequence[int]) -> str:
    """Return which runs the lines that follow in a log are of."""
    config = job.config
    row = config.folder(job.settings.out, seeds[0]).parent.name
    named = f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"
    return f"{row}, {config.source} → {config.target}, {named}"


def _results(job: "TrainingJob") -> list[RunResult]:
    results = (job.folder(seed).read_figures() for seed in job.seeds)
    return [result for result in results if result is not None]


def _log_state(jobs: "Sequence[TrainingJob]", results: Sequence[Sequence[RunResult]]) -> None:
    """Log how far everything is: a line for each job, or one for all where names would repeat."""
    counts = [len(done) for done in results], [len(job.seeds) for job in jobs]
    directions = len({(job.config.source, job.config.target) for job in jobs})
    if directions > 1:
        rows = counted(len(jobs) // directions, "row")
        told = "%d of %d runs of %s in %d directions are done"
        LOGGER.info(told, *map(sum, counts), rows, directions)
        return
    if len({job.method.name for job in jobs}) < len(jobs):
        LOGGER.info("%d of %d runs of %d rows are done", *map(sum, counts), len(jobs))
        return
    for job, done, total in zip(jobs, *counts, strict=True):
        folder = job.folder(job.seeds[0]).path.parent
        LOGGER.info("%s: %d of %d seeds are done, runs in %s", job.method.name, done, total, folder)


def _run_parallel(tasks: Sequence[Task], processes: int) -> None:
    from ta3n.train.data.shared import SharedMemory

    processes = check_processes(tasks, processes)
    LOGGER.info("%d processes for %d pieces of work", processes, len(tasks))
    with SharedMemory() as memory:
        shared = memory.keep(_read_for_all(tasks, FeatureCache(memory.allocate)))
        _train_in_processes(shared, len(tasks), processes)


def _read_for_all(tasks: Sequence[Task], cache: FeatureCache) -> _Shared:
    """Read the features of all tasks, but for those that are to be left in their files.

    Returns:
        The tasks, for which that is decided, and what has the features.
    """
    import torch

    settled: dict[int, TrainingJob] = {}
    for job in {id(job): job for job, _ in tasks}.values():
        mapped = is_mapped(job, cache, torch.device("cpu"))
        settings = job.settings.model_copy(update={"load": "mapped" if mapped else "memory"})
        settled[id(job)] = replace(job, settings=settings)
        if not mapped:
            load_data(job, cache, mapped=False)
    return [(settled[id(job)], seeds) for job, seeds in tasks], cache


def _train_in_processes(shared: "SharedValue[_Shared]", num_tasks: int, processes: int) -> None:
    from ta3n.train.jobs.workers import TerminatedWorkerError, run_in_processes

    done = 0

    def note(finished: tuple[str, list[RunResult]]) -> None:
        nonlocal done
        done += 1
        _log_done(*finished, done, num_tasks)

    try:
        run_in_processes(_train_alone, [(n,) for n in range(num_tasks)], processes, note, shared)
    except TerminatedWorkerError as error:
        raise TrainingError(
            f"a worker process died, most likely killed for want of memory ({done} of "
            f"{num_tasks} pieces of work are done and kept); run the same command line again, "
            "with fewer --jobs"
        ) from error


def check_processes(tasks: Sequence[Task], processes: int) -> int:
    """Return how many processes would be started, at least one.

    Raises:
        UsageError: If several are to share a GPU.
        DeviceError: If the device is not there.
    """
    from ta3n.common.device import allowed_cpus, resolve_device

    if processes == 1:
        return 1
    if any(resolve_device(job.settings.device).type == "cuda" for job, _ in tasks):
        raise UsageError(
            f"--jobs {processes} starts processes for a CPU, and this would run on a GPU; there "
            "seeds are stacked instead. Give --device cpu, or leave out --jobs"
        )
    if processes > allowed_cpus():
        LOGGER.warning("--jobs %d, but only %d CPUs may be used", processes, allowed_cpus())
    return min(processes, len(tasks), allowed_cpus())


def _train_alone(shared: _Shared, number: int) -> tuple[str, list[RunResult]]:
    """Train in a worker process, with one thread: the processes are what runs side by side."""
    import torch

    torch.set_num_threads(1)
    tasks, cache = shared
    job, seeds = tasks[number]
    with redirect_stderr(_NoTerminal()):
        return _called(job, seeds), train(job, seeds, cache)


class _NoTerminal(io.TextIOBase):
    """Standard error, but no terminal: the bars of several processes would overwrite each other."""

    def write(self, text: str) -> int:
        """Pass text on."""
        return sys.__stderr__.write(text) if sys.__stderr__ else len(text)


def _log_done(name: str, results: Sequence[RunResult], done: int, total: int) -> None:
    LOGGER.info("%d of %d: %s", done, total, name)
    for result in results:
        result.log()


def load_data(job: "TrainingJob", cache: FeatureCache, *, mapped: bool) -> "RunData":
    """Read the features that the method needs; target training labels are never among them."""
    from ta3n.train.data.features import RunData, labels_of
    from ta3n.train.loop.batches import TrainingData

    load, join = partial(cache.load, mapped=mapped), partial(cache.join, mapped=mapped)
    drawn = job.run.recipe.sampling == "random"
    learned = _learned(job)
    known = [_is_known(job, video) for side in learned for video in side.train]
    target = load(job.target, "train", drawn=drawn) if job.method.uses_target else None
    on_train = job.config.settings["rules_on"] == "train"
    videos = list(compress((video for side in learned for video in side.train), known))
    if learned:
        features = join(learned, "train", drawn=drawn)
        features = features if all(known) else features[known]
    else:
        assert target is not None, "source-free adaptation learns from target videos"
        features = target[:0]
    return RunData(
        training=TrainingData(
            source_features=features,
            source_labels=labels_of(videos),
            target_features=target,
            source_sizes=tuple(len(s.train) for s in learned) if len(learned) > 1 else (),
        ),
        source_videos=list(
            compress((path for side in learned for path in _paths(side, learned)), known)
        ),
        target_videos=[video.clip.path for video in job.target.train] if target is not None else [],
        held_out=_load_held_out(job, cache, mapped=mapped),
        rule_features=load(job.target, "train", drawn=drawn and target is not None)
        if on_train
        else None,
        val_features=load(job.target, "val"),
        val_labels=labels_of(job.target.val),
        val_videos=[video.clip.path for video in job.target.val],
    )


def _learned(job: "TrainingJob") -> "tuple[DomainVideos, ...]":
    """Return the sides whose labels are learned."""
    by_domain = {"source": job.sources, "target": (job.target,), "nothing": ()}
    return by_domain[job.method.trains_on]


def _is_known(job: "TrainingJob", video: "Video") -> bool:
    """Say whether the label of a video can be learned: no unknown one of an open target."""
    return job.run.rejection is None or video.label != job.run.rejection.label


def _load_held_out(job: "TrainingJob", cache: FeatureCache, *, mapped: bool) -> "HeldOut | None":
    from ta3n.train.data.features import HeldOut, labels_of

    if not job.sources or job.method.trains_on != "source":
        return None
    sources = cache.held_out(job)
    # Of some sources alone it would be the accuracy of a part of what is learned.
    if not all(source.val for source in sources):
        return None
    labels = labels_of([video for source in sources for video in source.val])
    return HeldOut(features=cache.join(sources, "val", mapped=mapped), labels=labels)


def _paths(side: DomainVideos, sides: Sequence[DomainVideos]) -> Iterator[str]:
    """Yield what training videos are called; of several datasets with the name of their own."""
    for video in side.train:
        yield video.clip.path if len(sides) == 1 else f"{side.dataset}/{video.clip.path}"


def is_mapped(job: "TrainingJob", cache: FeatureCache, device: "torch.device") -> bool:
    """Say whether features are left in their files: as asked, or where they would not fit."""
    from ta3n.common.device import available_memory
    from ta3n.train.data.features import size_of

    if job.settings.load != "auto":
        return job.settings.load == "mapped"
    drawn = job.run.recipe.sampling == "random"
    domains = filter(None, (job.sources, (job.target,)))
    parts: list[tuple[tuple[DomainVideos, ...], BenchmarkRole, bool]] = []
    for sides in domains:
        parts += [(sides, "train", drawn), (sides, "val", False)]
    # What another job has read is there.
    size = sum(
        size_of(side, part, drawn=of_all)
        for sides, part, of_all in parts
        if cache.lacks(sides, part, drawn=of_all)
        for side in sides
    )
    free = available_memory(device)
    if size <= _MOST_OF_MEMORY * free:
        return False
    LOGGER.info(
        "features: %.1f GB, which are more than half of the %.1f GB that are free, so each batch "
        "reads its frames from the mapped files; --load memory holds them all the same",
        size / 1e9,
        free / 1e9,
    )
    return True


_MOST_OF_MEMORY = 0.5
"""Of what is free, that features may take before they are left in their files."""
