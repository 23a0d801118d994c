"""If this breaks, a selection rule seems better or worse than it is, or to need no labels."""

from pathlib import Path

import pytest

from ta3n.train.report.data.collect import DirectionRuns, collect_runs
from ta3n.train.report.tables.rows import rules_sheet, summarise_rules

from ....support.made_runs import TOTAL, make_config, make_run

RULES = ("last", "im", "snd", "oracle")


def make_direction(folder: Path) -> DirectionRuns:
    """Two runs of four epochs; `im` orders epochs rightly, `snd` in reverse."""
    for seed, corrects in enumerate(((2, 10, 16, 12), (4, 8, 14, 10))):
        scores = {"im": [c / 10 - seed for c in corrects], "snd": [-float(c) for c in corrects]}
        make_run(folder, make_config(epochs=4), seed, corrects, scores=scores)
    make_run(folder, make_config("source-only", epochs=4), 0, (2, 10, 12, 11))
    make_run(folder, make_config("target-only", epochs=4), 0, (2, 20, 20, 20))
    return collect_runs(folder).directions[0]


def test_figures_equal_a_hand_computation(tmp_path: Path) -> None:
    found = {s.rule: s for s in summarise_rules(make_direction(tmp_path), RULES)}
    assert found["last"].num_runs == found["oracle"].num_runs == 3
    assert found["last"].accuracy == pytest.approx(100 * (12 + 10 + 11) / 3 / TOTAL)
    assert found["last"].gap == pytest.approx(100 * (4 + 4 + 1) / 3 / TOTAL)
    # Source only lacks the rule: the gap is that of the runs that have it.
    assert (found["im"].num_runs, found["im"].gap) == (2, 0)
    assert found["im"].accuracy == pytest.approx(75)
    assert found["snd"].gap == pytest.approx(100 * (14 + 10) / 2 / TOTAL)
    assert found["im"].within == pytest.approx(1)
    assert found["snd"].within == pytest.approx(-1)
    assert found["last"].within is None
    # Two runs are too few to be ranked.
    assert found["im"].across is None


def test_correlation_over_runs_is_at_the_epoch_chosen(tmp_path: Path) -> None:
    for seed, best in enumerate((10, 12, 14, 16)):
        scores = {"im": (0.0, float(seed), -1.0), "snd": (0.0, 9.0 - seed, -1.0)}
        make_run(tmp_path, make_config(), seed, (1, best, 2), scores=scores)
    found = {s.rule: s for s in summarise_rules(collect_runs(tmp_path).directions[0], RULES)}
    assert found["im"].across == pytest.approx(1)
    assert found["snd"].across == pytest.approx(-1)


def test_only_the_oracle_reads_labels_to_choose(tmp_path: Path) -> None:
    direction = make_direction(tmp_path)
    reads = {s.rule: s.label_reads for s in summarise_rules(direction, RULES)}
    assert reads == {"last": 0, "im": 0, "snd": 0, "oracle": 3 * 4 * TOTAL}
    note, *_ = rules_sheet([direction], RULES).notes
    # Four epochs and the predictions, in each of four runs.
    assert f"read {4 * 5 * TOTAL} times in 4 runs" in note


def test_rules_are_described_and_unknown_ones_are_shown_all_the_same(tmp_path: Path) -> None:
    for seed in range(2):
        make_run(
            tmp_path, make_config(), seed, (1, 3, 2), scores={"im": (1, 3, 2), "new": (1, 2, 3)}
        )
    direction = collect_runs(tmp_path).directions[0]
    assert direction.rules == ["last", "im", "new", "oracle"]
    sheet = rules_sheet([direction], direction.rules)
    assert [line[0].text for line in sheet.blocks[0].lines] == direction.rules
    told = dict(note.split(": ", 1) for note in sheet.notes[1:])
    assert told["im"].startswith("no target label: certain target predictions")
    assert "Shi and Sha" in told["im"]
    assert told["new"] == "a rule that this version does not know."
    assert "not available in practice" in told["oracle"]


def test_scores_that_are_missing_or_not_finite_are_left_out(tmp_path: Path) -> None:
    scores = {"im": (float("nan"), 0.1, 0.2, 0.3)}
    path = make_run(tmp_path, make_config(epochs=4), 0, (9, 2, 4, 6), scores=scores)
    text = (path / "metrics.jsonl").read_text()
    assert "NaN" in text
    (summary,) = summarise_rules(collect_runs(tmp_path).directions[0], ("im",))
    assert summary.within == pytest.approx(1)
