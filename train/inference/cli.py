"""`ta3n-train --evaluate`: a run that was trained, on a dataset's features or on new clips."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from ta3n.common.cli import say_json
from ta3n.common.errors import DataMissingError, UsageError
from ta3n.common.log import open_console, print_table
from ta3n.train.runs.selection import KEPT_WEIGHTS, LAST

if TYPE_CHECKING:
    from ta3n.datasets.benchmarks.benchmark import BenchmarkRole
    from ta3n.train.inference.challenge import ChallengeFigures
    from ta3n.train.inference.classify import Prediction
    from ta3n.train.inference.evaluation import RunEvaluation
    from ta3n.train.inference.trained import TrainedRun
    from ta3n.train.jobs.settings import TrainSections, TrainSettings

_SHARED = frozenset({"features", "out", "device", "allow_missing", "plugins"})
"""Options of training that an evaluation takes too."""
_DATASET_ONLY = frozenset({"features", "allow_missing", "split", "annotations", "action_prior"})
_CLIPS_ONLY = frozenset({"weights"})

F = TypeVar("F", bound=Callable[..., Any])


def given_names(options: Mapping[str, Any]) -> set[str]:
    """Return the names of options that were given."""
    return {name for name, value in options.items() if value not in (None, ())}


def dashed(names: Iterable[str]) -> str:
    """Return names of options as they are typed, separated by commas."""
    return ", ".join(f"--{name.replace('_', '-')}" for name in names)


def take_own(
    option: str,
    own: Sequence[str],
    options: dict[str, Any],
    others: Mapping[str, Any],
    *,
    whose: str,
    shared: frozenset[str],
) -> dict[str, Any] | None:
    """Take an option that trains nothing, with those that go with it alone, out of all options.

    Args:
        option: The one that trains nothing.
        own: Those that go with it alone.
        options: All there are.
        others: Options of training that are no settings.
        whose: Settings that it keeps to.
        shared: Options of training that it takes too.

    Returns:
        What was taken, given or not; None where training is asked for.

    Raises:
        UsageError: For options that do not go together.
    """
    taken = {name: options.pop(name) for name in (option, *own)}
    given = given_names(taken)
    if option not in given:
        if lost := [name for name in own if name in given]:
            raise UsageError(f"{dashed(lost)} cannot go without --{option} RUN; give it too")
        return None
    if wrong := sorted(given_names({**options, **others}) - shared):
        raise UsageError(
            f"--{option} trains nothing and keeps to {whose} settings; leave {dashed(wrong)} out"
        )
    return taken


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationCall:
    """What is to be evaluated: options by name, either of `target` and `videos`.

    Without `out` the files go to the run's own folder for a dataset, and nowhere for clips.
    `annotations` and `action_prior` are for runs with the heads of EPIC-KITCHENS-100.
    """

    run: Path
    target: str | None
    out: Path | None
    videos: tuple[str, ...] = ()
    rule: str = LAST
    split: BenchmarkRole = "val"
    top_k: int = 5
    weights: Path | None = None
    annotations: Path | None = None
    action_prior: Literal["train", "none"] = "none"


def evaluation_options(function: F) -> F:
    """Add the options that `take_call` takes out again."""
    path = click.Path(path_type=Path)
    # The last one added is shown first.
    for add in (
        click.option(
            "--weights", type=path, metavar="FILE", help="Of the backbone, where a file made them."
        ),
        click.option(
            "--videos",
            multiple=True,
            metavar="FILE|DIR",
            help="Clips to classify with the run, or folders of them; repeat for more.",
        ),
        click.option(
            "--action-prior",
            type=click.Choice(["train", "none"]),
            help="Of EPIC-KITCHENS-100: weigh pairs of verb and noun by their occurrence in "
            "source_train, for the accuracies of actions (default: none).",
        ),
        click.option(
            "--annotations",
            type=path,
            metavar="DIR",
            help="Of EPIC-KITCHENS-100: tells tail classes, and the segments to --submit.",
        ),
        click.option("--top-k", type=click.IntRange(min=1), metavar="K", help="Default: 5."),
        click.option("--split", type=click.Choice(["val", "train"]), help="Default: val."),
        click.option(
            "--rule", type=click.Choice(KEPT_WEIGHTS), help="Whose epoch (default: last)."
        ),
        click.option(
            "--evaluate",
            type=path,
            metavar="RUN",
            help="Train nothing: evaluate a run folder, or all seeds in a folder, on --target or "
            "--videos.",
        ),
    ):
        function = add(function)
    return function


def take_call(
    options: dict[str, Any], target: str | None, others: Mapping[str, Any]
) -> EvaluationCall | None:
    """Take the options of an evaluation out of all options; return None where training is asked.

    `others` are options of training that are no settings.

    Raises:
        UsageError: For options that do not go together.
    """
    names = ("rule", "split", "top_k", "videos", "weights", "annotations", "action_prior")
    own = take_own("evaluate", names, options, others, whose="the run's", shared=_SHARED)
    if own is None:
        return None
    run = own.pop("evaluate")
    if (target is None) == (not own["videos"]):
        raise UsageError(
            "--evaluate needs either --target, a dataset of the run's benchmark, or --videos"
        )
    chosen = {name: own[name] for name in given_names(own)}
    kind, others_only = ("target", _CLIPS_ONLY) if target is not None else ("videos", _DATASET_ONLY)
    if wrong := sorted((given_names(options) | chosen.keys()) & others_only):
        raise UsageError(f"{dashed(wrong)} cannot go with --{kind}; use one without the other")
    out = None if options["out"] is None else Path(options["out"])
    return EvaluationCall(run=run, target=target, out=out, **chosen)


def run_evaluation(call: EvaluationCall, settings: TrainSections, *, as_json: bool = False) -> None:
    """Evaluate, print a table, or one JSON document in its place, and write the files.

    Raises:
        Ta3nError: If there is nothing to evaluate, or something does not fit the run.
        OSError: If a file cannot be written.
    """
    if call.target is None:
        _classify(call, settings.train, as_json=as_json)
    else:
        own = {table.short_name: name for name, table in settings.datasets.items()}
        _evaluate(call, own.get(call.target.lower(), call.target), settings.train, as_json=as_json)


def _classify(call: EvaluationCall, settings: TrainSettings, *, as_json: bool) -> None:
    from ta3n.train.inference.classify import predict
    from ta3n.train.inference.trained import load_run
    from ta3n.train.runs.folder import write_csv

    run = load_run(call.run, rule=call.rule, device=settings.device, weights=call.weights)
    predictions = predict(run, call.videos, top_k=call.top_k)
    if as_json:
        say_json(_predictions_record(run, predictions))
    else:
        _print_predictions(run, predictions, call.top_k)
    if call.out is not None:
        rows: list[Sequence[object]] = []
        is_open = run.rejection is not None
        for each in predictions:
            about = (str(each.video), each.status, each.reason)
            unknown = (("yes" if each.is_unknown else "no",) if each.top else ("",)) * is_open
            ranked = [(*about, n, *top, *unknown) for n, top in enumerate(each.top, 1)]
            rows += ranked or [(*about, "", "", "", *unknown)]
        columns = ("video", "status", "reason", "rank", "class", "probability")
        header = (*columns, *(("unknown",) * is_open))
        write_csv(call.out / f"predictions-{run.rule}.csv", header, rows)
    if not any(each.top for each in predictions):
        raise DataMissingError("no clip could be classified, for the reasons above")


def _predictions_record(run: TrainedRun, predictions: Sequence[Prediction]) -> dict[str, Any]:
    """Return what became of clips as plain values."""
    return {
        "run": run.path,
        "rule": run.rule,
        "epoch": run.epoch,
        "videos": [
            {
                "video": each.video,
                "status": each.status,
                "reason": each.reason,
                "top": [top._asdict() for top in each.top],
                **({} if run.rejection is None else {"is_unknown": each.is_unknown}),
            }
            for each in predictions
        ],
    }


def _evaluate(
    call: EvaluationCall, dataset: str, settings: TrainSettings, *, as_json: bool
) -> None:
    from ta3n.train.data.videos import untested_classes, worth_of_a_video
    from ta3n.train.inference.evaluation import (
        evaluate,
        evaluation_record,
        load_target,
        write_evaluation,
    )
    from ta3n.train.inference.trained import load_run
    from ta3n.train.runs.records import benchmark_of, find_runs

    paths = find_runs(call.run)
    runs = [load_run(path, rule=call.rule, device=settings.device) for path in paths]
    hashes = {run.config.hash for run in runs}
    if len(hashes) > 1:
        raise UsageError(f"{call.run} holds seeds of {len(hashes)} configurations; name one run")
    target = load_target(runs[0], settings.features, dataset, allow_missing=settings.allow_missing)
    benchmark = benchmark_of(runs[0].config)
    untested_classes(
        target,
        benchmark.label_names,
        call.split,
        allow_missing=settings.allow_missing,
        wanted=benchmark.labels_in(target.dataset),
    )
    evaluations = [evaluate(run, target, call.split) for run in runs]
    challenge = _tell_challenge(call, evaluations, settings.features[0])
    records = challenge.records if challenge else [{} for _ in runs]
    figures = [
        evaluation_record(each, top_k=call.top_k, more=record)
        for each, record in zip(evaluations, records, strict=True)
    ]
    for each, record in zip(evaluations, figures, strict=True):
        folder = each.run.path
        if call.out is not None:
            folder = call.out / folder.name if len(runs) > 1 else call.out
        write_evaluation(each, folder, record)
    if as_json:
        told = zip(evaluations, figures, strict=True)
        say_json({"runs": [{"folder": each.run.path, **record} for each, record in told]})
        return
    console = open_console()
    console.print(_title(evaluations))
    if challenge is None:
        _print_evaluations(evaluations, call.top_k)
        if few := worth_of_a_video(target, benchmark, call.split):
            console.print(few)
        return
    if any(challenge.figures):
        print_table(console, challenge.table())
    for line in challenge.notes:
        console.print(line)


def _tell_challenge(
    call: EvaluationCall, evaluations: Sequence[RunEvaluation], features: Path
) -> ChallengeFigures | None:
    """Return the figures of runs with the heads of the challenge."""
    from ta3n.train.epic.ranking import are_of_the_challenge
    from ta3n.train.inference.challenge import tell_challenge

    heads = evaluations[0].run.heads
    if are_of_the_challenge(heads):
        if call.action_prior != "none" and not all(head.weight for head in heads):
            raise UsageError(
                f"--action-prior weighs pairs of verb and noun, and {evaluations[0].run.path} "
                "trains one of them alone; leave it out"
            )
        return tell_challenge(evaluations, features, call.annotations, prior=call.action_prior)
    if call.annotations or call.action_prior != "none":
        raise UsageError(
            "--annotations and --action-prior are for runs with the heads verb and noun; those of "
            f"{evaluations[0].run.path} are others"
        )
    return None


def _title(evaluations: Sequence[RunEvaluation]) -> str:
    first = evaluations[0]
    epochs = ", ".join(str(e.run.epoch) for e in evaluations)
    return (
        f"{first.run.title} on {first.target.dataset} {first.split}: rule {first.run.rule}, epoch "
        f"{epochs}{first.run.chosen_on}"
    )


def _print_evaluations(evaluations: Sequence[RunEvaluation], top_k: int) -> None:
    """Print accuracy over all videos and by class, mean and standard deviation over seeds."""
    from rich.table import Column, Table

    from ta3n.train.runs.selection import MEASURES_OF_OPEN_SET, OPEN_SET
    from ta3n.train.runs.tables import spread

    first, total = evaluations[0], len(evaluations[0].videos)
    headings = ("videos", "n", "accuracy", "correct videos")
    table = Table(*(Column(heading, no_wrap=True) for heading in headings))
    tops = sorted({1, min(top_k, len(first.run.classes))})
    rows = [(f"all, top-{k}", [e.correct(k) for e in evaluations], total) for k in tops]
    for name, _, of in first.by_class():
        hits = [hit for e in evaluations for each, hit, _ in e.by_class() if each == name]
        rows.append((name, hits, of))
    for name, correct, of in rows:
        accuracy = spread([100 * hit / of for hit in correct]) if of else "-"
        num_correct = f"{correct[0]}" if len(correct) == 1 else f"{mean(correct):.1f}"
        table.add_row(name, str(len(correct)), accuracy, f"{num_correct} of {of}")
        if name == f"all, top-{tops[-1]}":
            if means := [e.mean_class for e in evaluations if e.mean_class is not None]:
                table.add_row("mean of classes", str(len(means)), spread(means), "")
            measures = [e.open_set for e in evaluations if e.open_set]
            for measure, called in OPEN_SET.items() if measures else ():
                told = spread([each[measure] for each in measures])
                table.add_row(called, str(len(measures)), told, "")
            table.add_section()
    console = open_console()
    print_table(console, table)
    console.print("accuracy in percent, mean ± standard deviation over n seeds")
    if first.run.rejection is not None:
        console.print(MEASURES_OF_OPEN_SET)
        console.print(first.run.rejection.rule)
        label = first.run.rejection.label
        unknown = mean(int((e.predicted == label).sum()) for e in evaluations)
        console.print(
            f"told unknown: {unknown:.4g} of {total} videos, which have no class among their "
            "likeliest, whatever k",
        )


def _print_predictions(run: TrainedRun, predictions: Sequence[Prediction], top_k: int) -> None:
    """Print status and likeliest classes of clips."""
    from rich.table import Column, Table
    from rich.text import Text

    from ta3n.common.errors import printable

    headings = ("video", "status", f"likeliest {min(top_k, len(run.classes))} of the classes")
    table = Table(*(Column(heading, overflow="fold") for heading in headings))
    for each in predictions:
        top = ", ".join(f"{c.name} {100 * c.probability:.1f} %" for c in each.top)
        top = f"unknown; {top}" if each.is_unknown else top
        # Names of files are data, never markup.
        table.add_row(
            Text(printable(str(each.video))), each.status, Text(top or printable(each.reason))
        )
    console = open_console()
    console.print(
        f"{run.title}, seed {run.seed}: rule {run.rule}, epoch {run.epoch}{run.chosen_on}",
    )
    print_table(console, table)
