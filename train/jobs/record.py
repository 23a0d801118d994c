"""Results over seeds for scripts: every run with its figures, and the means of rows."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

from ta3n.train.runs.folder import Divergence, RunResult
from ta3n.train.runs.selection import ChosenEpoch

if TYPE_CHECKING:
    from ta3n.train.jobs.job import TrainingJob


def results_record(
    jobs: Sequence[Sequence["TrainingJob"]],
    results: Sequence[Sequence[RunResult]],
    diverged: Mapping[Path, Divergence],
) -> dict[str, Any]:
    """Return runs, rows with their means, and runs that diverged, as plain values.

    Args:
        jobs: What was run, one list a direction with the same rows.
        results: For each job, of one direction after another, one result a finished seed.
        diverged: What ended runs, by folder.
    """
    several = iter(results)
    by_direction = [[(job, next(several)) for job in each] for each in jobs]
    return {
        "runs": [
            _run(job, result) for each in by_direction for job, runs in each for result in runs
        ],
        "rows": [_row(across) for across in zip(*by_direction, strict=True)],
        "diverged": [
            {"folder": path, "seed": each.seed, "epoch": each.epoch, "loss": each.loss}
            for path, each in diverged.items()
        ],
    }


def _run(job: "TrainingJob", result: RunResult) -> dict[str, Any]:
    return {
        "folder": job.folder(result.seed).path,
        **_what(job),
        "source": job.config.source,
        "target": job.config.target,
        "config_hash": job.config.hash,
        "seed": result.seed,
        "rules": {name: _figures(rule) for name, rule in result.rules.items()},
        "withheld": result.withheld,
        "target_label_reads": result.target_label_reads,
        "troubles": result.troubles,
    }


def _what(job: "TrainingJob") -> dict[str, Any]:
    """Return a configuration in short."""
    return {
        "benchmark": job.config.benchmark,
        "row": job.row.name if job.row else None,
        "label": job.config.label,
        "method": job.config.method,
        "temporal": job.config.temporal,
        "recipe": job.settings.recipe,
    }


def _figures(rule: ChosenEpoch) -> dict[str, Any]:
    return {
        "epoch": rule.epoch,
        "correct": rule.correct,
        "total": rule.total,
        "accuracy_percent": rule.percent if rule.total else None,
        "mean_class_percent": rule.mean_class,
        "uses_target_labels": rule.uses_target_labels,
        **({"heads_percent": rule.percents()} if rule.by_head and rule.total else {}),
        **({"open_set_percent": rule.open_set} if rule.open_set else {}),
    }


def _row(across: Sequence[tuple["TrainingJob", Sequence[RunResult]]]) -> dict[str, Any]:
    """Return a row with its means in every direction, and over all of them where none lacks it."""
    names = dict.fromkeys(rule for _, runs in across for run in runs for rule in run.rules)
    rules: dict[str, Any] = {}
    for rule in names:
        directions = [
            {
                "source": job.config.source,
                "target": job.config.target,
                **_over_seeds([run.rules[rule].percent for run in _told(runs, rule)]),
            }
            for job, runs in across
        ]
        means = [each["mean_percent"] for each in directions]
        whole = None if None in means else mean(means)
        rules[rule] = {"directions": directions, "mean_percent": whole}
    return {**_what(across[0][0]), "rules": rules}


def _told(runs: Sequence[RunResult], rule: str) -> Sequence[RunResult]:
    """Return all runs of a row, or none where one of them has no accuracy by a rule."""
    return runs if all(rule in run.rules and run.rules[rule].total for run in runs) else ()


def _over_seeds(percents: Sequence[float]) -> dict[str, Any]:
    return {
        "n": len(percents),
        "mean_percent": mean(percents) if percents else None,
        "stdev_percent": stdev(percents) if len(percents) > 1 else None,
    }
