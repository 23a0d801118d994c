"""`ta3n-train --evaluate`: a run that was trained, on a dataset's features or on new clips."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ta3n.common.errors import DataMissingError, UsageError
from ta3n.train.runs.selection import KEPT_WEIGHTS, LAST

if TYPE_CHECKING:
    from ta3n.common.settings import Settings, TrainSettings
    from ta3n.datasets.benchmarks.benchmark import BenchmarkRole
    from ta3n.train.inference.classify import Prediction

_TOP_K = 5
_SHARED = frozenset({"features", "out", "device", "allow_missing"})
"""Options of training that an evaluation takes too."""

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationCall:
    """What is to be evaluated.

    Attributes:
        run: A run folder, or a folder of several seeds.
        target: Dataset whose features are read; None where there are clips.
        videos: Clips, or folders of them.
        rule: Which epoch's weights.
        split: Of the dataset.
        top_k: How many classes count as a hit, or are shown of a clip.
        weights: File of the backbone's weights, for clips.
        out: Folder for the files; None takes the run's own for a dataset, and none for clips.
    """

    run: Path
    target: str | None
    videos: tuple[str, ...]
    rule: str
    split: BenchmarkRole
    top_k: int
    weights: Path | None
    out: Path | None


def evaluation_options(function: F) -> F:
    """Add the options that `take_call` takes out again."""
    path = click.Path(path_type=Path)
    options = (
        click.option(
            "--evaluate",
            type=path,
            metavar="RUN",
            help="Train nothing: evaluate a run folder, or all seeds in a folder, on --target or "
            "--videos.",
        ),
        click.option(
            "--rule", type=click.Choice(KEPT_WEIGHTS), help="Whose epoch (default: last)."
        ),
        click.option("--split", type=click.Choice(["val", "train"]), help="Default: val."),
        click.option("--top-k", type=click.IntRange(min=1), metavar="K", help="Default: 5."),
        click.option(
            "--videos",
            multiple=True,
            metavar="FILE|DIR",
            help="Clips to classify with the run, or folders of them; repeat for more.",
        ),
        click.option(
            "--weights", type=path, metavar="FILE", help="Of the backbone, where a file made them."
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


def take_call(
    options: dict[str, Any], target: str | None, others: Mapping[str, Any]
) -> EvaluationCall | None:
    """Take the options of an evaluation out of all options; return None where training is asked.

    Args:
        options: By name, those of training among them.
        target: As given.
        others: Further options of training.

    Raises:
        UsageError: For options that do not go together.
    """
    names = ("rule", "split", "top_k", "videos", "weights")
    own = {name: options.pop(name) for name in names}
    run = options.pop("evaluate")
    if run is None:
        if lost := [name for name, value in own.items() if value not in (None, ())]:
            raise UsageError(f"{_dashed(lost)} cannot go without --evaluate RUN; give it too")
        return None
    given = [name for name, value in {**options, **others}.items() if value not in (None, ())]
    if wrong := sorted(set(given) - _SHARED):
        raise UsageError(
            f"--evaluate trains nothing and keeps to the run's settings; leave {_dashed(wrong)} out"
        )
    if (target is None) == (not own["videos"]):
        raise UsageError(
            "--evaluate needs either --target, a dataset of the run's benchmark, or --videos"
        )
    _check_kind(own, given)
    return EvaluationCall(
        run=run,
        target=target,
        videos=own["videos"],
        rule=own["rule"] or LAST,
        split=own["split"] or "val",
        top_k=own["top_k"] or _TOP_K,
        weights=own["weights"],
        out=None if options["out"] is None else Path(options["out"]),
    )


def _check_kind(own: Mapping[str, Any], given: Sequence[str]) -> None:
    """Refuse options of clips with a dataset, and of a dataset with clips."""
    if own["videos"]:
        kind, wrong = "--videos", [n for n in given if n in ("features", "allow_missing")]
        wrong += ["split"] if own["split"] else []
    else:
        kind, wrong = "--target", ["weights"] if own["weights"] else []
    if wrong:
        raise UsageError(f"{_dashed(wrong)} cannot go with {kind}; use one without the other")


def _dashed(names: Sequence[str]) -> str:
    return ", ".join(f"--{name.replace('_', '-')}" for name in names)


def run_evaluation(call: EvaluationCall, settings: Settings) -> None:
    """Evaluate, print a table, write the files.

    Raises:
        Ta3nError: If there is nothing to evaluate, or something does not fit the run.
        OSError: If a file cannot be written.
    """
    if call.videos:
        _classify(call, settings.train)
    else:
        _evaluate(replace(call, target=_full_name(call.target, settings)), settings.train)


def _full_name(target: str | None, settings: Settings) -> str | None:
    """Return the full name of one's own dataset by its short one; other names as they are."""
    own = {table.short_name: name for name, table in settings.datasets.items()}
    return target if target is None else own.get(target.lower(), target)


def _classify(call: EvaluationCall, settings: TrainSettings) -> None:
    from ta3n.train.inference.classify import predict
    from ta3n.train.inference.table import print_predictions
    from ta3n.train.inference.trained import load_run

    run = load_run(call.run, rule=call.rule, device=settings.device, weights=call.weights)
    predictions = predict(run, call.videos, top_k=call.top_k, show_progress=True)
    print_predictions(run, predictions, call.top_k)
    if call.out is not None:
        _write_predictions(predictions, call.out / f"predictions-{run.rule}.csv")
    if not any(each.top for each in predictions):
        raise DataMissingError("no clip could be classified, for the reasons above")


def _evaluate(call: EvaluationCall, settings: TrainSettings) -> None:
    from ta3n.train.inference.evaluation import evaluate, load_target, write_evaluation
    from ta3n.train.inference.table import print_evaluations
    from ta3n.train.inference.trained import load_run
    from ta3n.train.runs.records import find_runs

    assert call.target is not None, "checked with the call"
    paths = find_runs(call.run)
    runs = [load_run(path, rule=call.rule, device=settings.device) for path in paths]
    hashes = {run.config.hash for run in runs}
    if len(hashes) > 1:
        raise UsageError(f"{call.run} holds seeds of {len(hashes)} configurations; name one run")
    target = load_target(
        runs[0], settings.features, call.target, allow_missing=settings.allow_missing
    )
    evaluations = [evaluate(run, target, call.split) for run in runs]
    for each in evaluations:
        folder = each.run.path
        if call.out is not None:
            folder = call.out / folder.name if len(runs) > 1 else call.out
        write_evaluation(each, folder, top_k=call.top_k)
    print_evaluations(evaluations, call.top_k)


def _write_predictions(predictions: Sequence[Prediction], path: Path) -> None:
    from ta3n.common.files import replace_file
    from ta3n.train.inference.evaluation import csv_bytes

    rows: list[Sequence[object]] = []
    for each in predictions:
        about = (str(each.video), each.status, each.reason)
        rows += [(*about, n, *top) for n, top in enumerate(each.top, 1)] or [(*about, "", "", "")]
    header = ("video", "status", "reason", "rank", "class", "probability")
    replace_file(path, csv_bytes(header, rows))
