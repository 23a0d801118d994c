"""Real runs, made once: three rows of two seeds on made-up features, and their report."""

import pytest

from ta3n.train.report.write import write_report

from ...support.feature_folders import made_clips, make_features
from ...support.reports import Trained
from ...support.small_runs import train

ROWS = (("source-only", "pooling"), ("source-only", "relation"), ("ta3n", "relation"))


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Return trained rows and the report of them."""
    folder = tmp_path_factory.mktemp("trained")
    for seed, dataset in enumerate(("ucf101", "hmdb51")):
        make_features(folder / "features", dataset, made_clips(dataset), seed=seed)
    for method, temporal in ROWS:
        train(
            "ucf",
            "hmdb",
            folder / "features",
            folder / "runs",
            benchmark="ucf-hmdb-small",
            method=method,
            temporal=temporal,
            seeds="2",
        )
    report = write_report(
        [folder / "runs"],
        folder / "report",
        features=folder / "features",
        command="ta3n-demo --out '<here>'",
    )
    return Trained(folder / "runs", folder / "features", report)
