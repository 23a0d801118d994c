"""Training jobs: settings and manifests to what is run, one job for each row of a table."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from ta3n.common.errors import DataMissingError, UsageError, shorten
from ta3n.common.log import LOGGER
from ta3n.datasets.benchmarks.benchmark import Benchmark
from ta3n.datasets.benchmarks.label_sets import TargetFolders, with_label_sets
from ta3n.datasets.catalogue import BUILT_IN_CATALOGUE, Catalogue
from ta3n.datasets.reading.base import Dataset
from ta3n.train.data.sources import report_sources
from ta3n.train.data.streams import load_streams
from ta3n.train.data.videos import (
    DomainVideos,
    check_same_features,
    class_folders_of,
    untested_classes,
)
from ta3n.train.jobs.settings import RulesOn, TrainSettings, parse_seeds
from ta3n.train.jobs.switches import choose_methods, choose_recipe, choose_weights
from ta3n.train.methods.base import Method
from ta3n.train.methods.heads import heads_record, trained_heads
from ta3n.train.methods.registry import plugins_of
from ta3n.train.methods.rejection import DEFAULT_THRESHOLD, Rejection
from ta3n.train.methods.run_settings import RunSettings
from ta3n.train.paper.rows import Row
from ta3n.train.runs.floors import floors_of
from ta3n.train.runs.folder import RunConfig, RunFolder
from ta3n.train.runs.records import benchmark_record
from ta3n.train.runs.starting import Start, check_fits, find_start
from ta3n.train.validators.rules import MOST_COMPARED

_FEW_VIDEOS = 30


@dataclass(frozen=True, kw_only=True)
class TrainingJob:
    """What is trained for one row.

    Attributes:
        config: Names the run folders.
        row: The row of the paper's tables, if it was asked for as one.
        run: What is trained; its seed is that of the first run.
        settings: As given: where to train, and how.
        benchmark: Gives the classes.
        source_datasets: Tell which clips of a source were cut from one recording.
        sources: Videos of each source, mostly one; none in source-free adaptation.
        target: Videos of the target.
    """

    config: RunConfig
    row: Row | None
    run: RunSettings
    settings: TrainSettings
    benchmark: Benchmark
    source_datasets: tuple[Dataset, ...]
    sources: tuple[DomainVideos, ...]
    target: DomainVideos

    @property
    def method(self) -> Method:
        """The method with its terms in force."""
        return self.run.method

    @property
    def seeds(self) -> tuple[int, ...]:
        """One run each; of a closed form only the first, since no seed changes anything."""
        seeds = parse_seeds(self.settings.seeds)
        return seeds if self.method.closed_form is None else seeds[:1]

    def folder(self, seed: int) -> RunFolder:
        """Return the run folder of a seed."""
        return RunFolder(self.config.folder(self.settings.out, seed))


def prepare_jobs(
    source: str,
    target: str,
    *variants: TrainSettings,
    catalogue: Catalogue = BUILT_IN_CATALOGUE,
    loaded: dict[object, DomainVideos] | None = None,
) -> list[TrainingJob]:
    """Resolve names, check the features against the benchmark, and fix what is to be run.

    Args:
        source: Short or full name of the source dataset; of several, joined by commas.
        target: The same for the target.
        variants: Settings that differ in switches and hyper-parameters alone: features are looked
            at once, however many there are.
        catalogue: Datasets and benchmarks that there are.
        loaded: Videos of datasets that were looked at in another direction; added to here.

    Returns:
        For each of the settings a job for each of its rows, or one for its method.

    Raises:
        UsageError: For names or switches that make no sense together.
        DataMissingError: If videos are missing and may not be.
        DataConflictError: If the features do not fit together.
    """
    if not (named := split_sources(source)):
        raise UsageError(f"--source {source!r} names no source; give a dataset, or several: a,b")
    benchmark = catalogue.find_benchmark(named, target, variants[0].benchmark)
    of_name = {dataset.name: dataset for dataset in map(catalogue.dataset, named)}
    # In the benchmark's order: the same sources are the same run, in whatever order.
    sources = [name for name in benchmark.sides if name in of_name]
    joined, target = JOIN.join(sources), catalogue.dataset(target).name
    benchmark = _with_label_sets(benchmark, sources, target, variants[0])
    # All settings are looked at before any feature is.
    chosen = [list(_choose(settings, benchmark, joined, target)) for settings in variants]
    pairs: dict[tuple[object, ...], _Pair] = {}
    jobs: list[TrainingJob] = []
    for settings, choices in zip(variants, chosen, strict=True):
        for row, run, start, published in choices:
            _check_domains(run, settings, sources)
            has_source = run.method.trains_on != "nothing"
            key = (*_what_is_read(settings), has_source)
            if key not in pairs:
                known = None if has_source else start
                pairs[key] = _load_pair(sources, target, benchmark, settings, known, loaded)
            pair = pairs[key]
            if run.recipe.fusion == "late":
                run = replace(run, stream_dims=pair.target.widths)
            if run.recipe.feature_scale != "none":
                run = replace(run, stream_widths=pair.target.widths)
            if start is not None:
                check_fits(start, run, benchmark, joined, pair.target)
            _check_filled(run.method, pair.sources, pair.target, settings.rules_on)
            jobs.append(
                TrainingJob(
                    config=_config(
                        benchmark, sources, run, start, pair, settings.rules_on, published=published
                    ),
                    row=row,
                    run=run,
                    settings=settings,
                    benchmark=benchmark,
                    source_datasets=tuple(of_name[name] for name in sources),
                    sources=pair.sources,
                    target=pair.target,
                )
            )
    return jobs


JOIN = "+"
"""Between the names of several sources, in which it cannot be."""


def split_sources(text: str) -> list[str]:
    """Return the names of sources that a command line or a record names."""
    return [name.strip() for name in re.split(r"[,+]", text) if name.strip()]


def _check_domains(run: RunSettings, settings: TrainSettings, sources: Sequence[str]) -> None:
    """Refuse sources that cannot be what is asked for.

    Raises:
        UsageError: With what to do.
    """
    if settings.domains == "each":
        if len(sources) == 1:
            raise UsageError(
                f"--domains each is for several sources, and there is {sources[0]} alone; name "
                "them all, as in --source hmdb,daily-mit, or leave it out"
            )
        run.method.check_sources()
    if run.method.trains_on == "source" and run.recipe.source_batch < len(sources):
        raise UsageError(
            f"a batch of {run.recipe.source_batch} source videos has none of some of the "
            f"{len(sources)} sources; give --batch-size {len(sources)} at least"
        )


def _with_label_sets(
    benchmark: Benchmark, sources: Sequence[str], target: str, settings: TrainSettings
) -> Benchmark:
    """Return the benchmark with the classes that the target is to have."""
    if settings.target_classes or settings.unknown:
        read = partial(class_folders_of, settings.features[0], target)
        benchmark = with_label_sets(
            benchmark,
            sources,
            TargetFolders(dataset=target, read=read),
            target_classes=settings.target_classes,
            unknown=settings.unknown,
        )
    if settings.unknown_threshold is not None and not benchmark.is_open:
        raise UsageError(
            "--unknown-threshold is for an open set; name the unknown classes by --unknown"
        )
    return benchmark


def _rejection(benchmark: Benchmark, settings: TrainSettings, method: Method) -> Rejection | None:
    """Return how unknown videos are told, where there are any."""
    if not benchmark.is_open:
        if method.has_unknown_output:
            raise UsageError(
                f"{method.name} has an output for unknown videos, and here all are known; name the "
                "unknown classes by --unknown, or choose another method"
            )
        return None
    threshold = settings.unknown_threshold
    if not method.has_unknown_output:
        threshold = DEFAULT_THRESHOLD if threshold is None else threshold
    elif threshold is not None:
        raise UsageError(
            f"{method.name} has an output for unknown videos; leave out --unknown-threshold"
        )
    return Rejection(label=len(benchmark.class_names), threshold=threshold)


def _choose(
    settings: TrainSettings, benchmark: Benchmark, joined: str, target: str
) -> Iterator[tuple[Row | None, RunSettings, Start | None, bool]]:
    """Yield for each row what is run, from where, and whether its weights were published."""
    first, *_ = seeds = parse_seeds(settings.seeds)
    start = None if settings.init_from is None else find_start(settings.init_from, seeds)
    if start is not None and settings.temporal is None:
        settings = settings.model_copy(update={"temporal": start.config.temporal})
    for choice in choose_methods(settings):
        if choice.method.trains_on == "nothing" and start is None:
            raise UsageError(
                f"{choice.method.name} adapts a model without its source; name the finished run "
                "by --init-from RUN"
            )
        heads = trained_heads(benchmark.heads, settings.heads)
        if heads:
            choice.method.check_heads([head.name for head in heads])
        weights, published = choose_weights(settings, choice.method, benchmark.base, joined, target)
        rejection = _rejection(benchmark, settings, choice.method)
        run = RunSettings(
            method=choice.method,
            recipe=choose_recipe(settings, choice.method),
            weights=weights,
            num_classes=rejection.num_outputs if rejection else len(benchmark.class_names),
            seed=first,
            init_from=None if start is None else start.point,
            heads=heads,
            domains=settings.domains,
            rejection=rejection,
        )
        yield choice.row, run.as_usual(), start, published and benchmark.label_sets is None


@dataclass(frozen=True)
class _Pair:
    """The videos of all domains, and what a run records of them."""

    sources: tuple[DomainVideos, ...]
    target: DomainVideos
    record: Mapping[str, Any]
    untested: Sequence[str]


def _what_is_read(settings: TrainSettings) -> tuple[object, ...]:
    """Return what decides which features of a dataset are read."""
    return settings.features, settings.segments, settings.sampling, settings.views


def _load_pair(
    source_names: Sequence[str],
    target_name: str,
    benchmark: Benchmark,
    settings: TrainSettings,
    start: Start | None,
    loaded: dict[object, DomainVideos] | None,
) -> _Pair:
    """Read what there is of all domains, or of the target alone.

    Args:
        start: Has the record of the source where no file of it is to be opened.
        loaded: As for `prepare_jobs`.
    """
    known = {} if loaded is None else loaded

    def load(name: str) -> DomainVideos:
        # A dataset has other classes as a source than as a partial or open target.
        classes = tuple(sorted(benchmark.side(name).labels.items()))
        key = (name, classes, *_what_is_read(settings))
        if key not in known:
            known[key] = load_streams(
                settings.features,
                benchmark,
                name,
                num_segments=settings.segments,
                allow_missing=settings.allow_missing,
                num_views=settings.views,
                sampling=settings.sampling,
            )
        return known[key]

    sources = () if start else tuple(map(load, source_names))
    target = load(target_name)
    for source in sources:
        for ours, theirs in zip(source.streams, target.streams, strict=True):
            check_same_features(ours.manifest, theirs.manifest)
    if len(sources) > 1:
        report_sources(sources, benchmark.class_names)
    sides = [*sources, target]
    record: dict[str, Any] = {
        "benchmark": benchmark_record(benchmark),
        **_stream_record(sides, 0),
        "lists": {side.dataset: side.lists_hash for side in sides},
        "videos": {
            side.dataset: {"train": len(side.train), "val": len(side.val)} for side in sides
        },
    }
    if len(target.streams) > 1:
        record["streams"] = [_stream_record(sides, n) for n in range(1, len(target.streams))]
    if start is not None:
        ours, theirs = record.get("streams", ()), start.config.data.get("streams", ())
        parts = [(record, start.config.data, key) for key in ("manifests", "lists", "videos")]
        parts += [(*both, "manifests") for both in zip(ours, theirs, strict=False)]
        for here, there, key in parts:
            here[key] = {**{name: there[key].get(name) for name in source_names}, **here[key]}
    untested = untested_classes(
        target,
        benchmark.label_names,
        allow_missing=settings.allow_missing,
        wanted=benchmark.labels_in(target_name),
    )
    return _Pair(sources, target, record, untested)


def _stream_record(sides: Sequence[DomainVideos], number: int) -> dict[str, Any]:
    """Return what a run records of a stream: how its features were made, and which they are."""
    features = sides[-1].streams[number].manifest.config.as_hashed()
    # They are of the clips, not of what becomes of a frame.
    for key in ("dataset", "reading"):
        features.pop(key, None)
    hashes = {s.dataset: s.streams[number].manifest.content_hash for s in sides}
    return {"features": features, "manifests": hashes}


def _check_filled(
    method: Method, sources: Sequence[DomainVideos], target: DomainVideos, rules_on: RulesOn
) -> None:
    needed = [(target, "val")]
    if method.trains_on == "source":
        needed += [(source, "train") for source in sources]
    if method.trains_on == "target" or method.uses_target:
        needed.append((target, "train"))
    for side, role in needed:
        if not getattr(side, role):
            raise DataMissingError(
                f"no {role} videos of {side.dataset} have features in {side.folder}; {method.name} "
                "needs at least one"
            )
    for learned in {"source": sources, "target": [target]}.get(method.trains_on, ()):
        if unlabelled := [v for v in learned.train if not v.is_labelled]:
            raise DataMissingError(
                f"{len(unlabelled)} train videos of {learned.dataset} have no labels, such as "
                f"{unlabelled[0].clip.path}; {method.name} learns from them"
            )
    if rules_on == "train" and not target.train:
        raise DataMissingError(
            f"no train videos of {target.dataset} have features in {target.folder}, which the "
            "label-free rules look at; --rules-on val lets them look at those that are tested"
        )


def _config(
    benchmark: Benchmark,
    sources: Sequence[str],
    run: RunSettings,
    start: Start | None,
    pair: _Pair,
    rules_on: RulesOn,
    *,
    published: bool,
) -> RunConfig:
    method, classes = run.method, list(benchmark.class_names)
    plugins = plugins_of(method)
    identity = {**run.identity(), "classes": classes, "plugins": sorted(plugins.values())}
    if rules_on != "val":
        # Runs that do not tell are older than the choice, and keep their hash: they are of `val`.
        identity["rules_on"] = rules_on
    others = _label_sets_record(benchmark, run)
    identity |= others
    return RunConfig(
        benchmark=benchmark.name,
        source=JOIN.join(sources),
        target=pair.target.dataset,
        method=method.name,
        temporal=method.temporal,
        label=method.label,
        identity=identity,
        settings={
            "method": method.record(),
            "plugins": plugins,
            "recipe": run.recipe.record(),
            "weights": dict(run.weights),
            "published": published,
            "rules_on": rules_on,
            "classes": classes,
            **others,
            **_sources_record(sources, run),
            **(_headed(benchmark, run, pair) if run.heads else {}),
            **({"init_from": _start_record(start)} if start else {}),
            **({"untested_classes": list(pair.untested)} if pair.untested else {}),
        },
        data=pair.record,
    )


def _sources_record(sources: Sequence[str], run: RunSettings) -> dict[str, Any]:
    """Return what is recorded beside of several sources; domains where the method reads them."""
    if len(sources) == 1:
        return {}
    domains = {"domains": run.domains} if run.method.telling_sources else {}
    return {"sources": sources, **domains}


def _label_sets_record(benchmark: Benchmark, run: RunSettings) -> dict[str, Any]:
    """Return what is recorded beside where the target has other classes than the source."""
    if benchmark.label_sets is None:
        return {}
    rejection = {} if run.rejection is None else {"rejection": run.rejection.record()}
    return {"label_sets": asdict(benchmark.label_sets), **rejection}


def _headed(benchmark: Benchmark, run: RunSettings, pair: _Pair) -> dict[str, Any]:
    """Return what is recorded beside where a benchmark has several heads."""
    source = [video for side in pair.sources for video in side.train]
    learned, tested = (
        [v.labels for v in some if v.is_labelled] for some in (source, pair.target.val)
    )
    return {
        "heads": heads_record(run.heads),
        "tested": benchmark.side(pair.target.dataset).tested,
        "floors": floors_of(learned, tested, run.heads),
    }


def _start_record(start: Start) -> dict[str, Any]:
    """Return what a run tells of the one it started from."""
    told = {name: getattr(start.config, name) for name in ("method", "label", "temporal", "hash")}
    return {**told, "seed": start.point.seed}


def label_sets_note(benchmark: Benchmark, target: DomainVideos) -> str | None:
    """Return in words which classes a target has, where they are not those of the source."""
    if benchmark.label_sets is None:
        return None
    num_known = len(benchmark.class_names)
    known = [label for label in benchmark.labels_in(target.dataset) if label < num_known]
    told = f"{target.dataset}: {len(known)} of the {num_known} classes of the source"
    if benchmark.is_open:
        unknown = sum(video.label == num_known for video in (*target.train, *target.val))
        named = shorten(benchmark.label_sets.unknown)
        told += f", and {unknown} of {len(target.train) + len(target.val)} videos unknown ({named})"
    return told


def log_data(jobs: Sequence[TrainingJob]) -> None:
    """Log what the jobs of one call train on, and what to beware of."""
    targets = {job.target.dataset: job.target for job in jobs}
    # A dataset has other videos as a source than as a partial or open target.
    sides = {
        (side.dataset, side.lists_hash): (side, role)
        for job in jobs
        for role, some in (("a source", job.sources), ("the target", (job.target,)))
        for side in some
    }
    twice = Counter(name for name, _ in sides)
    for side, role in sides.values():
        LOGGER.info(
            "%s%s: %d training and %d validation videos%s",
            side.dataset,
            f" as {role}" if twice[side.dataset] > 1 else "",
            len(side.train),
            len(side.val),
            ", the same" if side.val is side.train else "",
        )
    notes = (label_sets_note(job.benchmark, job.target) for job in jobs)
    for note in dict.fromkeys(filter(None, notes)):
        LOGGER.info(note)
    _log_tested(jobs[0], list(targets.values()))
    closed = [job.method.name for job in jobs if job.method.closed_form is not None]
    if closed and len(parse_seeds(jobs[0].settings.seeds)) > 1:
        names = ", ".join(dict.fromkeys(closed))
        LOGGER.info("%s: the same whatever the seed, so one is run", names)
    if len(jobs[0].sources) > 1:
        _log_sources(jobs)
    if any(job.method.uses_target and not job.config.settings["published"] for job in jobs):
        those = "this direction" if len(targets) == 1 else "these directions, or some of them,"
        LOGGER.info("the loss weights of %s were never published; see docs/recipes.md", those)


def _log_tested(job: TrainingJob, targets: Sequence[DomainVideos]) -> None:
    """Log what the tested videos of some targets cannot tell, or not to the point."""
    labelled = {target.dataset: any(v.is_labelled for v in target.val) for target in targets}
    for name in (name for name, has_labels in labelled.items() if not has_labels):
        LOGGER.info("%s: the tested videos have no labels: no accuracy", name)
    for count in sorted({len(target.val) for target in targets if labelled[target.dataset]}):
        if count < _FEW_VIDEOS:
            LOGGER.warning(
                "with %d target validation videos one video is worth %.1f points of accuracy",
                count,
                100 / count,
            )
    for target in targets:
        judged = target.train if job.settings.rules_on == "train" else target.val
        if len(judged) > MOST_COMPARED and not job.run.heads:
            LOGGER.info(
                "%s: of %d target videos the rule snd compares %d, drawn with a fixed seed",
                *(target.dataset, len(judged), MOST_COMPARED),
            )


def _log_sources(jobs: Sequence[TrainingJob]) -> None:
    """Log how several sources share a batch, and to which methods they are one domain anyhow."""
    names = [side.dataset for side in jobs[0].sources]
    trained = [job for job in jobs if job.method.trains_on == "source"]
    if any(job.method.closed_form is None for job in trained):
        LOGGER.info(
            "every batch has equal parts of %s, in each of which its classes are as frequent",
            " and ".join(names),
        )
    if jobs[0].settings.domains != "each":
        return
    for job in {job.method.name: job for job in trained}.values():
        telling = [term.label for term in job.method.telling_sources]
        told = f"are told apart by {', '.join(telling)}" if telling else "are one domain to it"
        LOGGER.info("%s: the sources %s", job.method.name, told)
