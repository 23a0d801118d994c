"""A call of several directions and methods on made-up features of two domains."""

from pathlib import Path

from click.testing import Result

from .feature_folders import made_clips, make_features
from .small_runs import ta3n_train

ROWS = ("--benchmark", "synthetic", "--directions", "a-b,b-a", "--methods", "source-only,ta3n")


def make_domains(folder: Path) -> Path:
    """Make up features of two domains; return the folder."""
    for seed, dataset in enumerate(("synthetic-a", "synthetic-b")):
        make_features(folder, dataset, made_clips(dataset, 1, 1), seed=seed)
    return folder


def call(features: Path, out: Path, *more: object) -> Result:
    """Call the command for two epochs on a CPU."""
    common = ("--features", features, "--out", out, "--epochs", 2, "--batch-size", 4)
    return ta3n_train(*common, "--device", "cpu", *more)
