"""Finished runs whose weights other runs start from. No torch here."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ta3n.common.errors import DataConflictError, DataMissingError, UsageError
from ta3n.datasets.benchmarks.benchmark import Benchmark
from ta3n.train.data.videos import DomainVideos
from ta3n.train.methods.registry import method_of
from ta3n.train.methods.run_settings import RunSettings, StartingPoint
from ta3n.train.runs.folder import RunConfig, RunFolder
from ta3n.train.runs.records import check_features, find_runs, read_config


class Start(NamedTuple):
    """Where runs start from, and what was run there."""

    point: StartingPoint
    config: RunConfig


def direction_of(path: Path) -> RunConfig:
    """Return what was run in a folder, whose datasets are those of a run that starts from it.

    Raises:
        DataMissingError: If there is no run.
        FeatureStoreError: If its record is damaged.
    """
    config, _ = read_config(find_runs(path)[0])
    return config


def find_start(path: Path, seeds: Sequence[int]) -> Start:
    """Return the finished run that seeds start from, or those that each starts from its own of.

    Args:
        path: a run's folder `seed-N`, which all seeds start from, or the one above: seed N then
            starts from seed N there, or from the only one.

    Raises:
        DataMissingError: If there is no run, or one is not finished.
        UsageError: If there is no run of a seed.
        FeatureStoreError: If a record is damaged.
    """
    runs = {seed: (run, config) for run in find_runs(path) for config, seed in [read_config(run)]}
    alone = len(runs) == 1
    if lacking := [] if alone else [seed for seed in seeds if seed not in runs]:
        raise UsageError(
            f"{path} has no run of seed {lacking[0]} to start from; choose among its seeds "
            f"{', '.join(map(str, runs))}, or name one run that all start from"
        )
    used = runs if alone else {seed: runs[seed] for seed in seeds}
    if unfinished := [run for run, _ in used.values() if not RunFolder(run).is_finished()]:
        raise DataMissingError(
            f"{unfinished[0]} is not finished; train it to its end before others start from it"
        )
    (seed, (run, config)), *_ = used.items()
    if alone:
        return Start(StartingPoint(path=run, config_hash=config.hash, seed=seed), config)
    return Start(StartingPoint(path=path, config_hash=config.hash), config)


def check_fits(
    start: Start, run: RunSettings, benchmark: Benchmark, source: str, target: DomainVideos
) -> None:
    """Refuse to start from a run of other classes, features or another form of model.

    Args:
        source: name of the source dataset, or those of several, joined.

    Raises:
        UsageError: For an option that would make them alike.
        DataConflictError: For what no option does.
    """
    config, where = start.config, start.point.path
    theirs, ours = method_of(config.settings["method"]), run.method
    # A partial target has the classes of the benchmark behind it.
    base = config.settings.get("label_sets", {}).get("base", config.benchmark)
    if (base, config.source) != (benchmark.base, source):
        raise DataConflictError(
            f"{where} was trained on {config.source} of {config.benchmark}, and this run is of "
            f"{source} of {benchmark.name}; start from a run of the same"
        )
    if tuple(config.settings["classes"]) != benchmark.class_names:
        raise DataConflictError(
            f"{where} was trained on other classes than the source has in {benchmark.name} now: "
            f"{len(config.settings['classes'])} there, {len(benchmark.class_names)} here; give the "
            "same --unknown, or train it again"
        )
    check_features(config, where, [s.manifest.config for s in target.streams], target.folder)
    if closed := [m.name for m in (theirs, ours) if m.closed_form is not None]:
        raise UsageError(
            f"{closed[0]} is a closed form: it neither starts from {where} nor is started from"
        )
    if theirs.attention != ours.attention:
        raise UsageError(
            f"{where} has the attention {theirs.attention}, {ours.name} {ours.attention}: it would "
            "say something else of every video; start from a run with the same"
        )
    recipe = config.settings["recipe"]
    forms = {
        "--temporal": (theirs.temporal, ours.temporal),
        "--fusion": (recipe.get("fusion", "concat"), run.recipe.fusion),
        "--segments": (recipe["num_segments"], run.recipe.num_segments),
        **{
            f"--{name.replace('_', '-')}": (recipe.get(name), getattr(run.recipe, name))
            for name in ours.encoder.reads
        },
    }
    for option, (there, here) in forms.items():
        if there != here:
            raise UsageError(f"{where} was trained with {option} {there}, this run has {here}")
