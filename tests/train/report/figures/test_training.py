"""If this breaks, the curves of a report are not what training measured."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from ta3n.train.encoders.registry import part_names
from ta3n.train.report.data.collect import RunGroup
from ta3n.train.report.figures.training import (
    accuracy_curves,
    attention_curves,
    curves_of,
    curves_picture,
    losses_picture,
    measured_names,
    named_rows,
)

from ....support.made_runs import TOTAL, make_config, make_rows, make_run
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


def test_of_many_rows_only_those_of_the_page_have_a_name_among_curves(tmp_path: Path) -> None:
    """Thirty-six colours could not be told apart, and their names were cut off."""
    many = {(f"m{n}", "relation"): (n, n + 1) for n in range(9)}
    bounds = {("source-only", "relation"): (3, 4), ("target-only", "relation"): (18, 19)}
    make_rows(tmp_path, {("ta3n", "relation"): (12, 13), **bounds, **many})
    (direction,) = collect_runs(tmp_path).directions
    focal = next(row for row in direction.rows if row.config.method == "ta3n")
    named = [row.config.method for row in named_rows(direction, focal)]
    assert named == ["target-only", "source-only", "ta3n"]
    accuracy, _ = curves_picture(direction, focal).panels
    assert "9 other rows end between 2 and 42." in accuracy.alt
    # The data file has them all by name.
    assert {line.split(",")[0] for line in accuracy.csv.decode().splitlines()} > {'"m0', '"m8'}
    assert "Grey: all other rows" in curves_picture(direction, focal).caption
    few = replace(direction, rows=direction.rows[:9])
    assert named_rows(few, focal) == list(few.rows)
    assert "Grey" not in curves_picture(few, focal).caption


def test_losses_are_in_nats_where_they_are_entropies(tmp_path: Path) -> None:
    losses = [{"classification": 2.0, "coral": 0.1}, {"classification": 0.5, "coral": 900.0}]
    make_run(tmp_path / "a", make_config("coral", epochs=2), 0, (1, 2), measured={"losses": losses})
    make_run(tmp_path / "b", make_config("ta3n", epochs=2), 0, (1, 2))
    heads = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        (direction,) = collect_runs(folder).directions
        (panel,) = losses_picture(direction.rows[0]).panels
        heads.append(panel.csv.decode().splitlines()[0].split(",")[2])
    assert heads == ["value", "nats"]
