"""Training jobs: settings and manifests to what is run, one job for each row of a table."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ta3n.common.errors import DataMissingError, UsageError
from ta3n.common.log import LOGGER
from ta3n.common.registry import loaded_plugins
from ta3n.datasets.benchmarks.benchmark import Benchmark
from ta3n.datasets.catalogue import BUILT_IN_CATALOGUE, Catalogue
from ta3n.datasets.reading.base import Dataset
from ta3n.train.data.videos import DomainVideos, check_same_features, load_videos
from ta3n.train.jobs.settings import StackPolicy, TrainSettings, parse_seeds
from ta3n.train.jobs.switches import choose_methods, choose_recipe, choose_weights
from ta3n.train.methods.base import Method
from ta3n.train.methods.identity import identity_of, recipe_for
from ta3n.train.paper.rows import Row
from ta3n.train.recipe.recipes import Recipe
from ta3n.train.runs.benchmark import benchmark_record
from ta3n.train.runs.folder import RunConfig, RunFolder

_FEW_VIDEOS = 30


@dataclass(frozen=True, kw_only=True)
class TrainingJob:
    """What is trained for one row.

    Attributes:
        config: Names the run folders.
        row: The row of the paper's tables, if it was asked for as one.
        method: The switches in force.
        recipe: Hyper-parameters in force.
        weights: Of the method's terms, those in force, by name.
        published: Whether the authors published the weights of this direction.
        seeds: One run each.
        benchmark: Gives the classes.
        source_dataset: Tells which clips of the source were cut from one recording.
        source: Videos of the source.
        target: Videos of the target.
        out: Folder for runs.
        device: As given: `auto`, `cpu` or `cuda:N`.
        stack: Whether seeds are trained as one program.
        tensorboard: Whether the metrics are also written for TensorBoard.
    """

    config: RunConfig
    row: Row | None
    method: Method
    recipe: Recipe
    weights: Mapping[str, float]
    published: bool
    seeds: tuple[int, ...]
    benchmark: Benchmark
    source_dataset: Dataset
    source: DomainVideos
    target: DomainVideos
    out: Path
    device: str
    stack: StackPolicy
    tensorboard: bool

    def folder(self, seed: int) -> RunFolder:
        """Return the run folder of a seed."""
        return RunFolder(self.config.folder(self.out, seed))


def prepare_jobs(
    source: str,
    target: str,
    settings: TrainSettings,
    catalogue: Catalogue = BUILT_IN_CATALOGUE,
) -> list[TrainingJob]:
    """Resolve names, check the features against the benchmark, and fix what is to be run.

    Args:
        source: Short or full name of the source dataset.
        target: The same for the target.
        settings: Everything else.
        catalogue: Datasets and benchmarks that there are.

    Returns:
        A job for each row of the settings, or one for their method.

    Raises:
        UsageError: For names or switches that make no sense together.
        DataMissingError: If videos are missing and may not be.
        DataConflictError: If the features do not fit together.
    """
    return prepare_variants(source, target, [settings], catalogue)


def prepare_variants(
    source: str,
    target: str,
    variants: Sequence[TrainSettings],
    catalogue: Catalogue = BUILT_IN_CATALOGUE,
) -> list[TrainingJob]:
    """Prepare the jobs of settings that differ in switches and hyper-parameters alone.

    Features are looked at once, however many there are.

    Raises:
        UsageError: For names or switches that make no sense together.
        DataMissingError: If videos are missing and may not be.
        DataConflictError: If the features do not fit together.
    """
    benchmark = catalogue.find_benchmark(source, target, variants[0].benchmark)
    source_dataset = catalogue.dataset(source)
    names = source_dataset.name, catalogue.dataset(target).name
    # All settings are looked at before any feature is.
    chosen = [_choose(settings, benchmark, names) for settings in variants]
    pairs: dict[int, _Pair] = {}
    jobs: list[TrainingJob] = []
    for settings, choices in zip(variants, chosen, strict=True):
        if settings.segments not in pairs:
            pairs[settings.segments] = _load_pair(names, source_dataset, benchmark, settings)
        jobs += _jobs(settings, choices, benchmark, pairs[settings.segments])
    return jobs


@dataclass(frozen=True)
class _Chosen:
    """What settings come to for one row."""

    method: Method
    row: Row | None
    recipe: Recipe
    weights: Mapping[str, float]
    published: bool


def _choose(settings: TrainSettings, benchmark: Benchmark, names: tuple[str, str]) -> list[_Chosen]:
    parse_seeds(settings.seeds)
    recipe = choose_recipe(settings)
    chosen = []
    for choice in choose_methods(settings):
        weights, published = choose_weights(settings, choice.method, benchmark.name, *names)
        own = recipe_for(choice.method, recipe, weights)
        chosen.append(_Chosen(choice.method, choice.row, own, weights, published))
    return chosen


def _jobs(
    settings: TrainSettings, chosen: Sequence[_Chosen], benchmark: Benchmark, pair: "_Pair"
) -> Iterator[TrainingJob]:
    for choice in chosen:
        _check_filled(choice.method, pair.source, pair.target)
        yield TrainingJob(
            config=_config(benchmark, choice, pair),
            row=choice.row,
            method=choice.method,
            recipe=choice.recipe,
            weights=choice.weights,
            published=choice.published,
            seeds=parse_seeds(settings.seeds),
            benchmark=benchmark,
            source_dataset=pair.source_dataset,
            source=pair.source,
            target=pair.target,
            out=settings.out,
            device=settings.device,
            stack=settings.stack,
            tensorboard=settings.tensorboard,
        )


@dataclass(frozen=True)
class _Pair:
    """The videos of both domains, and what a run records of them."""

    source_dataset: Dataset
    source: DomainVideos
    target: DomainVideos
    record: Mapping[str, Any]


def _load_pair(
    names: tuple[str, str], source_dataset: Dataset, benchmark: Benchmark, settings: TrainSettings
) -> _Pair:
    source, target = (
        load_videos(
            settings.features,
            benchmark,
            name,
            num_segments=settings.segments,
            allow_missing=settings.allow_missing,
        )
        for name in names
    )
    check_same_features(source.manifest, target.manifest)
    sides = source, target
    features = source.manifest.config.as_hashed()
    del features["dataset"]
    record = {
        "benchmark": benchmark_record(benchmark),
        "features": features,
        "manifests": {side.dataset: side.manifest.content_hash for side in sides},
        "lists": {side.dataset: side.lists_hash for side in sides},
        "videos": {
            side.dataset: {"train": len(side.train), "val": len(side.val)} for side in sides
        },
    }
    return _Pair(source_dataset, source, target, record)


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


def _config(benchmark: Benchmark, choice: _Chosen, pair: _Pair) -> RunConfig:
    method, classes = choice.method, benchmark.class_names
    return RunConfig(
        benchmark=benchmark.name,
        source=pair.source.dataset,
        target=pair.target.dataset,
        method=method.name,
        temporal=method.temporal,
        label=method.label,
        identity=identity_of(method, choice.recipe, choice.weights, classes),
        settings={
            "method": method.record(),
            "plugins": list(loaded_plugins()),
            "recipe": asdict(choice.recipe),
            "weights": dict(choice.weights),
            "published": choice.published,
            "classes": list(classes),
        },
        data=pair.record,
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
    if any(job.method.uses_target for job in jobs) and not job.published:
        LOGGER.info("the loss weights of this direction were never published; see the README")
