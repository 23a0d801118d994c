"""Training jobs: settings and manifests to what is run, one job for each row of a table."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ta3n.common.errors import DataMissingError, UsageError
from ta3n.common.log import LOGGER
from ta3n.common.settings import StackPolicy, TrainSettings, parse_seeds
from ta3n.datasets.benchmarks import Benchmark, find_benchmark
from ta3n.datasets.registry import get_dataset
from ta3n.train.adaptation import Adaptation
from ta3n.train.execution import run_jobs
from ta3n.train.methods import Method
from ta3n.train.recipes import Recipe
from ta3n.train.rows import Row
from ta3n.train.runs import RunConfig, RunFolder, RunResult
from ta3n.train.switches import choose_adaptation, choose_methods, choose_recipe
from ta3n.train.videos import DomainVideos, check_same_features, load_videos

_FEW_VIDEOS = 30


@dataclass(frozen=True, kw_only=True)
class TrainingJob:
    """What is trained for one row.

    Attributes:
        config: Names the run folders.
        row: The row of the paper's tables, if it was asked for as one.
        method: The switches in force.
        recipe: Hyper-parameters in force.
        adaptation: Trade-offs in force.
        seeds: One run each.
        benchmark: Gives the classes.
        source: Videos of the source.
        target: Videos of the target.
        out: Folder for runs.
        device: As given: `auto`, `cpu` or `cuda:N`.
        stack: Whether seeds are trained as one program.
    """

    config: RunConfig
    row: Row | None
    method: Method
    recipe: Recipe
    adaptation: Adaptation
    seeds: tuple[int, ...]
    benchmark: Benchmark
    source: DomainVideos
    target: DomainVideos
    out: Path
    device: str
    stack: StackPolicy

    def folder(self, seed: int) -> RunFolder:
        """Return the run folder of a seed."""
        return RunFolder(self.config.folder(self.out, seed))


def prepare_jobs(source: str, target: str, settings: TrainSettings) -> list[TrainingJob]:
    """Resolve names, check the features against the benchmark, and fix what is to be run.

    Args:
        source: Short or full name of the source dataset.
        target: The same for the target.
        settings: Everything else.

    Returns:
        A job for each row of the settings, or one for their method.

    Raises:
        UsageError: For names or switches that make no sense together.
        DataMissingError: If videos are missing and may not be.
        DataConflictError: If the features do not fit together.
    """
    benchmark = find_benchmark(source, target, settings.benchmark)
    names = get_dataset(source).name, get_dataset(target).name
    choices = choose_methods(settings)
    recipe = choose_recipe(settings)
    adaptation = choose_adaptation(settings, benchmark.name, *names)
    seeds = parse_seeds(settings.seeds)
    sides = [
        load_videos(
            settings.features,
            benchmark,
            name,
            num_segments=settings.segments,
            allow_missing=settings.allow_missing,
        )
        for name in names
    ]
    check_same_features(sides[0].manifest, sides[1].manifest)
    for choice in choices:
        _check_filled(choice.method, *sides)
    return [
        TrainingJob(
            config=_config(benchmark, choice.method, recipe, adaptation, sides),
            row=choice.row,
            method=choice.method,
            recipe=recipe,
            adaptation=adaptation,
            seeds=seeds,
            benchmark=benchmark,
            source=sides[0],
            target=sides[1],
            out=settings.out,
            device=settings.device,
            stack=settings.stack,
        )
        for choice in choices
    ]


def prepare_job(source: str, target: str, settings: TrainSettings) -> TrainingJob:
    """Return the job of settings that ask for one row, see `prepare_jobs`.

    Raises:
        UsageError: If they ask for several, and as `prepare_jobs`.
        DataMissingError: If videos are missing and may not be.
        DataConflictError: If the features do not fit together.
    """
    jobs = prepare_jobs(source, target, settings)
    if len(jobs) > 1:
        raise UsageError(f"{len(jobs)} rows are asked for, where only one can be run")
    return jobs[0]


def run_job(job: TrainingJob) -> list[RunResult]:
    """Train every seed that is not finished; return the results of all.

    Raises:
        TrainingError: If a run cannot start or its loss stops being finite.
        FeatureStoreError: If features or a run folder are damaged.
        DeviceError: If the device is not there.
        OSError: If a run folder cannot be written.
    """
    log_data([job])
    return run_jobs([job])[0]


def _check_filled(method: Method, source: DomainVideos, target: DomainVideos) -> None:
    needed = [(target, "val")]
    if method.trains_on == "source":
        needed.append((source, "train"))
    if method.trains_on == "target" or method.uses_target:
        needed.append((target, "train"))
    for side, role in needed:
        if not getattr(side, role):
            raise DataMissingError(
                f"no {role} videos of {side.dataset} have features in {side.folder}; {method.name} "
                "needs at least one"
            )


def _config(
    benchmark: Benchmark,
    method: Method,
    recipe: Recipe,
    adaptation: Adaptation,
    sides: Sequence[DomainVideos],
) -> RunConfig:
    return RunConfig(
        benchmark=benchmark.name,
        source=sides[0].dataset,
        target=sides[1].dataset,
        method=method.name,
        temporal=method.temporal,
        settings={
            "method": asdict(method),
            "recipe": asdict(recipe),
            "adaptation": asdict(adaptation),
            "classes": list(benchmark.class_names),
        },
        data={
            "features": sides[0].manifest.config.model_dump(exclude={"dataset"}),
            "manifests": {side.dataset: side.manifest.content_hash for side in sides},
            "lists": {side.dataset: side.lists_hash for side in sides},
            "videos": {
                side.dataset: {"train": len(side.train), "val": len(side.val)} for side in sides
            },
        },
    )


def log_data(jobs: Sequence[TrainingJob]) -> None:
    """Log what the jobs of one call train on, and what to beware of."""
    job = jobs[0]
    for side in (job.source, job.target):
        LOGGER.info(
            "%s: %d training and %d validation videos", side.dataset, len(side.train), len(side.val)
        )
    if len(job.target.val) < _FEW_VIDEOS:
        LOGGER.warning(
            "with %d target validation videos one video is worth %.1f points of accuracy",
            len(job.target.val),
            100 / len(job.target.val),
        )
    if any(job.method.uses_target for job in jobs) and not job.adaptation.published:
        LOGGER.info("the loss weights of this direction were never published; see the README")
