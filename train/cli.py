"""`ta3n-train`: TA3N and its baselines on cached features."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ta3n.common.cli import (
    SettingsCommand,
    complete_dataset,
    handles_errors,
    json_option,
    say,
    say_json,
    settings_options,
)
from ta3n.common.errors import DivergedError, UsageError, shorten
from ta3n.common.log import LOGGER, counted
from ta3n.train.inference.cli import evaluation_options, run_evaluation, take_call
from ta3n.train.inference.submission import run_submission, submission_options, take_submission
from ta3n.train.methods.registry import describe_methods
from ta3n.train.paper.rows import describe_rows
from ta3n.train.validators.rules import RULES

if TYPE_CHECKING:
    from ta3n.datasets.catalogue import Catalogue
    from ta3n.train.jobs.grid import Grid
    from ta3n.train.jobs.grid_result import GridResult
    from ta3n.train.jobs.job import TrainingJob
    from ta3n.train.jobs.settings import TrainSections, TrainSettings
    from ta3n.train.runs.folder import Divergence, RunResult

COMMAND = "ta3n-train"

_EPILOG = """
\b
Examples:
  ta3n-train --source ucf --target hmdb --features features
  ta3n-train --source hmdb --target ucf --method revgrad --temporal pooling --seeds 5
  ta3n-train --source ucf --target hmdb --row table3/ta3n --attention none   (an ablation)
  ta3n-train --source ucf --target hmdb --method dan --add mcd --weight alpha=0.3
  ta3n-train --source ucf --target hmdb --rows table3,table4 --seeds 5 --jobs 8
  ta3n-train --benchmark epic55 --directions all --methods ta3n,mcc --seeds 3   (every pair of it)
  ta3n-train --source ucf --target hmdb --allow-missing     (on the clips at hand)
  ta3n-train --source ucf --target hmdb --rows table3 --seeds 5 --shard $SLURM_ARRAY_TASK_ID/20
                                            (an array job, 0-19; any number of jobs)
  ta3n-train --source ucf --target hmdb --rows table3 --seeds 5 --dry-run    (time, memory, disk)
  ta3n-train --source ucf --target hmdb --grid weights.toml --seeds 3     (every combination)
  ta3n-train --init-from runs/.../source-only-... --source-free --seeds 5   (SHOT: the target alone)
  ta3n-train --source daily-mit,daily-kinetics --target hmdb --domains each   (several sources)
  ta3n-train --evaluate runs/.../seed-0 --target hmdb --features features
  ta3n-train --evaluate runs/.../seed-0 --videos clip.mp4 --videos clips    (without a dataset)
  ta3n-train --submit runs/.../seed-0 --out test.zip --sls-pt N --sls-tl N --sls-td N
                                            (EPIC-KITCHENS-100, see docs/epic-kitchens.md)

