"""A small run from video files on, and another on made-up features."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from ta3n.train.cli import main
from ta3n.train.jobs.execution import run_jobs
from ta3n.train.jobs.job import TrainingJob, prepare_jobs
from ta3n.train.jobs.settings import TrainSettings
from ta3n.train.runs.folder import RunResult


def ta3n_train(*args: object) -> Result:
    """Call the command line."""
    return CliRunner().invoke(main, [str(arg) for arg in args])


def small_settings(features: Path | list[Path], out: Path, **changes: Any) -> TrainSettings:
    """Return settings of a run of a few epochs on a CPU."""
    settings: Mapping[str, Any] = {
        "features": features,
        "out": out,
        "epochs": 3,
        "batch_size": 10,
        "allow_missing": True,
        "device": "cpu",
        **changes,
    }
    return TrainSettings.model_validate(settings)


def with_settings(job: TrainingJob, **changes: Any) -> TrainingJob:
    """Return a job with other settings of where and how it is trained."""
    return replace(job, settings=job.settings.model_copy(update=changes))


def run_job(job: TrainingJob) -> list[RunResult]:
    """Train every seed of one job that is not finished; return the results of all."""
    return run_jobs([job])[0]


def train(source: str, target: str, features: Path | list[Path], out: Path, **changes: Any) -> Path:
    """Train for a few epochs on a CPU; return the folder of all seeds."""
    (job,) = prepare_jobs(source, target, small_settings(features, out, **changes))
    run_job(job)
    return job.folder(job.seeds[0]).path.parent
