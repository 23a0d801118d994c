"""The learning rate and the DANN ramp follow the true number of steps."""

from dataclasses import replace
from typing import Any

import pytest

from ta3n.common.errors import UsageError
from ta3n.train.recipe.recipes import EPIC100, OFFICIAL
from ta3n.train.recipe.schedule import dann_ramp, learning_rate, progress


def test_schedules_are_the_authors(golden_functions: Any) -> None:
    for expected in golden_functions["schedule"]:
        p = progress(
            epoch=expected["epoch"],
            step=expected["iteration"],
            steps_per_epoch=expected["iterations_per_epoch"],
            epochs=expected["epochs"],
        )
        rate = learning_rate(OFFICIAL, p)
        assert p == pytest.approx(expected["p"], rel=1e-12)
        assert rate == pytest.approx(expected["lr_next_step"], rel=1e-12)
        assert dann_ramp(p) == pytest.approx(expected["beta_dann"], rel=1e-12)


def test_other_schedules_start_at_the_rate_and_fall_to_nothing_or_stay() -> None:
    cosine, constant = (replace(OFFICIAL, schedule=name) for name in ("cosine", "constant"))
    assert learning_rate(cosine, 0) == pytest.approx(OFFICIAL.learning_rate)
    assert learning_rate(cosine, 0.5) == pytest.approx(OFFICIAL.learning_rate / 2)
    assert learning_rate(cosine, 1.02) == pytest.approx(0)
    assert learning_rate(constant, 0.7) == OFFICIAL.learning_rate
    with pytest.raises(UsageError, match="schedule is 'linear'"):
        replace(OFFICIAL, schedule="linear")  # type: ignore[arg-type]


def test_steps_divide_the_rate_at_the_start_of_their_epochs() -> None:
    rates = [learning_rate(EPIC100, 0.5, epoch=epoch) for epoch in (1, 9, 10, 19, 20, 30)]
    assert rates == pytest.approx([3e-3, 3e-3, 3e-4, 3e-4, 3e-5, 3e-5])
