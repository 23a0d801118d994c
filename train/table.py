"""The results of a row over its seeds, as a table on the terminal."""

from collections.abc import Sequence
from statistics import mean, stdev

from ta3n.train.runs import RunConfig, RunResult

_RULE_NOTES = {
    "last": "the final epoch",
    "oracle": "the best epoch on target labels (the paper's protocol)",
}


def spread(values: Sequence[float]) -> str:
    """Return mean and standard deviation over seeds (n - 1), or the value alone for one seed."""
    if len(values) == 1:
        return f"{values[0]:.2f}"
    return f"{mean(values):.2f} ± {stdev(values):.2f}"


def print_results(config: RunConfig, results: Sequence[RunResult]) -> None:
    """Print accuracy on the target validation videos by selection rule, in percent and in videos.

    Args:
        config: What was run.
        results: One a seed, at least one.
    """
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for heading in ("selection", "n", "target accuracy", "correct videos", "epochs chosen"):
        table.add_column(heading, no_wrap=True)
    table.add_column("what it is")
    for name in results[0].rules:
        rules = [result.rules[name] for result in results]
        table.add_row(
            name,
            str(len(rules)),
            spread([rule.percent for rule in rules]),
            f"{mean(rule.correct for rule in rules):.1f} of {rules[0].total}",
            ", ".join(str(rule.epoch) for rule in rules),
            _RULE_NOTES[name],
        )
    # Without a terminal the width is not known; a log file takes whole lines.
    console = Console()
    if not console.is_terminal:
        console = Console(width=150)
    recipe = config.settings["recipe"]["name"]
    console.print(
        f"{config.source} → {config.target} ({config.benchmark}): {config.method} with "
        f"{config.temporal}, recipe {recipe}",
        highlight=False,
    )
    console.print(table)
    console.print("target accuracy in percent, mean ± standard deviation over n seeds")
