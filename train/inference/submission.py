"""`ta3n-train --submit`: what trained runs make of the segments that the challenge tests on.

Shapes: N segments, C classes of a head.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ta3n.common.cli import say
from ta3n.common.errors import DataConflictError, DataMissingError, UsageError
from ta3n.common.log import LOGGER
from ta3n.datasets.epic.challenge import PUBLISHED, TARGET, EpicSplit
from ta3n.train.epic.form import HEADS, HIGHEST_LEVEL, SupervisionLevels
from ta3n.train.inference.cli import dashed, take_own
from ta3n.train.runs.selection import LAST

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ta3n.train.inference.trained import TrainedRun
    from ta3n.train.jobs.settings import TrainSections, TrainSettings

_LEVELS = {
    "sls_pt": "supervision by pre-training",
    "sls_tl": "supervision by labels in training",
    "sls_td": "supervision by training data",
}
_OWN = ("submit_noun", *_LEVELS, "overwrite")
_SHARED = frozenset({"features", "out", "device", "plugins", "rule", "annotations"})
"""Options of training, or of an evaluation, that a submission takes too."""

F = TypeVar("F", bound=Callable[..., Any])

BENCHMARK = "epic100-final"
"""The one whose tested segments are those of the challenge."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionCall:
    """What is to be handed in.

    Attributes:
        runs: Run folders, or folders of seeds.
        noun_runs: Those that the nouns come from; none where they come from the same.
        out: The zip.
        rule: Whose epoch of them.
        annotations: Names the segments; without it the imported features do.
    """

    runs: tuple[Path, ...]
    noun_runs: tuple[Path, ...]
    out: Path
    levels: SupervisionLevels
    rule: str
    annotations: Path | None
    overwrite: bool


def submission_options(function: F) -> F:
    """Add the options that `take_submission` takes out again."""
    path = click.Path(path_type=Path)
    # The last one added is shown first.
    function = click.option(
        "--overwrite", is_flag=True, default=None, help="Let a submission replace a file."
    )(function)
    for name, what in reversed(_LEVELS.items()):
        function = click.option(
            dashed([name]),
            type=click.IntRange(0, HIGHEST_LEVEL),
            help=f"Of a submission: {what}; no default.",
        )(function)
    function = click.option(
        "--submit-noun", multiple=True, type=path, metavar="RUN", help="Nouns come from this one."
    )(function)
    return click.option(
        "--submit",
        multiple=True,
        type=path,
        metavar="RUN",
        help="Train nothing: write the EPIC-KITCHENS-100 submission of a run, or of several "
        "(repeat; all seeds in a folder), whose probabilities are averaged, to --out FILE.zip.",
    )(function)


def take_submission(
    options: dict[str, Any], target: str | None, others: Mapping[str, Any]
) -> SubmissionCall | None:
    """Take the options of a submission out of all options; return None where none is asked for.

    `others` are options of training that are no settings.

    Raises:
        UsageError: For options that do not go together.
    """
    others = {**others, "target": target}
    own = take_own("submit", _OWN, options, others, whose="the runs'", shared=_SHARED)
    if own is None:
        return None
    if lacking := [name for name in _LEVELS if own[name] is None]:
        raise UsageError(
            f"--submit needs {dashed(lacking)}: the levels of supervision, 0 to {HIGHEST_LEVEL}, "
            "are a part of what is handed in, and only you know them"
        )
    if options["out"] is None:
        raise UsageError("--submit needs --out FILE.zip, where the submission is to be written")
    shared = {name: options[name] for name in ("rule", "annotations")}
    # An evaluation, which is asked for its options next, finds none.
    options |= dict.fromkeys(shared)
    return SubmissionCall(
        runs=own["submit"],
        noun_runs=own["submit_noun"],
        out=Path(options["out"]),
        levels=SupervisionLevels(*(own[name] for name in _LEVELS)),
        rule=shared["rule"] or LAST,
        annotations=shared["annotations"],
        overwrite=bool(own["overwrite"]),
    )