\b
A row gives all terms, --method those of a method, a single switch wins over both, --add adds.
Exit codes: 0 done, 1 features or device missing or damaged, 2 wrong usage,
3 done, but runs diverged, 4 a submission that would be refused, 75 interrupted.
"""

_GRID_RULES = click.Choice([*(rule.name for rule in RULES), "oracle"])
_DEFAULT_RULE = "im"


def _print_rows(context: click.Context, _option: click.Parameter, value: bool) -> None:
    if value:
        click.echo(describe_rows())
        context.exit()


@click.command(
    COMMAND,
    cls=SettingsCommand,
    section="ta3n.train.jobs.settings:TrainSettings",
    after="target",
    epilog=_EPILOG,
    context_settings={"max_content_width": 100},
)
@click.option(
    "--source",
    metavar="NAME",
    shell_complete=complete_dataset,
    help="Labelled dataset: ucf, hmdb ...; several: hmdb,daily-mit.",
)
@click.option(
    "--target", metavar="NAME", shell_complete=complete_dataset, help="Dataset to adapt to."
)
@click.option(
    "--directions",
    metavar="LIST",
    help="Instead of both: all ordered pairs of --benchmark, or some: ucf-hmdb,hmdb-ucf.",
)
@click.option(
    "--list-rows",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_rows,
    help="Print the rows of the paper's tables with its figures, and stop.",
)
@click.option(
    "--list-methods",
    is_flag=True,
    help="Print all methods and temporal modules with their weights and sources, and stop.",
)
@click.option("--shard", metavar="i/N", help="Train the i-th of N parts of all runs, i from 0.")
@click.option(
    "--dry-run",
    is_flag=True,
    help="Say what would be trained and stand in the way; try an epoch for time, memory and disk.",
)
@click.option(
    "--grid",
    "grid_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Train every combination of a TOML file of lists, such as gamma = [0.003, 0.3].",
)
@click.option("--select", type=_GRID_RULES, help="Chooses among the combinations (default: im).")
@evaluation_options
@submission_options
@json_option
@settings_options
@handles_errors(COMMAND)
def main(
    source: str | None,
    target: str | None,
    directions: str | None,
    config_file: Path | None,
    show_config: bool,
    list_methods: bool,
    shard: str | None,
    grid_file: Path | None,
    select: str | None,
    dry_run: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Train on the source, adapt to the unlabelled target, evaluate on the target.

    A finished run is left as it is; an interrupted one is gone on with by the same command line.
    """
    # Settings and torch are imported late: --help must answer at once.
    from ta3n.common.settings import load_settings
    from ta3n.train.jobs.settings import TrainSections, weights_given

    call = _Call(source, target, directions, shard, grid_file, select, dry_run or None)
    others = asdict(call)
    del others["target"]
    _check_json(
        as_json,
        dry_run=dry_run,
        show_config=show_config,
        list_methods=list_methods,
        submit=bool(options["submit"]),
    )
    submission = take_submission(options, target, others)
    evaluation = take_call(options, target, others)
    weights = weights_given(options)
    given = [*weights, *(key for key, value in options.items() if value not in (None, ()))]
    overrides = {f"train.{key}": value for key, value in options.items()}
    overrides |= {f"train.weight.{name}": value for name, value in weights.items()}
    resolved = load_settings(TrainSections, config_file, overrides)
    if show_config:
        click.echo(resolved.describe())
        return
    if list_methods:
        click.echo(describe_methods())
        return
    if submission is not None:
        run_submission(submission, resolved.settings)
        return
    if evaluation is not None:
        run_evaluation(evaluation, resolved.settings, as_json=as_json)
        return
    if directions is not None:
        _check_alone(directions, source, target, resolved.settings.train)
    elif init_from := resolved.settings.train.init_from:
        from ta3n.train.runs.starting import direction_of

        pair = direction_of(init_from)
        call = replace(call, source=source or pair.source, target=target or pair.target)
    if directions is None and (call.source is None or call.target is None):
        raise UsageError("no pair of datasets; give --source and --target, such as ucf and hmdb")
    if resolved.settings.train.tensorboard:
        from ta3n.train.runs.scalars import check_tensorboard

        check_tensorboard()
    _train(call, given, resolved.settings, as_json=as_json)


def _check_json(as_json: bool, **others: bool) -> None:
    """Refuse `--json` beside what prints something else than results."""
    given = [f"--{name.replace('_', '-')}" for name, value in others.items() if value]
    if as_json and given:
        raise UsageError(f"--json prints results; leave out {', '.join(given)}")


def _check_alone(
    directions: str, source: str | None, target: str | None, settings: TrainSettings
) -> None:
    """Refuse what names one direction beside what names several."""
    if source is not None or target is not None:
        raise UsageError(
            f"--directions {directions} names sources and targets; leave out --source and --target"
        )
    if settings.init_from is not None:
        raise UsageError(
            f"{settings.init_from} is of one direction; leave out --directions, and give a line "
            "for each that has a run to start from"
        )


@dataclass(frozen=True, slots=True)
class _Call:
    """Options that are not settings: they hold for one call."""

    source: str | None
    target: str | None
    directions: str | None
    shard: str | None
    grid: Path | None
    select: str | None
    dry_run: bool | None


