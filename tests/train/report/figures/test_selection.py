"""If this breaks, a useless selection rule looks as if it could be trusted."""

from pathlib import Path

import pytest

from ta3n.train.report.data.collect import RunGroup
from ta3n.train.report.data.compare import mean_rank_correlation
from ta3n.train.report.figures.training import scored_rules, selection_picture

from ....support.made_runs import make_config, make_run
from ....support.reports import collect_runs

CORRECTS = (2, 4, 6, 8)


def made_row(out: Path, **scores: tuple[float, ...]) -> RunGroup:
    config = make_config(epochs=len(CORRECTS))
    make_run(out, config, 0, CORRECTS, scores=scores)
    (direction,) = collect_runs(out).directions
    return direction.rows[0]


def test_rank_correlation_is_that_of_score_and_accuracy(tmp_path: Path) -> None:
    row = made_row(
        tmp_path, snd=(4.0, 3.0, 2.0, 1.0), im=(0.1, 0.2, 0.9, 30.0), bnm=(1.0, 1.0, 1.0, 1.0)
    )
    assert scored_rules(row) == ["im", "snd", "bnm"]
    assert mean_rank_correlation(row.runs, "im") == pytest.approx(1)
    assert mean_rank_correlation(row.runs, "snd") == pytest.approx(-1)
    assert mean_rank_correlation(row.runs, "bnm") is None


def test_picture_tells_every_rule_and_its_correlation(tmp_path: Path) -> None:
    row = made_row(tmp_path, im=(0.1, 0.2, 0.9, 30.0), bnm=(1.0, 1.0, 1.0, 1.0))
    drawn = selection_picture(row)
    assert not isinstance(drawn, str)
    (panel,) = drawn.panels
    assert "im ρ = +1.00; bnm ρ = undefined" in panel.alt  # noqa: RUF001


def test_runs_without_scores_have_no_picture(tmp_path: Path) -> None:
    assert selection_picture(made_row(tmp_path)) == (
        "Selection: the runs of TA3N, relation kept no validator scores."
    )
