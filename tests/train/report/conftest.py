"""Real runs, made once: three rows of two seeds on made-up features, and their report."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ta3n.train.jobs.job import prepare_job, run_job
from ta3n.train.jobs.settings import TrainSettings
from ta3n.train.report.write import Report, write_report

from ...support.feature_folders import made_clips, make_features

ROWS = (("source-only", "pooling"), ("source-only", "relation"), ("ta3n", "relation"))


@dataclass(frozen=True)
class Trained:
    """Where everything is."""

    runs: Path
    features: Path
    report: Report


def train(features: Path, out: Path, **changes: Any) -> None:
    """Train a row for a few epochs."""
    settings: Mapping[str, Any] = {
        "features": features,
        "out": out,
        "benchmark": "ucf-hmdb-small",
        "epochs": 3,
        "batch_size": 10,
        "allow_missing": True,
        "device": "cpu",
        **changes,
    }
    run_job(prepare_job("ucf", "hmdb", TrainSettings.model_validate(settings)))


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Return trained rows and the report of them."""
    folder = tmp_path_factory.mktemp("trained")
    for seed, dataset in enumerate(("ucf101", "hmdb51")):
        make_features(folder / "features", dataset, made_clips(dataset), seed=seed)
    for method, temporal in ROWS:
        train(folder / "features", folder / "runs", method=method, temporal=temporal, seeds="2")
    report = write_report(
        [folder / "runs"],
        folder / "report",
        features=folder / "features",
        command="ta3n-demo --out '<here>'",
    )
    return Trained(folder / "runs", folder / "features", report)
