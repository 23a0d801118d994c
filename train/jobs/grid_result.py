"""What a grid came to: the combination and epoch that each selection rule chooses, and the cost.

A rule chooses by its score, averaged over the seeds: one combination and one epoch for all of them.
Needs no torch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from ta3n.common.errors import DataMissingError, DivergedError, FeatureStoreError
from ta3n.common.files import canonical_json, sha256_of
from ta3n.train.jobs.grid import Combination, Grid, as_option
from ta3n.train.runs.folder import Divergence, RunFolder, read_divergences, write_json
from ta3n.train.runs.records import Run, read_run
from ta3n.train.runs.rule_notes import rules_on
from ta3n.train.runs.selection import ORACLE, only_falls
from ta3n.train.validators.rules import RULES

GRID_RULES = (*(rule.name for rule in RULES), ORACLE)
"""Rules that can rank combinations; `last` names an epoch and ranks nothing."""

_HASH_DIGITS = 8


@dataclass(frozen=True, kw_only=True)
class Pick:
    """An epoch of a combination.

    Attributes:
        number: Of the combination, from 0.
        epoch: From 1.
        score: Of the rule, mean over the seeds; higher is better.
        correct: Target validation videos classified correctly at that epoch, by seed.
        total: All of them.
        class_means: Mean accuracy of the classes in percent, by seed; empty where a run of an
            earlier version, or of several heads, does not tell it.
    """

    number: int
    epoch: int
    score: float
    correct: tuple[int, ...]
    total: int
    class_means: tuple[float, ...] = ()

    @property
    def percents(self) -> list[float]:
        """Target accuracy of every seed in percent; none without labels."""
        return [100 * correct / self.total for correct in self.correct if self.total]


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A combination with its runs.

    Attributes:
        number: Of the combination, from 0.
        values: By option.
        folder: Name of what holds its runs.
        runs: Those that finished, one a seed.
        diverged: What ended the others, by run folder. A combination that has any is not ranked:
            the mean of the seeds that happened to go well says too much for it.
    """

    number: int
    values: Combination
    folder: str
    runs: Sequence[Run]
    diverged: Mapping[Path, Divergence]

    @property
    def options(self) -> str:
        """The combination as command-line options."""
        return " ".join(as_option(option, value) for option, value in self.values.items())

    def best(self, rule: str) -> Pick | None:
        """Return the epoch that a rule prefers, the first of equals; None if none has a score.

        Nor is there one where the score of a run only fell, which chooses no epoch of that run.
        """
        if self.diverged:
            return None
        scored = [run.accuracies if rule == ORACLE else run.scores(rule) for run in self.runs]
        if any(only_falls(rule, scores) for scores in scored):
            return None
        picks = [
            Pick(
                number=self.number,
                epoch=epoch,
                score=mean(scores),
                correct=tuple(run.epochs[epoch - 1]["target_correct"] for run in self.runs),
                total=self.runs[0].epochs[epoch - 1]["target_total"],
                class_means=self._class_means(epoch),
            )
            for epoch, scores in enumerate(zip(*scored, strict=True), start=1)
            if None not in scores
        ]
        return max(picks, key=lambda pick: pick.score, default=None)

    def _class_means(self, epoch: int) -> tuple[float, ...]:
        found = [run.epochs[epoch - 1].get("target_mean_class") for run in self.runs]
        known = tuple(value for value in found if value is not None)
        return known if len(known) == len(found) else ()


@dataclass(frozen=True, kw_only=True)
class GridCost:
    """What it takes to train a grid from nothing.

    Attributes:
        combinations: How many there are.
        runs: Combinations times seeds.
        diverged: How many of them did.
        epochs: Of all runs together.
        seconds: That training took, of all runs that finished; None where one does not tell.
    """

    combinations: int
    runs: int
    diverged: int
    epochs: int
    seconds: float | None


@dataclass(frozen=True, kw_only=True)
class GridResult:
    """A finished grid.

    Attributes:
        grid: What was varied.
        trials: One a combination.
        rule: That chooses.
        picks: What each rule chooses, of those that have a score in every seed.
        cost: Of all runs.
        path: The JSON file that keeps all this.
    """

    grid: Grid
    trials: Sequence[Trial]
    rule: str
    picks: Mapping[str, Pick]
    cost: GridCost
    path: Path

    @property
    def runs(self) -> Sequence[Run]:
        """Those of the first combination that is ranked, to tell of what all have alike."""
        return next(trial.runs for trial in self.trials if not trial.diverged)

    @property
    def chosen(self) -> Pick:
        """What the rule chooses."""
        return self.picks[self.rule]

    @property
    def oracle(self) -> Pick | None:
        """The best there is on target labels, to be told beside it; None without labels."""
        return self.picks.get(ORACLE)


