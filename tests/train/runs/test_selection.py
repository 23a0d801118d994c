"""If this breaks, a table shows an epoch that its rule did not choose."""

import pytest

from ta3n.common.errors import TrainingError
from ta3n.train.runs.selection import EpochScores, TargetScore, select


def scores(epoch: int, correct: int, **validators: float) -> EpochScores:
    score = TargetScore(epoch=epoch, correct=correct, total=9)
    return EpochScores(target=score, validators=validators)


def test_rules_stand_side_by_side_and_the_first_of_equals_wins() -> None:
    history = [scores(e, c, im=i) for e, c, i in [(1, 5, 0.2), (2, 8, 0.7), (3, 8, 0.7), (4, 6, 0)]]
    chosen = select(history)
    assert list(chosen) == ["last", "oracle", "im"]
    assert {rule: choice.epoch for rule, choice in chosen.items()} == {
        "last": 4,
        "oracle": 2,
        "im": 2,
    }
    assert [choice.correct for choice in chosen.values()] == [6, 8, 8]
    assert [rule for rule, choice in chosen.items() if choice.uses_target_labels] == ["oracle"]


def test_a_rule_chooses_among_the_epochs_that_it_could_score() -> None:
    chosen = select([scores(1, 3), scores(2, 2, dev=-0.5), scores(3, 1, dev=-0.2), scores(4, 0)])
    assert chosen["dev"].epoch == 3
    assert chosen["dev"].correct == 1
    assert "im" not in chosen


def test_nothing_to_choose_from_is_said() -> None:
    with pytest.raises(TrainingError, match="no epoch"):
        select([])
