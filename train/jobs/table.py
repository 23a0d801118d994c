"""Results over seeds as tables on the terminal: of one row, of several, or of a grid."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

from ta3n.common.log import counted, describe_duration, open_console, print_table
from ta3n.datasets.benchmarks.names import told_apart
from ta3n.train.jobs.grid_result import GridResult, Pick
from ta3n.train.methods.rejection import rejection_of
from ta3n.train.paper.labels import few_rules, rule_note, rule_place
from ta3n.train.runs.floors import floor_lines
from ta3n.train.runs.folder import Divergence, RunConfig, RunResult
from ta3n.train.runs.rule_notes import looks_at_target, rules_on_note, withheld_note
from ta3n.train.runs.selection import (
    ACTION,
    MEAN_OF_CLASSES,
    MEASURES_OF_OPEN_SET,
    OPEN_SET,
    ORACLE,
    ChosenEpoch,
)
from ta3n.train.runs.tables import spread
from ta3n.train.runs.troubles import trouble_notes, trouble_summary

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from ta3n.train.jobs.job import TrainingJob

_SHOWN = 20
"""Combinations of a grid in its table; the file has all."""


def print_results(config: RunConfig, results: Sequence[RunResult]) -> None:
    """Print accuracy on the target validation videos by selection rule, in percent and in videos.

    Args:
        config: What was run.
        results: One a seed, at least one.
    """
    first = results[0].rules["last"]
    heads = list(first.percents()) or ["target accuracy"]
    if any(rule.mean_class is not None for each in results for rule in each.rules.values()):
        heads.append(_MEAN)
    shown = _open_set_shown(results)
    measures = [OPEN_SET[name] for name in shown]
    table = _table("selection", "n", *heads, *measures, "correct videos", "epochs chosen")
    table.add_column("what it is")
    names = list(dict.fromkeys(rule for each in results for rule in (*each.rules, *each.withheld)))
    for name in names:
        rules = [result.rules[name] for result in results if name in result.rules]
        accuracies, correct, epochs = ["-"] * (len(heads) + len(shown)), "-", "-"
        if rules:
            epochs = ", ".join(str(rule.epoch) for rule in rules)
        if rules and rules[0].total:
            each = [list(rule.percents().values()) or [rule.percent] for rule in rules]
            accuracies = [spread(list(column)) for column in zip(*each, strict=True)]
            accuracies += [_class_means(rules)] if heads[-1] == _MEAN else []
            accuracies += _open_set_cells(rules, shown)
            correct = f"{mean(rule.correct for rule in rules):.1f} of {rules[0].total}"
        table.add_row(name, str(len(rules)), *accuracies, correct, epochs, rule_note(name))
    console = open_console()
    recipe = config.settings["recipe"]["name"]
    _print_heading(console, config, f"{config.method} with {config.temporal}", recipe)
    print_table(console, table)
    _print_what_it_is(console, config, first)
    _print_rule_notes(console, names, config, results)
    _print_troubles(console, [(config.label, results)])


_MEAN = "mean of classes"


def _open_set_shown(results: Sequence[RunResult]) -> list[str]:
    """Return the measures of an open set to show beside the mean of classes, which is OS."""
    told = any(rule.open_set for each in results for rule in each.rules.values())
    return [name for name in OPEN_SET if name != "os"] if told else []


def _open_set_cells(rules: Sequence[ChosenEpoch], shown: Sequence[str]) -> list[str]:
    """Return measures of an open set over seeds; dashes where a seed does not tell them."""
    if not rules or not all(rule.open_set for rule in rules):
        return ["-"] * len(shown)
    return [spread([rule.open_set[name] for rule in rules]) for name in shown]


def _class_means(rules: Sequence[ChosenEpoch]) -> str:
    """Return the mean of the classes over seeds; a dash where a seed does not tell it."""
    means = [rule.mean_class for rule in rules if rule.mean_class is not None]
    return spread(means) if means and len(means) == len(rules) else "-"


def print_rows(jobs: Sequence["TrainingJob"], results: Sequence[Sequence[RunResult]]) -> None:
    """Print a line for each row: the main selection rules beside the paper's figure.

    Beside the accuracy by a rule stands the mean of the classes, where there is one, and behind
    all of them the measures of an open set, by the first rule.

    Args:
        jobs: What was run, of one pair of datasets.
        results: For each job one result a seed that did not diverge, at least one in all.
    """
    finished = [result for runs in results for result in runs]
    rules = few_rules(list(dict.fromkeys(rule for each in finished for rule in each.rules)))
    has_means = any(r.mean_class is not None for each in finished for r in each.rules.values())
    heads = [head for rule in rules for head in (rule, *(["of classes"] if has_means else []))]
    shown = _open_set_shown(finished)
    named = [f"{OPEN_SET[name]} ({rules[0]})" for name in shown]
    table = _table("row", "method", "temporal", "n", *heads, *named, "paper")
    for job, runs in zip(jobs, results, strict=True):
        accuracies = []
        for rule in rules:
            chosen = [run.rules[rule] for run in runs if rule in run.rules]
            is_told = bool(runs) and len(chosen) == len(runs) and all(c.total for c in chosen)
            cell = spread([c.percent for c in chosen]) if is_told else "-" if runs else "diverged"
            accuracies.append(cell)
            accuracies += [_class_means(chosen) if is_told else "-"] if has_means else []
        by_first = [run.rules[rules[0]] for run in runs if rules[0] in run.rules]
        accuracies += _open_set_cells(by_first if len(by_first) == len(runs) else [], shown)
        name = job.row.name if job.row else ""
        table.add_row(
            name, job.method.name, job.method.temporal, str(len(runs)), *accuracies, _paper(job)
        )
    console = open_console()
    _print_heading(console, jobs[0].config, f"{len(jobs)} rows", jobs[0].settings.recipe)
    print_table(console, table)
    _print_what_it_is(console, jobs[0].config, finished[0].rules["last"])
    for rule in rules:
        console.print(f"{rule}: {rule_note(rule)}")
    _print_rule_notes(console, rules, jobs[0].config, finished)
    _print_troubles(console, [(j.config.label, r) for j, r in zip(jobs, results, strict=True)])


def print_matrix(
    jobs: Sequence[Sequence["TrainingJob"]], results: Sequence[Sequence[Sequence[RunResult]]]
) -> None:
    """Print rows down and directions across with their mean, a table for each main rule.

    Args:
        jobs: What was run, one list a direction with the same rows.
        results: For each job one result a seed that did not diverge, at least one in all.
    """
    finished = [result for each in results for runs in each for result in runs]
    judged = dict.fromkeys(rule for each in finished for rule in each.rules)
    rules = sorted(few_rules(list(judged)), key=rule_place)
    configs = [each[0].config for each in jobs]
    short = told_apart({name for config in configs for name in (config.source, config.target)})
    heads = [f"{short[config.source]} → {short[config.target]}" for config in configs]
    console = open_console()
    rows = counted(len(jobs[0]), "row")
    what = f"{len(configs)} directions of {configs[0].benchmark}: {rows}"
    console.print(f"{what}, recipe {jobs[0][0].settings.recipe}")
    for rule in rules:
        chosen = [each.rules[rule] for each in finished if rule in each.rules]
        means = [_MEAN] if any(each.mean_class is not None for each in chosen) else []
        means += [OPEN_SET["h_score"]] if any(each.open_set for each in chosen) else []
        table = _table("method", "temporal", "n", *heads, "mean", *means, title=rule)
        for row, job in enumerate(jobs[0]):
            runs = [each[row] for each in results]
            cells = (*_across(runs, rule), *_means_across(runs, rule, means))
            table.add_row(job.method.name, job.method.temporal, *cells)
        print_table(console, table)
    console.print(
        "target accuracy in percent, mean ± standard deviation over n seeds; the mean is that of "
        "all directions, and not told where one lacks the row",
    )
    _print_means(console, configs[0], finished[0].rules["last"])
    for rule in rules:
        console.print(f"{rule}: {rule_note(rule)}")
    _print_rule_notes(console, rules, configs[0], finished)
    of_all = [
        (f"{job.config.label} in {head}", found)
        for some, of_each, head in zip(jobs, results, heads, strict=True)
        for job, found in zip(some, of_each, strict=True)
    ]
    _print_troubles(console, of_all, trouble_summary)


def _across(runs: Sequence[Sequence[RunResult]], rule: str) -> list[str]:
    """Return n, the accuracy in each direction and their mean, as told."""
    percents = [
        [result.rules[rule].percent for result in each]
        if all(rule in result.rules and result.rules[rule].total for result in each)
        else []
        for each in runs
    ]
    counts = sorted({len(each) for each in runs})
    cells = [spread(found) if found else "-" for found in percents]
    whole = f"{mean(map(mean, percents)):.2f}" if all(percents) else "-"
    return ["-".join(map(str, dict.fromkeys((counts[0], counts[-1])))), *cells, whole]


def _means_across(
    runs: Sequence[Sequence[RunResult]], rule: str, shown: Sequence[str]
) -> Iterator[str]:
    """Yield means over all directions of other figures than accuracy, as told."""
    chosen = [[each.rules[rule] for each in some if rule in each.rules] for some in runs]
    for name in shown:
        told = [
            [rule.mean_class if name == _MEAN else rule.open_set.get("h_score") for rule in some]
            for some in chosen
        ]
        found = [[figure for figure in some if figure is not None] for some in told]
        is_whole = all(one and len(one) == len(each) for one, each in zip(found, runs, strict=True))
        yield f"{mean(map(mean, found)):.2f}" if is_whole else "-"


def _print_what_it_is(console: "Console", config: RunConfig, any_rule: ChosenEpoch) -> None:
    """Say what the figures are, and with several heads what they are to be held against."""
    if not any_rule.total:
        console.print("the tested videos have no labels: there is no accuracy")
        return
    names = list(any_rule.by_head)
    action = f" of {ACTION}, where {' and '.join(names)} are right," if len(names) > 1 else ""
    console.print(f"target accuracy{action} in percent, mean ± standard deviation over n seeds")
    _print_means(console, config, any_rule)
    for line in floor_lines(config.settings.get("floors", {}), any_rule.total):
        console.print(line)


def _print_means(console: "Console", config: RunConfig, any_rule: ChosenEpoch) -> None:
    """Say what the mean of classes is, the measures of an open set, and how unknown is told."""
    if any_rule.mean_class is not None:
        console.print(MEAN_OF_CLASSES)
    if (rejection := rejection_of(config.settings)) is not None:
        console.print(MEASURES_OF_OPEN_SET)
        console.print(rejection.rule)


def _print_rule_notes(
    console: "Console", rules: Sequence[str], config: RunConfig, results: Sequence[RunResult]
) -> None:
    """Say on which videos label-free rules looked, and where their scores were withheld."""
    names = [rule for rule in rules if looks_at_target(rule)]
    if names:
        videos = rules_on_note(config.settings)
        console.print(f"rules that need no target label: looked at {videos}")
    for note in filter(None, (withheld_note(rule, results) for rule in names)):
        console.print(note)


def _print_troubles(
    console: "Console",
    rows: Sequence[tuple[str, Sequence[RunResult]]],
    told: Callable[..., Sequence[str]] = trouble_notes,
) -> None:
    """Name the runs that learned nothing, or came to one class, and what to try."""
    by_seed = ((name, {each.seed: each.troubles for each in results}) for name, results in rows)
    for note in told(by_seed):
        console.print(f"beware: {note}", markup=False, soft_wrap=True)


def print_diverged(runs: Mapping[Path, Divergence]) -> None:
    """Print which runs are in no figure, a line each, by folder."""
    console = open_console()
    for path, divergence in runs.items():
        told = f"seed {divergence.seed} {divergence.reason}, and is in no figure: {path}"
        console.print(told, soft_wrap=True)


def _paper(job: "TrainingJob") -> str:
    """Return the figure that the paper prints for a job, if it does and the job is that row."""
    if job.row is None or job.method != job.row.method:
        return "-"
    figure = job.row.figures.get((job.config.benchmark, job.config.source, job.config.target))
    return "-" if figure is None else f"{figure:.2f}"


def _print_heading(console: "Console", config: RunConfig, what: str, recipe: str) -> None:
    pair = f"{config.source} → {config.target} ({config.benchmark})"
    console.print(f"{pair}: {what}, recipe {recipe}")


def _table(*headings: str, title: str | None = None) -> "Table":
    from rich.table import Column, Table

    columns = (Column(heading, no_wrap=True) for heading in headings)
    return Table(*columns, title=title, title_justify="left")


def print_grid(result: GridResult) -> None:
    """Print what the rule chooses with the oracle's choice beside it, and what that cost."""
    console = open_console()
    print_table(console, _choices(result))
    print_table(console, _combinations(result))
    if (hidden := len(result.trials) - _SHOWN) > 0:
        console.print(f"and {hidden} more combinations, see {result.path}")
    print_diverged({path: d for trial in result.trials for path, d in trial.diverged.items()})
    by_trial = [(each.options, [run.result for run in each.runs]) for each in result.trials]
    _print_troubles(console, by_trial, trouble_summary)
    for line in _summary(result):
        # Paths and options are to be copied: they are never wrapped.
        console.print(line, soft_wrap=True)