def run_submission(call: SubmissionCall, sections: TrainSections) -> None:
    """Predict, write, check, and say what was made.

    Raises:
        Ta3nError: If something is missing, or does not fit.
        OSError: If the file cannot be written.
    """
    from ta3n.datasets.epic.annotations import read_annotations
    from ta3n.train.epic.checking import check_submission
    from ta3n.train.epic.submission import check_free, log_mean_probabilities, write_submission

    check_free(call.out, overwrite=call.overwrite)
    told = read_annotations(call.annotations, ["target_test"]) if call.annotations else None
    runs = _load(call.runs, call.rule, sections.train)
    sources = {"verb": runs, "noun": runs}
    if call.noun_runs:
        sources["noun"] = _load(call.noun_runs, call.rule, sections.train)
    trained = {head: _that_train(head, some) for head, some in sources.items()}
    predicted = _predict({r.path: r for some in trained.values() for r in some}, sections.train)
    ids, _ = next(iter(predicted.values()))
    scores = {
        head: log_mean_probabilities([predicted[run.path][1][head] for run in some])
        for head, some in trained.items()
    }

    def ids_of(_split: EpicSplit) -> Sequence[str]:
        return told.table("target_test").ids if told else ids

    write_submission(
        call.out,
        ids,
        scores,
        call.levels,
        check=lambda file: check_submission(file, ids_of),
        overwrite=call.overwrite,
    )
    for head, some in trained.items():
        of = "mean of the probabilities of" if len(some) > 1 else "log-probabilities of"
        say(f"{head}: {of} {', '.join(f'{run.path}, epoch {run.epoch}' for run in some)}")
    say(f"{call.out}: {check_submission(call.out, ids_of).summary}")
    if told is None:
        LOGGER.warning(
            "the segments are those of the imported features, %d of %d published; give "
            "--annotations DIR to have their names checked",
            len(ids),
            PUBLISHED["target_test"].counts.rows,
        )


def _load(paths: Sequence[Path], rule: str, settings: TrainSettings) -> list[TrainedRun]:
    from ta3n.train.inference.trained import load_run
    from ta3n.train.runs.folder import RunFolder
    from ta3n.train.runs.records import find_runs

    # A run that is named twice, in whatever way, counts once in the mean.
    found = {path.resolve(): path for given in paths for path in find_runs(given)}
    runs = [load_run(path, rule=rule, device=settings.device) for path in found.values()]
    for run in runs:
        if run.config.benchmark != BENCHMARK or run.config.target != TARGET:
            raise UsageError(
                f"{run.path} is a run on {run.config.benchmark} with the target "
                f"{run.config.target}; a submission is of runs on {BENCHMARK} to {TARGET}"
            )
        if not RunFolder(run.path).is_finished():
            raise DataMissingError(
                f"{run.path} is not finished: its last epoch so far is {run.epoch} of "
                f"{run.config.settings['recipe']['epochs']}; train it to its end, or leave it out"
            )
    return runs


def _that_train(head: str, runs: Sequence[TrainedRun]) -> list[TrainedRun]:
    trained = [run for run in runs if any(h.name == head and h.weight for h in run.heads)]
    if not trained:
        raise UsageError(
            f"no run trains the {head} head: {', '.join(str(run.path) for run in runs)}; name "
            "one more that does, by --submit or --submit-noun"
        )
    return trained


def _predict(
    runs: Mapping[Path, TrainedRun], settings: TrainSettings
) -> dict[Path, tuple[tuple[str, ...], dict[str, NDArray[np.floating[Any]]]]]:
    """Return the segments of the test and each run's log-probabilities by head, [N, C]."""
    from ta3n.train.inference.evaluation import evaluate, load_target
    from ta3n.train.methods.heads import columns_of

    found = {}
    for path, run in runs.items():
        target = load_target(run, settings.features, TARGET, allow_missing=False)
        evaluation = evaluate(run, target, "val")
        logits = evaluation.logits.double()
        columns = columns_of(run.heads)
        scores = {head: logits[:, columns[head]].log_softmax(dim=1).numpy() for head in HEADS}
        found[path] = tuple(video.clip.path for video in evaluation.videos), scores
    if len({ids for ids, _ in found.values()}) > 1:
        raise DataConflictError("the runs predict different segments; import the features again")
    return found
