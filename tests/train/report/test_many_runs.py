"""If this breaks, the report of a grid takes hours: twice as many runs may take twice the calls."""

import cProfile
import pstats
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from ta3n.common import files
from ta3n.train.report.write import write_report
from ta3n.train.runs.folder import RunConfig

from ...support.made_runs import make_config, make_run

DIRECTIONS = ("ucf101", "hmdb51"), ("hmdb51", "ucf101")


def searched(method: str, source: str, target: str, values: Mapping[str, float]) -> RunConfig:
    """Return what is run at a point of a search over weights and rates."""
    config = make_config(method, source=source, target=target)
    settings, rate = config.settings, values["learning_rate"]
    return replace(
        config,
        identity={**config.identity, "values": dict(values)},
        settings={
            **settings,
            "recipe": {**settings["recipe"], "learning_rate": rate},
            "weights": {**settings["weights"], "gamma": values["gamma"]},
        },
    )


def calls_for(folder: Path, num_points: int, *, rates: bool) -> int:
    """Return how many functions are called to report so many rows, half of them a direction.

    No two rows of two directions have one setting, so that each could be held against all.
    """
    for number, (source, target) in enumerate(DIRECTIONS):
        for point in range(num_points // 2):
            value = (1 + point + number * num_points) / 1000
            values = {"gamma": 0.003, "learning_rate": value} if rates else {}
            method = "ta3n" if point % 2 else "dan"
            config = searched(
                method, source, target, {"gamma": value, "learning_rate": 0.03, **values}
            )
            make_run(folder / "runs", config, 0, (1, 5 + point % 3, 4))
    profile = cProfile.Profile()
    profile.enable()
    report = write_report(
        [folder / "runs"], folder / "report", features=None, command="", pictures=False
    )
    profile.disable()
    assert sum(len(d.rows) for d in report.contents.runs.directions) == num_points
    return int(pstats.Stats(profile).total_calls)  # type: ignore[attr-defined]


@pytest.mark.parametrize("rates", [False, True])
def test_calls_grow_with_the_number_of_runs_and_no_faster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rates: bool
) -> None:
    monkeypatch.setattr(files, "fsync_path", lambda _: None)
    calls_for(tmp_path / "first", 4, rates=rates)  # what is imported and kept for later
    few, many = (calls_for(tmp_path / str(n), n, rates=rates) for n in (40, 120))
    assert many < 3.3 * few