def _train(
    call: _Call, given: Sequence[str], all_settings: TrainSections, *, as_json: bool
) -> None:
    from ta3n.common.shares import JobShare
    from ta3n.datasets.catalogue import catalogue_of
    from ta3n.train.jobs.directions import prepare_directions
    from ta3n.train.jobs.execution import run_jobs
    from ta3n.train.jobs.grid import read_grid
    from ta3n.train.jobs.job import log_data
    from ta3n.train.runs.folder import read_divergences

    settings = all_settings.train
    share = None if call.shard is None else JobShare.parse(call.shard)
    if call.select is not None and call.grid is None:
        raise UsageError("--select chooses among the combinations of a grid; give --grid as well")
    grid = None if call.grid is None else read_grid(call.grid, given)
    variants = [settings] if grid is None else grid.apply(settings)
    catalogue = catalogue_of(all_settings)
    pairs = _pairs(call, settings, catalogue)
    by_direction = prepare_directions(pairs, *variants, catalogue=catalogue)
    jobs = [job for each in by_direction for job in each]
    log_data(jobs)
    folders = [job.folder(seed).path for job in jobs for seed in job.seeds]
    _log_plan(grid, by_direction, len(folders))
    if call.dry_run:
        from ta3n.train.jobs.dry_run import look_ahead

        for line in look_ahead(jobs, settings.jobs, share):
            say(line)
        return
    results = run_jobs(jobs, settings.jobs, share)
    diverged = read_divergences(folders)
    num_left = len(folders) - len(diverged) - sum(map(len, results))
    if num_left:
        LOGGER.info("%d runs are left to other jobs; the last one prints the table", num_left)
    is_chosen = not num_left and any(results)
    rule = call.select or _DEFAULT_RULE
    grids = _choose(grid, by_direction, rule) if grid is not None and is_chosen else None
    if as_json:
        _say_record(by_direction, results, diverged, num_left, grids)
    elif not num_left:
        _print(by_direction, results, diverged, grids)
    if diverged:
        named = [f"{path} {divergence.reason}" for path, divergence in diverged.items()]
        raise DivergedError(
            f"{len(diverged)} runs are in no figure, and are not tried again as long as their "
            f"folders are there: {shorten(named)}"
        )


def _log_plan(
    grid: Grid | None, by_direction: Sequence[Sequence[TrainingJob]], num_runs: int
) -> None:
    """Log how many runs there are of what; refuse a grid of which some are the same."""
    first = by_direction[0]
    if grid is not None:
        if (different := len({job.config.hash for job in first})) < len(first):
            raise UsageError(
                f"{len(first)} combinations come to {different} runs: {first[0].method.name} does "
                f"not read all of {', '.join(grid.values)}; leave out what it does not"
            )
        LOGGER.info("a grid of %d combinations: %d runs", len(first), num_runs)
    if len(by_direction) > 1:
        rows = counted(len(first), "row")
        LOGGER.info("%d directions of %s: %d runs", len(by_direction), rows, num_runs)


def _pairs(call: _Call, settings: TrainSettings, catalogue: Catalogue) -> Sequence[tuple[str, str]]:
    """Return source and target of every direction that is asked for."""
    from ta3n.train.jobs.directions import find_directions

    if call.directions is not None:
        return find_directions(call.directions, settings.benchmark, catalogue)
    assert call.source is not None, "it was looked at before"
    assert call.target is not None, "likewise"
    return [(call.source, call.target)]


def _choose(
    grid: Grid, by_direction: Sequence[Sequence[TrainingJob]], rule: str
) -> Iterator[GridResult]:
    """Yield what a grid came to in each direction."""
    from ta3n.train.jobs.grid_result import choose

    for jobs in by_direction:
        yield choose(grid, [[job.folder(n).path for n in job.seeds] for job in jobs], rule)


def _say_record(
    by_direction: Sequence[Sequence[TrainingJob]],
    results: Sequence[Sequence[RunResult]],
    diverged: Mapping[Path, Divergence],
    num_left: int,
    grids: Iterable[GridResult] | None,
) -> None:
    """Print what the runs came to as one JSON document."""
    from ta3n.train.jobs.grid_result import grid_record
    from ta3n.train.jobs.record import results_record

    record = results_record(by_direction, results, diverged)
    record["left_to_other_jobs"] = num_left
    if grids is not None:
        record["grids"] = [grid_record(each) for each in grids]
    say_json(record)


def _print(
    by_direction: Sequence[Sequence[TrainingJob]],
    results: Sequence[Sequence[RunResult]],
    diverged: Mapping[Path, Divergence],
    grids: Iterable[GridResult] | None,
) -> None:
    """Print what the runs came to, all of which are over."""
    from ta3n.train.data.videos import worth_of_a_video
    from ta3n.train.jobs import table

    if not any(results):
        LOGGER.warning("every run diverged: there is no figure to tell")
        return
    if grids is not None:
        for (first, *_), grid in zip(by_direction, grids, strict=True):
            if len(by_direction) > 1:
                click.echo(f"{first.config.source} → {first.config.target}")
            table.print_grid(grid)
        return
    jobs = by_direction[0]
    if len(by_direction) > 1:
        several = iter(results)
        table.print_matrix(by_direction, [[next(several) for _ in each] for each in by_direction])
    elif len(jobs) == 1:
        table.print_results(jobs[0].config, results[0])
    else:
        table.print_rows(jobs, results)
    told = (worth_of_a_video(each[0].target, each[0].benchmark) for each in by_direction)
    for few in dict.fromkeys(filter(None, told)):
        click.echo(few)
    table.print_diverged(diverged)
