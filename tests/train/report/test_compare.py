"""If this breaks, the report claims what the runs do not show."""

from math import sqrt
from pathlib import Path
from statistics import stdev

import pytest

from ta3n.train.report.collect import Direction, collect_runs
from ta3n.train.report.compare import compare, focal_row
from ta3n.train.report.verdict import headline, signed, supporting

from .made_runs import TOTAL, make_config, make_rows, make_run

TA3N, TA2N, REVGRAD = ("ta3n", "relation"), ("ta2n", "relation"), ("revgrad", "relation")
SOURCE, TARGET = ("source-only", "relation"), ("target-only", "relation")


def direction(folder: Path, rows: dict[tuple[str, str], tuple[int, ...]]) -> Direction:
    (found,) = collect_runs(make_rows(folder, rows)).directions
    return found


def test_difference_and_errors_equal_a_hand_computation(tmp_path: Path) -> None:
    source, ours = direction(tmp_path, {TA3N: (15, 13), SOURCE: (9, 8, 7)}).rows
    found = compare(ours, source)
    assert found.points == pytest.approx(70 - 40)
    assert found.videos == pytest.approx(14 - 8)
    # Seeds: variances 50 / 2 and 25 / 3 in squared points.
    assert found.seeds_error == pytest.approx(sqrt(50 / 2 + 25 / 3))
    # Videos 0 to 6 are right in all runs, 7 and 8 in part of the source-only ones, and so on.
    shares = [0] * 7 + [100 / 3, 200 / 3] + [100] * 4 + [50] * 2 + [0] * 5
    assert found.videos_error == pytest.approx(stdev(shares) / sqrt(TOTAL))
    assert found.standard_error == pytest.approx(sqrt(50 / 2 + 25 / 3 + found.videos_error**2))
    assert found.call == "ahead"


def test_a_win_is_claimed_with_its_error(tmp_path: Path) -> None:
    it = direction(tmp_path, {TA3N: (18, 18, 17), SOURCE: (6, 5, 6), TARGET: (20, 20, 20)})
    text = headline(it)
    assert text.startswith("TA3N (88.3 % right on the target) beats source only (+60.0 ± 11.")
    assert "not shown" not in text
    assert "closes 84 %" in supporting(it)[0]


def test_no_win_is_said_plainly(tmp_path: Path) -> None:
    it = direction(tmp_path, {TA3N: (15, 14), TA2N: (15, 14), REVGRAD: (14, 15), SOURCE: (3, 3)})
    text = headline(it)
    assert "beats source only (+57.5" in text
    assert (
        "cannot be told apart from RevGrad (0.0 ± 3.5 points) and TA2N (0.0 ± 3.5 points)" in text
    )
    assert text.endswith("TA3N is not shown to be better than RevGrad or TA2N here.")


def test_a_loss_is_said_plainly(tmp_path: Path) -> None:
    text = headline(direction(tmp_path, {TA3N: (3, 3), SOURCE: (17, 17)}))
    assert "falls behind source only (−70.0" in text  # noqa: RUF001
    assert "beats" not in text


def test_in_between_is_no_win(tmp_path: Path) -> None:
    text = headline(direction(tmp_path, {TA3N: (10, 12), TA2N: (9, 9), SOURCE: (2, 2)}))
    assert "may be ahead of TA2N" in text
    assert "not shown to be better than TA2N" in text


def test_one_seed_makes_no_claim(tmp_path: Path) -> None:
    it = direction(tmp_path, {TA3N: (18,), SOURCE: (6,), ("source-only", "pooling"): (5,)})
    text = headline(it)
    assert "is at +60.0 points against source only, from one seed" in text
    assert "beats" not in text
    assert "one seed" in supporting(it)[0]


def test_missing_rows_are_told_not_made_up(tmp_path: Path) -> None:
    no_source = headline(direction(tmp_path / "a", {TA3N: (15, 14), TA2N: (3, 4)}))
    assert "There is no source-only row" in no_source
    alone = headline(direction(tmp_path / "b", {TA3N: (15, 14), TARGET: (19, 19)}))
    assert "stands alone" in alone
    none = headline(direction(tmp_path / "c", {SOURCE: (15, 14)}))
    assert none == "No adapting method was run: Source only, relation 72.5 %."


def test_another_method_takes_ta3ns_place_by_the_papers_order_not_by_accuracy(
    tmp_path: Path,
) -> None:
    it = direction(tmp_path, {TA2N: (3, 4), REVGRAD: (18, 18), SOURCE: (9, 9)})
    focal = focal_row(it)
    assert focal is not None
    assert focal.config.method == "ta2n"


def test_errors_over_videos_are_paired(tmp_path: Path) -> None:
    """Rows that are right on the same videos differ more surely than rows that are not."""
    for name, shift in (("same", 0), ("other", 10)):
        for seed in range(2):
            make_run(tmp_path / name, make_config("source-only"), seed, (1, 2, 8))
            make_run(tmp_path / name, make_config("ta3n"), seed, (1, 2, 10), shift=shift)
    errors = []
    for name in ("same", "other"):
        source, ours = collect_runs(tmp_path / name).directions[0].rows
        errors.append(compare(ours, source).videos_error)
    assert errors[0] < errors[1]


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.25, "+1.2"), (-0.04, "0.0"), (0.0, "0.0"), (-3, "−3.0")],  # noqa: RUF001
)
def test_signs(value: float, text: str) -> None:
    assert signed(value) == text
