"""Results over seeds as a table on the terminal: of one row by selection rule, or of several."""

from collections.abc import Sequence
from statistics import mean
from typing import TYPE_CHECKING

from ta3n.train.paper.labels import few_rules, rule_note
from ta3n.train.runs.folder import RunConfig, RunResult
from ta3n.train.runs.tables import open_console, spread

if TYPE_CHECKING:
    from rich.console import Console

    from ta3n.train.jobs.job import TrainingJob


def print_results(config: RunConfig, results: Sequence[RunResult]) -> None:
    """Print accuracy on the target validation videos by selection rule, in percent and in videos.

    Args:
        config: What was run.
        results: One a seed, at least one.
    """
    from rich.table import Table

    table = Table()
    for heading in ("selection", "n", "target accuracy", "correct videos", "epochs chosen"):
        table.add_column(heading, no_wrap=True)
    table.add_column("what it is")
    for name in [n for n in results[0].rules if all(n in result.rules for result in results)]:
        rules = [result.rules[name] for result in results]
        table.add_row(
            name,
            str(len(rules)),
            spread([rule.percent for rule in rules]),
            f"{mean(rule.correct for rule in rules):.1f} of {rules[0].total}",
            ", ".join(str(rule.epoch) for rule in rules),
            rule_note(name),
        )
    console = open_console()
    _print_heading(console, config, f"{config.method} with {config.temporal}")
    console.print(table)
    console.print("target accuracy in percent, mean ± standard deviation over n seeds")


def print_rows(jobs: Sequence["TrainingJob"], results: Sequence[Sequence[RunResult]]) -> None:
    """Print a line for each row: the main selection rules beside the paper's figure.

    Args:
        jobs: What was run, of one pair of datasets.
        results: For each job one result a seed, at least one.
    """
    from rich.table import Table

    table = Table()
    shared = [r for r in results[0][0].rules if all(r in x.rules for runs in results for x in runs)]
    rules = few_rules(shared)
    for heading in ("row", "method", "temporal", "n", *rules, "paper"):
        table.add_column(heading, no_wrap=True)
    for job, runs in zip(jobs, results, strict=True):
        accuracies = [spread([run.rules[rule].percent for run in runs]) for rule in rules]
        name = job.row.name if job.row else ""
        table.add_row(
            name, job.method.name, job.method.temporal, str(len(runs)), *accuracies, _paper(job)
        )
    console = open_console()
    _print_heading(console, jobs[0].config, f"{len(jobs)} rows")
    console.print(table)
    console.print("target accuracy in percent, mean ± standard deviation over n seeds")
    for rule in rules:
        console.print(f"{rule}: {rule_note(rule)}", highlight=False)


def _paper(job: "TrainingJob") -> str:
    """Return the figure that the paper prints for a job, if it does and the job is that row."""
    if job.row is None or job.method != job.row.method:
        return "-"
    figure = job.row.figures.get((job.config.benchmark, job.config.source, job.config.target))
    return "-" if figure is None else f"{figure:.2f}"


def _print_heading(console: "Console", config: RunConfig, what: str) -> None:
    recipe = config.settings["recipe"]["name"]
    console.print(
        f"{config.source} → {config.target} ({config.benchmark}): {what}, recipe {recipe}",
        highlight=False,
    )
