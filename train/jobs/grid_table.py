"""A finished grid on the terminal: what each rule chooses, the combinations, and the cost."""

from statistics import mean
from typing import TYPE_CHECKING

from ta3n.common.log import describe_duration
from ta3n.train.jobs.grid_result import ORACLE, GridResult, Pick
from ta3n.train.runs.tables import open_console, spread

if TYPE_CHECKING:
    from rich.table import Table

_SHOWN = 20


def print_grid(result: GridResult) -> None:
    """Print what the rule chooses with the oracle's choice beside it, and what that cost."""
    console = open_console()
    console.print(_choices(result))
    console.print(_combinations(result))
    if (hidden := len(result.trials) - _SHOWN) > 0:
        console.print(f"and {hidden} more combinations, see {result.path}", highlight=False)
    for line in _summary(result):
        # Paths and options are to be copied: they are never wrapped.
        console.print(line, highlight=False, soft_wrap=True)


def _choices(result: GridResult) -> "Table":
    table = _table("selection", *result.grid.values, "epoch", "score", "target accuracy", "videos")
    # The one that is asked for first, the odd one out last.
    order = sorted(result.picks, key=lambda rule: (rule != result.rule, rule == ORACLE))
    for rule in order:
        pick = result.picks[rule]
        values = (str(value) for value in result.trials[pick.number].values.values())
        table.add_row(rule, *values, str(pick.epoch), f"{pick.score:.4g}", *_accuracy(pick))
    return table


def _combinations(result: GridResult) -> "Table":
    table = _table(
        *result.grid.values, result.rule, "epoch", "target accuracy", "videos", "best accuracy"
    )
    best = [(trial, trial.best(result.rule), trial.best(ORACLE)) for trial in result.trials]
    best.sort(key=lambda each: -each[1].score if each[1] else float("inf"))
    for trial, pick, oracle in best[:_SHOWN]:
        values = (str(value) for value in trial.values.values())
        chosen = (f"{pick.score:.4g}", str(pick.epoch), *_accuracy(pick)) if pick else ("-",) * 4
        table.add_row(*values, *chosen, spread(oracle.percents) if oracle else "-")
    return table


def _table(*headings: str) -> "Table":
    from rich.table import Table

    table = Table()
    for heading in headings:
        table.add_column(heading, no_wrap=True)
    return table


def _accuracy(pick: Pick) -> tuple[str, str]:
    return spread(pick.percents), f"{mean(pick.correct):.1f} of {pick.total}"


def _summary(result: GridResult) -> list[str]:
    chosen, oracle, cost = result.chosen, result.oracle, result.cost
    behind = mean(oracle.correct) - mean(chosen.correct)
    seeds = len(chosen.correct)
    took = "" if cost.seconds is None else f", {describe_duration(cost.seconds)} of training"
    return [
        "target accuracy in percent, mean ± standard deviation over seeds; score and epoch are "
        "chosen by the mean over seeds",
        f"chosen by {result.rule}: {result.trials[chosen.number].options}, epoch {chosen.epoch}",
        f"{ORACLE} (reads target labels): {result.trials[oracle.number].options}, epoch "
        f"{oracle.epoch}, {behind:.1f} videos ({100 * behind / chosen.total:.2f} points) ahead",
        f"cost: {cost.combinations} combinations x {seeds} seeds = {cost.runs} runs, "
        f"{cost.epochs} epochs{took}",
        f"result: {result.path}",
    ]
