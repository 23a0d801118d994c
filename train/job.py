"""A training job: settings and manifests to runs, one for each seed."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ta3n.common.errors import DataMissingError
from ta3n.common.log import LOGGER
from ta3n.common.settings import TrainSettings, parse_seeds
from ta3n.datasets.benchmarks import Benchmark, find_benchmark
from ta3n.datasets.registry import get_dataset
from ta3n.train.recipes import (
    OFFICIAL,
    Adaptation,
    Method,
    Recipe,
    ReversalCoefficients,
    coefficients_for,
    method_for,
)
from ta3n.train.runs import RunConfig, RunFolder, RunResult
from ta3n.train.videos import DomainVideos, check_same_features, load_videos

if TYPE_CHECKING:
    from ta3n.train.session import RunData

_RECIPES = {"official": OFFICIAL}
_FEW_VIDEOS = 30


@dataclass(frozen=True, kw_only=True)
class TrainingJob:
    """What one call of the command trains.

    Attributes:
        config: Names the run folders.
        method: The preset's switches.
        recipe: Hyper-parameters in force.
        adaptation: Trade-offs in force.
        seeds: One run each.
        benchmark: Gives the classes.
        source: Videos of the source.
        target: Videos of the target.
        out: Folder for runs.
        device: As given: `auto`, `cpu` or `cuda:N`.
    """

    config: RunConfig
    method: Method
    recipe: Recipe
    adaptation: Adaptation
    seeds: tuple[int, ...]
    benchmark: Benchmark
    source: DomainVideos
    target: DomainVideos
    out: Path
    device: str

    def folder(self, seed: int) -> RunFolder:
        """Return the run folder of a seed."""
        return RunFolder(self.config.folder(self.out, seed))


def prepare_job(source: str, target: str, settings: TrainSettings) -> TrainingJob:
    """Resolve names, check the features against the benchmark, and fix what is to be run.

    Args:
        source: Short or full name of the source dataset.
        target: The same for the target.
        settings: Everything else.

    Raises:
        UsageError: For names or switches that make no sense together.
        DataMissingError: If videos are missing and may not be.
        DataConflictError: If the features do not fit together.
    """
    benchmark = find_benchmark(source, target, settings.benchmark)
    names = get_dataset(source).name, get_dataset(target).name
    method = method_for(settings.method, settings.temporal)
    recipe = _recipe(settings)
    adaptation = _adaptation(settings, benchmark.name, *names)
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
    _check_filled(method, *sides)
    config = _config(benchmark, method, recipe, adaptation, sides)
    return TrainingJob(
        config=config,
        method=method,
        recipe=recipe,
        adaptation=adaptation,
        seeds=seeds,
        benchmark=benchmark,
        source=sides[0],
        target=sides[1],
        out=settings.out,
        device=settings.device,
    )


def run_job(job: TrainingJob) -> list[RunResult]:
    """Train every seed that is not finished; return the results of all.

    Raises:
        TrainingError: If a run cannot start or its loss stops being finite.
        FeatureStoreError: If features or a run folder are damaged.
        DeviceError: If the device is not there.
        OSError: If a run folder cannot be written.
    """
    _log_data(job)
    results = {seed: job.folder(seed).read_result() for seed in job.seeds}
    todo = [seed for seed, result in results.items() if result is None]
    LOGGER.info(
        "%d of %d seeds are done, runs in %s",
        len(job.seeds) - len(todo),
        len(job.seeds),
        job.folder(job.seeds[0]).path.parent,
    )
    if todo:
        results |= _train(job, todo)
    return [result for result in results.values() if result is not None]


def _train(job: TrainingJob, seeds: Sequence[int]) -> dict[int, RunResult]:
    # Torch is imported only where there is work: finished runs answer at once.
    from ta3n.common.device import resolve_device
    from ta3n.train.checks import RunSettings
    from ta3n.train.session import run_seed

    device = resolve_device(job.device)
    data = _load(job)
    results = {}
    for seed in seeds:
        folder = job.folder(seed)
        folder.write_start(job.config, seed)
        settings = RunSettings(
            method=job.method,
            recipe=job.recipe,
            adaptation=job.adaptation,
            num_classes=len(job.benchmark.class_names),
            seed=seed,
        )
        results[seed] = run_seed(settings, data, folder, device)
    return results


def _load(job: TrainingJob) -> "RunData":
    """Read the features that the method needs; target training labels are never among them."""
    from ta3n.train.batches import TrainingData
    from ta3n.train.features import labels_of, load_features
    from ta3n.train.session import RunData

    dim = job.source.manifest.config.feature_dim
    learned = job.target if job.method.trains_on == "target" else job.source
    target = None
    if job.method.uses_target:
        target = load_features(job.target.folder, job.target.train, dim)
    return RunData(
        training=TrainingData(
            source_features=load_features(learned.folder, learned.train, dim),
            source_labels=labels_of(learned.train),
            target_features=target,
        ),
        val_features=load_features(job.target.folder, job.target.val, dim),
        val_labels=labels_of(job.target.val),
        val_videos=[video.clip.path for video in job.target.val],
    )


def _recipe(settings: TrainSettings) -> Recipe:
    changes = {
        "num_segments": settings.segments,
        "epochs": settings.epochs,
        "source_batch": settings.batch_size,
        "learning_rate": settings.learning_rate,
    }
    given = {name: value for name, value in changes.items() if value is not None}
    return replace(_RECIPES[settings.recipe], **given)  # type: ignore[arg-type]


def _adaptation(settings: TrainSettings, benchmark: str, source: str, target: str) -> Adaptation:
    recommended = coefficients_for(benchmark, source, target)
    given = {
        level: value
        for level in ("relation", "video", "frame")
        if (value := getattr(settings, f"beta_{level}")) is not None
    }
    coefficients: ReversalCoefficients = replace(recommended.coefficients, **given)
    gamma = recommended.gamma if settings.gamma is None else settings.gamma
    return replace(recommended, coefficients=coefficients, gamma=gamma)


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


def _log_data(job: TrainingJob) -> None:
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
    if job.method.uses_target and not job.adaptation.published:
        LOGGER.info("the loss weights of this direction were never published; see the README")
