"""If this breaks, the summary says something else than the runs show."""

from pathlib import Path

import pytest

from ta3n.train.report.data.compare import Analysis, analyse
from ta3n.train.report.tables.sheet import p_text, signed
from ta3n.train.report.tables.summary import further_findings, main_finding

from ....support.made_runs import make_config, make_rows, make_run
from ....support.reports import collect_runs

TA3N, TA2N, REVGRAD = ("ta3n", "relation"), ("ta2n", "relation"), ("revgrad", "relation")
METHODS = ("bnm", "mdd", "dan", "jan", "mcd", "im")
SOURCE, TARGET = ("source-only", "relation"), ("target-only", "relation")


def analysis(folder: Path, rows: dict[tuple[str, str], tuple[int, ...]]) -> Analysis:
    (found,) = collect_runs(make_rows(folder, rows)).directions
    return analyse(found)


def test_a_win_is_claimed_with_points_videos_interval_and_p(tmp_path: Path) -> None:
    it = analysis(tmp_path, {TA3N: (18, 18, 17), SOURCE: (6, 5, 6), TARGET: (20, 20, 20)})
    text = main_finding(it)
    assert text.startswith(
        "TA3N (88.3 % right on the target, 17.7 of 20 videos, n = 3) beats source only "
        "(+60.0 points or +12.0 videos, 95 % interval +"
    )
    assert "corrected p < 0.001)" in text
    assert "not shown" not in text
    assert "closes 84 %" in further_findings(it)[0]
    assert "corrected by Holm's method for the 2 rows compared" in further_findings(it)[-1]


def test_no_win_is_said_plainly(tmp_path: Path) -> None:
    it = analysis(tmp_path, {TA3N: (15, 14), TA2N: (15, 14), REVGRAD: (14, 15), SOURCE: (3, 3)})
    text = main_finding(it)
    assert "beats source only (+57.5 points or +11.5 videos" in text
    assert "is not told apart from RevGrad (0.0 points or 0.0 videos" in text
    assert text.endswith("TA3N is not shown to be better than RevGrad or TA2N here.")


def test_many_rows_are_told_in_a_sentence_that_can_be_read(tmp_path: Path) -> None:
    """Of rows that are beaten the range, of others the names; every figure is in the tables."""
    beaten = {(name, "relation"): (5, 6, 5 + n % 2) for n, name in enumerate(METHODS)}
    level = {(f"near-{name}", "relation"): (18, 17, 18) for name in METHODS}
    it = analysis(tmp_path, {TA3N: (18, 18, 17), SOURCE: (4, 3, 4), **beaten, **level})
    text = main_finding(it)
    assert "beats source only (+70.0 points or +14.0 videos" in text
    assert "and 6 others (+60.0 points against JAN to +61.7 points against DAN; every" in text
    assert "is not told apart from near-bnm, near-dan, near-im, near-jan, near-mcd and" in text
    assert "near-mdd (0.0 points; every corrected p ≥ 1.000)." in text
    assert text.endswith("TA3N is not shown to be better than 6 of the 12 adapting methods here.")
    assert len(text) < 900


def test_a_loss_is_said_plainly(tmp_path: Path) -> None:
    text = main_finding(analysis(tmp_path, {TA3N: (3, 3), SOURCE: (17, 17)}))
    assert "falls behind source only (−70.0" in text  # noqa: RUF001
    assert "beats" not in text


def test_one_seed_makes_no_claim(tmp_path: Path) -> None:
    it = analysis(tmp_path, {TA3N: (18,), SOURCE: (6,), ("source-only", "pooling"): (5,)})
    text = main_finding(it)
    assert "is at +60.0 points or +12.0 videos against source only" in text
    assert "no test and no claim; an interval is over videos only" in text
    assert "beats" not in text
    assert "one seed" in text
    assert "one seed" in further_findings(it)[0]


def test_missing_rows_are_told_not_made_up(tmp_path: Path) -> None:
    no_source = main_finding(analysis(tmp_path / "a", {TA3N: (15, 14), TA2N: (3, 4)}))
    assert "There is no source-only row" in no_source
    alone = main_finding(analysis(tmp_path / "b", {TA3N: (15, 14), TARGET: (19, 19)}))
    assert "stands alone" in alone
    tests = further_findings(analysis(tmp_path / "d", {TA3N: (15, 14)}))[-1]
    assert "0 rows" not in tests
    assert "“Beats”" not in tests
    none = main_finding(analysis(tmp_path / "c", {SOURCE: (15, 14)}))
    assert none == "No adapting method was run: Source only, relation 72.5 %."


def test_a_summary_by_the_oracle_says_what_it_is(tmp_path: Path) -> None:
    rows = {TA3N: (15, 14), SOURCE: (3, 3)}
    (direction,) = collect_runs(make_rows(tmp_path, rows)).directions
    assert "not to be had in practice" in further_findings(analyse(direction, "oracle"))[-1]
    assert "which no target label chose" in further_findings(analyse(direction))[-1]
    assert main_finding(analyse(direction, "snd")).startswith("No row has the rule snd")


def test_a_rule_that_the_focal_row_lacks_compares_nothing(tmp_path: Path) -> None:
    make_rows(tmp_path, {TA3N: (15, 14)})
    for seed in range(2):
        config = make_config("source-only")
        make_run(tmp_path, config, seed, (1, 4, 3), scores={"im": (0, 1, 0)})
    (direction,) = collect_runs(tmp_path).directions
    assert main_finding(analyse(direction, "im")) == (
        "The adapting method that this is about lacks the rule im for some seed: "
        "Source only, relation 20.0 %."
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.25, "+1.2"), (-0.04, "0.0"), (0.0, "0.0"), (-3, "−3.0")],  # noqa: RUF001
)
def test_signs(value: float, text: str) -> None:
    assert signed(value) == text


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (0.0004, "< 0.001"),
        (0.0123, "0.012"),
        (0.04962, "0.0496"),
        (0.049996, "0.049996"),
        (0.05, "0.050"),
        (0.0504, "0.050"),
        (1, "1.000"),
    ],
)
def test_small_p_values_are_not_rounded_to_nothing(p: float, text: str) -> None:
    assert p_text(p) == text