def _choices(result: GridResult) -> "Table":
    table = _table("selection", *result.grid.values, "epoch", "score", *_accuracy_heads(result))
    # The one that is asked for first, the odd one out last.
    order = sorted(result.picks, key=lambda rule: (rule != result.rule, rule == ORACLE))
    for rule in order:
        pick = result.picks[rule]
        values = (str(value) for value in result.trials[pick.number].values.values())
        told = (str(pick.epoch), f"{pick.score:.4g}", *_accuracy(pick, result))
        table.add_row(rule, *values, *told)
    return table


def _combinations(result: GridResult) -> "Table":
    heads = (result.rule, "epoch", *_accuracy_heads(result))
    table = _table(*result.grid.values, *heads, "best accuracy")
    best = [(trial, trial.best(result.rule), trial.best(ORACLE)) for trial in result.trials]
    best.sort(key=lambda each: -each[1].score if each[1] else float("inf"))
    for trial, pick, oracle in best[:_SHOWN]:
        values = (str(value) for value in trial.values.values())
        chosen = (
            (f"{pick.score:.4g}", str(pick.epoch), *_accuracy(pick, result))
            if pick
            else ("-",) * len(heads)
        )
        otherwise = "diverged" if trial.diverged else "-"
        table.add_row(*values, *chosen, spread(oracle.percents) if oracle else otherwise)
    return table


