"""Trained rows and their report, which the fixture `trained` makes."""

from dataclasses import dataclass
from pathlib import Path

from ta3n.train.report.write import Report


@dataclass(frozen=True)
class Trained:
    """Where everything is."""

    runs: Path
    features: Path
    report: Report