def choose(grid: Grid, folders: Sequence[Sequence[Path]], rule: str) -> GridResult:
    """Let every rule choose among the finished runs of a grid, and write the result beside them.

    Args:
        grid: What was varied.
        folders: Run folders of every combination, one a seed, finished or diverged.
        rule: One of `GRID_RULES`.

    Raises:
        DivergedError: If every combination has a seed that diverged.
        DataMissingError: If the rule has no score in any combination.
        FeatureStoreError: If a run folder is damaged.
        OSError: If the result cannot be written.
    """
    trials = [
        _trial(number, values, paths)
        for number, (values, paths) in enumerate(zip(grid.combinations, folders, strict=True))
    ]
    ranked = [trial for trial in trials if not trial.diverged]
    if not ranked:
        raise DivergedError(
            f"no combination can be chosen: each has a seed that diverged, such as "
            f"{next(iter(trials[0].diverged))}; a combination is ranked by all of its seeds"
        )
    picks = {name: pick for name in GRID_RULES if (pick := _pick(trials, name)) is not None}
    if rule not in picks:
        raise DataMissingError(
            f"no combination has a score by {rule} in every seed; the runs have "
            f"{', '.join(picks)}: give one as --select (nothing is trained again)"
        )
    config = ranked[0].runs[0].config
    name = f"grid-{config.method}-{config.temporal}-{_hash(trials)}.json"
    result = GridResult(
        grid=grid,
        trials=trials,
        rule=rule,
        picks=picks,
        cost=_cost(trials),
        path=folders[0][0].parents[1] / name,
    )
    write_json(result.path, grid_record(result))
    return result


def _pick(trials: Sequence[Trial], rule: str) -> Pick | None:
    found = [best for trial in trials if (best := trial.best(rule)) is not None]
    return max(found, key=lambda pick: pick.score, default=None)


def _trial(number: int, values: Combination, paths: Sequence[Path]) -> Trial:
    diverged = read_divergences(paths)
    runs = [_run(path) for path in paths if path not in diverged]
    folder = paths[0].parent.name
    return Trial(number=number, values=values, folder=folder, runs=runs, diverged=diverged)


def _run(path: Path) -> Run:
    try:
        return read_run(path)
    except FeatureStoreError as error:
        raise FeatureStoreError(
            f"{path}: {error}; remove the folder and give the same command line again"
        ) from error


def _hash(trials: Sequence[Trial]) -> str:
    runs = [[run.config.hash, run.seed] for trial in trials for run in trial.runs]
    diverged = [
        [RunFolder(path).read_config_hash(), divergence.seed]
        for trial in trials
        for path, divergence in trial.diverged.items()
    ]
    return sha256_of(canonical_json(runs + diverged))[:_HASH_DIGITS]


def _cost(trials: Sequence[Trial]) -> GridCost:
    runs = [run for trial in trials for run in trial.runs]
    diverged = [divergence for trial in trials for divergence in trial.diverged.values()]
    paces = [run.environment.get("seconds_per_epoch") for run in runs]
    known = [
        len(run.epochs) * pace for run, pace in zip(runs, paces, strict=True) if pace is not None
    ]
    return GridCost(
        combinations=len(trials),
        runs=len(runs) + len(diverged),
        diverged=len(diverged),
        epochs=sum(len(run.epochs) for run in runs) + sum(each.epoch for each in diverged),
        seconds=round(sum(known), 1) if len(known) == len(runs) else None,
    )


def grid_record(result: GridResult) -> dict[str, Any]:
    """Return all that a grid came to as plain values."""
    config = result.runs[0].config
    return {
        "benchmark": config.benchmark,
        "source": config.source,
        "target": config.target,
        "method": config.method,
        "temporal": config.temporal,
        "grid": {option: list(values) for option, values in result.grid.values.items()},
        "seeds": [run.seed for run in result.runs],
        "rule": result.rule,
        "rules_on": rules_on(config.settings),
        "chosen": _told(result.chosen, result.trials),
        "choices": {rule: _told(pick, result.trials) for rule, pick in result.picks.items()},
        "cost": asdict(result.cost),
        "combinations": [
            {
                "values": trial.values,
                "folder": trial.folder,
                "best": {
                    rule: _told(best)
                    for rule in result.picks
                    if (best := trial.best(rule)) is not None
                },
                "diverged": [
                    {"seed": each.seed, "epoch": each.epoch, "loss": each.loss}
                    for each in trial.diverged.values()
                ],
            }
            for trial in result.trials
        ],
    }


def _told(pick: Pick, trials: Sequence[Trial] = ()) -> dict[str, Any]:
    """Return a choice for the record, with its combination where trials are given."""
    percents = pick.percents
    figures = {
        "epoch": pick.epoch,
        "score": pick.score,
        "correct": list(pick.correct),
        "total": pick.total,
        "accuracy_mean": mean(percents) if percents else None,
        "accuracy_stdev": stdev(percents) if len(percents) > 1 else None,
        "class_mean": mean(pick.class_means) if pick.class_means else None,
        "class_mean_stdev": stdev(pick.class_means) if len(pick.class_means) > 1 else None,
    }
    if not trials:
        return figures
    trial = trials[pick.number]
    return {"values": trial.values, "folder": trial.folder, **figures}