def _accuracy_heads(result: GridResult) -> list[str]:
    has_means = any(pick.class_means for pick in result.picks.values())
    return ["target accuracy", *([_MEAN] if has_means else []), "videos"]


def _accuracy(pick: Pick, result: GridResult) -> list[str]:
    heads = _accuracy_heads(result)
    if not pick.total:
        return ["-"] * len(heads)
    means = [spread(pick.class_means) if pick.class_means else "-"] if _MEAN in heads else []
    return [spread(pick.percents), *means, f"{mean(pick.correct):.1f} of {pick.total}"]


def _ahead(oracle: Pick, chosen: Pick, result: GridResult) -> str:
    behind = mean(oracle.correct) - mean(chosen.correct)
    return (
        f"{ORACLE} (reads target labels): {result.trials[oracle.number].options}, epoch "
        f"{oracle.epoch}, {behind:.1f} videos ({100 * behind / chosen.total:.2f} points) ahead"
    )


def _summary(result: GridResult) -> list[str]:
    chosen, oracle, cost = result.chosen, result.oracle, result.cost
    seeds = len(chosen.correct)
    took = "" if cost.seconds is None else f", {describe_duration(cost.seconds)} of training"
    diverged = f", {cost.diverged} of them diverged" if cost.diverged else ""
    settings = result.runs[0].config.settings
    return [
        "target accuracy in percent, mean ± standard deviation over seeds; score and epoch are "
        "chosen by the mean over seeds",
        *([MEAN_OF_CLASSES] if chosen.class_means else []),
        f"rules that need no target label: looked at {rules_on_note(settings)}",
        f"chosen by {result.rule}: {result.trials[chosen.number].options}, epoch {chosen.epoch}",
        _ahead(oracle, chosen, result) if oracle else "the tested videos have no labels: no oracle",
        f"cost: {cost.combinations} combinations x {seeds} seeds = {cost.runs} runs{diverged}, "
        f"{cost.epochs} epochs{took}",
        f"result: {result.path}",
    ]
