"""`ta3n-train --dry-run`: what would be trained, and by a first epoch how long it takes.

The trial is the first epoch of a run as it would be, in a folder that is removed again.
"""

import shutil
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ta3n.common.device import peak_memory
from ta3n.common.errors import DivergedError, TrainingError, shorten
from ta3n.common.files import canonical_json
from ta3n.common.log import describe_bytes, describe_duration
from ta3n.common.shares import JobShare, check_count
from ta3n.train.jobs.execution import (
    FeatureCache,
    Task,
    check_processes,
    is_mapped,
    list_tasks,
    load_data,
    shares_file,
    stacks,
)
from ta3n.train.runs.folder import RunFolder
from ta3n.train.runs.selection import KEPT_WEIGHTS

if TYPE_CHECKING:
    import torch

    from ta3n.train.data.videos import DomainVideos
    from ta3n.train.jobs.job import TrainingJob

_BUDGET_S = 60.0
"""For trials of further kinds of runs; those that are left cost what the slowest cost."""
_SHORT_S = 2.0
"""A first epoch that took less says more of its start than of epochs: another one follows."""
_MOST_EPOCHS = 3
_NOT_COST = frozenset(
    {"epochs", "learning_rate", "lr_decay_power", "lr_decay_rate", "lr_steps", "momentum"}
    | {"name", "schedule", "weight_decay"}
)
_BYTES_A_PREDICTION = 200


