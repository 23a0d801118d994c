"""If this breaks, a table shows an epoch that its rule did not choose."""

import math

import pytest

from ta3n.common.errors import TrainingError
from ta3n.train.runs.selection import (
    ONLY_FALLS,
    EpochScores,
    TargetScore,
    count_withheld,
    mean_class_percent,
    select,
)
from ta3n.train.validators.rules import Score


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


def test_a_score_that_is_withheld_chooses_nothing_and_is_counted_with_its_reason() -> None:
    told = [Score(value=9, withheld="too few"), Score(value=1), Score(value=2, withheld="too few")]
    history = [
        EpochScores.of(TargetScore(epoch=e, correct=5, total=9), {"dev": s, "im": Score(value=e)})
        for e, s in enumerate(told, start=1)
    ]
    assert select(history)["dev"].epoch == 2
    assert count_withheld(history) == {"dev": {"too few": 2}}
    never = select(history[:1])
    assert "dev" not in never
    assert never["im"].epoch == 1


def test_density_that_only_falls_chooses_nothing() -> None:
    """It is highest where a model knows least: the first epoch would be the choice of any run."""
    falling = [scores(1, 3), scores(2, 2, snd=3.0), scores(3, 1, snd=2.5), scores(4, 0, snd=3.0)]
    assert "snd" not in select(falling)
    assert count_withheld(falling) == {"snd": {ONLY_FALLS: 3}}
    risen = [*falling, scores(5, 2, snd=3.1), scores(6, 2, snd=2.0)]
    assert select(risen)["snd"].epoch == 5
    assert count_withheld(risen) == {}
    assert select([scores(1, 3, im=3.0), scores(2, 2, im=2.0)])["im"].epoch == 1


def test_the_mean_of_classes_lets_each_class_count_alike() -> None:
    """Three of four are right, but the one of class 2 is wrong; class 1 has no video."""
    assert mean_class_percent([0, 0, 0, 2], [0, 0, 0, 1]) == 50
    assert mean_class_percent([0, 0, 2], [0, 1, 2]) == 75
    assert math.isnan(mean_class_percent([], []))
