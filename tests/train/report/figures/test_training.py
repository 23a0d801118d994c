"""If this breaks, the curves of a report are not what training measured."""

from pathlib import Path

import numpy as np

from ta3n.train.encoders.registry import part_names
from ta3n.train.report.data.collect import RunGroup
from ta3n.train.report.figures.training import (
    accuracy_curves,
    attention_curves,
    curves_of,
    measured_names,
)

from ....support.made_runs import TOTAL, make_config, make_run
from ....support.reports import collect_runs


def made_row(out: Path) -> RunGroup:
    """Two seeds that were measured, and one of an earlier version that was not."""
    config = make_config("ta3n", epochs=2)
    for seed in range(2):
        told = {"frame": 0.9 - seed / 10, "odd": None}
        make_run(
            out,
            config,
            seed,
            (1, 2 + seed),
            measured={
                "attention": [[0.4, 0.5, 0.6, 0.7], [0.31, 0.32, 0.33, 0.34 + seed]],
                "domain_accuracy": [told, {**told, "frame": 0.5}],
            },
        )
    make_run(out, config, 2, (1, 2))
    (direction,) = collect_runs(out).directions
    return direction.rows[0]


def test_curves_are_the_measurements_of_the_seeds_that_have_them(tmp_path: Path) -> None:
    row = made_row(tmp_path)
    found = curves_of(row, "domain_accuracy", "frame")
    assert found is not None
    assert found.tolist() == [[0.9, 0.5], [0.8, 0.5]]
    assert accuracy_curves(row).tolist() == [
        [100 / TOTAL, 100 * last / TOTAL] for last in (2, 3, 2)
    ]
    assert measured_names(row, "domain_accuracy") == ["frame", "odd"]


def test_attention_has_the_two_frame_relation_first(tmp_path: Path) -> None:
    found = attention_curves(made_row(tmp_path))
    assert found is not None
    assert found.shape == (2, 2, 4)
    assert np.allclose(found[:, 1, 3], [0.34, 1.34])
    assert part_names("relation", 4) == ["2-frame", "3-frame", "4-frame", "5-frame"]


def test_what_no_seed_has_is_no_curve(tmp_path: Path) -> None:
    row = made_row(tmp_path / "a")
    assert curves_of(row, "domain_accuracy", "odd") is None
    assert curves_of(row, "domain_accuracy", "video") is None
    assert curves_of(row, "losses", "classification", "deeper") is None
    make_run(
        tmp_path / "b", make_config(epochs=1), 0, (1,), measured={"attention": [[0.4, 0.5, 0.6]]}
    )
    (other,) = collect_runs(tmp_path / "b").directions
    assert attention_curves(other.rows[0]) is None