@dataclass(frozen=True, kw_only=True)
class State:
    """How far the runs of a call are.

    Attributes:
        left: Pieces of work with the seeds that are neither finished nor diverged.
        finished: Runs.
        diverged: What ended a run, by its folder.
        begun: Epochs that are done, by the folder of a run that is not over.
    """

    left: Sequence[Task]
    finished: int
    diverged: Mapping[Path, str]
    begun: Mapping[Path, int]

    @property
    def num_left(self) -> int:
        """Runs that would be trained."""
        return _num_runs(self.left)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What a first epoch cost.

    Attributes:
        seconds: An epoch of one seed, with its look at the target.
        videos: That it went through.
        run_bytes: That a finished run of so many epochs takes on the disk, at most.
        checkpoint_bytes: Of a run in progress.
        diverged: What stopped being finite; empty if nothing did.
    """

    seconds: float
    videos: int
    run_bytes: int
    checkpoint_bytes: int
    diverged: str = ""


def state_of(tasks: Sequence[Task]) -> State:
    """Look at the folders of runs, of which none is changed.

    Raises:
        FeatureStoreError: If one is damaged.
    """
    left, finished, diverged, begun = [], 0, {}, {}
    for job, seeds in tasks:
        open_seeds = []
        for seed in seeds:
            folder = job.folder(seed)
            if folder.read_result() is not None:
                finished += 1
            elif (divergence := folder.read_divergence()) is not None:
                diverged[folder.path] = f"seed {seed} {divergence.reason}"
            else:
                open_seeds.append(seed)
                if folder.checkpoint.exists():
                    begun[folder.path] = _epochs_done(folder)
        if open_seeds:
            left.append((job, open_seeds))
    return State(left=left, finished=finished, diverged=diverged, begun=begun)


def look_ahead(
    jobs: "Sequence[TrainingJob]", processes: int = 1, share: JobShare | None = None
) -> Iterator[str]:
    """Yield in lines what a call would do and cost; end with the error that it would end with.

    Args:
        jobs: As for `run_jobs`; `processes` and `share` likewise.

    Raises:
        As `run_jobs`; TrainingError: If space or memory do not suffice.
        DivergedError: If runs diverged, or a trial does.
    """
    tasks = list_tasks(jobs)
    part, mine = "", tasks
    if share is not None:
        check_count(shares_file(tasks), share)
        mine = share.of(tasks)
        part = f", of which part {share} has {_num_runs(mine)}"
    state = state_of(mine)
    yield f"runs: {_num_runs(tasks)} in {jobs[0].settings.out}{part}"
    begun = f", {len(state.begun)} of them begun" if state.begun else ""
    diverged = f", {len(state.diverged)} diverged" if state.diverged else ""
    yield f"finished: {state.finished}{diverged}; to be trained: {state.num_left}{begun}"
    failed = list(state.diverged.values())
    if state.left:
        failed += yield from _try_all(jobs, state, processes)
    if failed:
        raise DivergedError(
            f"{len(failed)} runs diverged or would, and are in no figure: {shorten(failed)}"
        )


def _num_runs(tasks: Sequence[Task]) -> int:
    return sum(len(seeds) for _, seeds in tasks)


def _epochs_done(folder: RunFolder) -> int:
    try:
        return (folder.path / "metrics.jsonl").read_bytes().count(b"\n")
    except OSError:
        return 0


def _try_all(
    jobs: "Sequence[TrainingJob]", state: State, processes: int
) -> Generator[str, None, list[str]]:
    """Yield what the runs that are left cost; return what would diverge."""
    import torch

    from ta3n.common.device import available_memory, describe_device, resolve_device

    device = resolve_device(jobs[0].settings.device)
    processes = check_processes(state.left, processes)
    kinds = _kinds(state.left)
    here = _existing(jobs[0].settings.out)
    free, held_before = available_memory(device), peak_memory()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    trials: dict[str, Trial] = {}
    tried: list[TrainingJob] = []
    cache, started = FeatureCache(), time.monotonic()
    with TemporaryDirectory(prefix=".trial-", dir=here) as folder, _threads(processes):
        for kind, of_kind in kinds.items():
            if trials and time.monotonic() - started > _BUDGET_S:
                break
            job, seeds = max(of_kind, key=lambda task: _videos(task[0]))
            together = seeds if stacks(job, device) else seeds[:1]
            data = load_data(job, cache, mapped=is_mapped(job, cache, device))
            tried.append(job)
            trials[kind] = _try(job, together, data, device, Path(folder))
            shutil.rmtree(Path(folder) / str(seeds[0]), ignore_errors=True)
    rest = "" if len(trials) == len(kinds) else f" of {len(kinds)}; the rest as the slowest"
    yield f"trial: a first epoch of {len(trials)} kinds of runs{rest}, not kept"
    seconds = dict.fromkeys(kinds, max(each.seconds / each.videos for each in trials.values()))
    seconds |= {kind: each.seconds / each.videos for kind, each in trials.items()}
    costs = {kind: _cost(of_kind, seconds[kind], state) for kind, of_kind in kinds.items()}
    for kind, of_kind in kinds.items():
        if kind in trials and len(kinds) > 1:
            method = of_kind[0][0].method
            told = f"{trials[kind].seconds:.2f} s an epoch, {_num_runs(of_kind)} runs"
            yield f"  {method.name} with {method.temporal}: {told}: {_told(costs[kind])}"
    side_by_side = f", {processes} processes" if processes > 1 else ""
    took = _told(sum(costs.values()) / processes)
    yield f"time: about {took} on {describe_device(device)}{side_by_side}"
    need = processes * (peak_memory() - _features(tried, cache, device))
    need += _features([job for job, _ in state.left], cache, device)
    yield f"memory: about {describe_bytes(need)}, of {describe_bytes(free)} that are free"
    if device.type == "cuda":
        yield f"memory of the GPU: about {describe_bytes(torch.cuda.max_memory_reserved(device))}"
    largest = max(trials.values(), key=lambda each: each.run_bytes)
    files = state.num_left * largest.run_bytes + processes * largest.checkpoint_bytes
    space = shutil.disk_usage(here).free
    takes, there = describe_bytes(files), describe_bytes(space)
    yield f"disk: at most {takes}, of {there} that are free in {here}"
    if files > space:
        raise TrainingError(
            f"no space: {state.num_left} runs take up to {takes}, and {there} are free in {here}; "
            "make room, or give another --out"
        )
    # What this process has taken is not among what is free.
    if need - held_before > free:
        raise TrainingError(
            f"no memory: {processes} processes take about {describe_bytes(need)}, and "
            f"{describe_bytes(free)} are free; give fewer --jobs, or --load mapped"
        )
    return [each.diverged for each in trials.values() if each.diverged]


def _kinds(tasks: Sequence[Task]) -> dict[str, list[Task]]:
    """Put runs together that cost the same for the same number of videos."""
    kinds: dict[str, list[Task]] = {}
    for job, seeds in tasks:
        recipe = {k: v for k, v in job.run.recipe.record().items() if k not in _NOT_COST}
        method = job.method.name, job.method.temporal
        kinds.setdefault(canonical_json([method, recipe]).decode(), []).append((job, seeds))
    return kinds


def _videos(job: "TrainingJob") -> int:
    """Return how many videos an epoch goes through, to train and to look at."""
    learned = {"source": job.sources, "target": (job.target,)}.get(job.method.trains_on, ())
    num = len(job.target.val) + sum(len(side.train) for side in learned)
    if job.method.uses_target:
        num += len(job.target.train)
    if job.config.settings["rules_on"] == "train":
        num += len(job.target.train)
    return num


def _cost(tasks: Sequence[Task], seconds_a_video: float, state: State) -> float:
    """Return how many seconds the epochs take that are left, one run after another."""
    return sum(
        seconds_a_video * _videos(job) * max(_epochs(job) - state.begun.get(path, 0), 0)
        for job, seeds in tasks
        for path in (job.folder(seed).path for seed in seeds)
    )


def _features(jobs: "Iterable[TrainingJob]", cache: FeatureCache, device: "torch.device") -> int:
    """Return how many bytes the features of jobs take, which they share, processes too."""
    from ta3n.train.data.features import size_of

    drawn: dict[str, tuple[DomainVideos, bool]] = {
        side.dataset: (side, job.run.recipe.sampling == "random")
        for job in jobs
        if not is_mapped(job, cache, device)
        for side in (*job.sources, job.target)
    }
    return sum(
        size_of(side, "train", drawn=of_all) + size_of(side, "val", drawn=False)
        for side, of_all in drawn.values()
    )


def _epochs(job: "TrainingJob") -> int:
    return 1 if job.method.closed_form is not None else job.run.recipe.epochs


def _try(
    job: "TrainingJob", seeds: Sequence[int], data: Any, device: "torch.device", out: Path
) -> Trial:
    """Train an epoch of some seeds together, or a few if they are short."""
    import torch

    from ta3n.train.loop.checks import NonFiniteError
    from ta3n.train.loop.engine import Trainer
    from ta3n.train.loop.stacked import StackedTrainer
    from ta3n.train.runs.session import SeedRun, epochs_alone

    seconds = 0.0
    folders = [RunFolder(out / str(seeds[0]) / str(seed)) for seed in seeds]
    try:
        on_device = data.to(device)
        runs = [
            SeedRun(replace(job.run, seed=seed), on_device, folder, device)
            for seed, folder in zip(seeds, folders, strict=True)
        ]
        members = [run.trainer for run in runs if isinstance(run.trainer, Trainer)]
        stacked = len(runs) > 1
        epochs = StackedTrainer(members).epochs() if stacked else epochs_alone(runs[0].trainer)
        diverged = ""
        for _ in range(_MOST_EPOCHS):
            started = time.monotonic()
            ended = next(epochs, ())
            for run, record in zip(runs, ended, strict=False):
                if isinstance(record, NonFiniteError):
                    diverged = f"{job.method.name} with {job.method.temporal}, {record}"
                else:
                    run.note(record)
            seconds = time.monotonic() - started if ended else seconds
            if diverged or not ended or seconds > _SHORT_S:
                break
        runs[0].save()
    except torch.OutOfMemoryError as error:
        raise TrainingError(
            f"{job.method.name} with {job.method.temporal} does not fit into the memory of "
            f"{device}; give a smaller --batch-size, --load mapped, or --stack off"
        ) from error
    folder, trainer = folders[0], runs[0].trainer
    metrics = _size(folder.path / "metrics.jsonl") // max(trainer.epoch, 1) * _epochs(job)
    kept = len(KEPT_WEIGHTS) * sum(t.nbytes for t in trainer.model.state_dict().values())
    return Trial(
        seconds=seconds / len(runs),
        videos=_videos(job),
        run_bytes=kept + metrics + _BYTES_A_PREDICTION * len(job.target.val),
        checkpoint_bytes=_size(folder.checkpoint) + kept,
        diverged=diverged,
    )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


@contextmanager
def _threads(processes: int) -> Iterator[None]:
    """Compute as a process among several does, with one thread."""
    import torch

    before = torch.get_num_threads()
    if processes > 1:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _existing(out: Path) -> Path:
    """Return a folder that is there: the one for runs, or the nearest that it would lie in."""
    return next(path for path in (out.absolute(), *out.absolute().parents) if path.is_dir())


def _told(seconds: float) -> str:
    return describe_duration(max(seconds, 1))
