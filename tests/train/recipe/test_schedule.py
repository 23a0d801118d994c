"""The learning rate and the DANN ramp follow the true number of steps."""

from typing import Any

import pytest

from ta3n.train.recipe.directions import ReversalCoefficients
from ta3n.train.recipe.recipes import OFFICIAL
from ta3n.train.recipe.schedule import dann_ramp, learning_rate, progress, resolve_coefficients


def test_schedules_are_the_authors(golden_functions: Any) -> None:
    for expected in golden_functions["schedule"]:
        p = progress(
            epoch=expected["epoch"],
            step=expected["iteration"],
            steps_per_epoch=expected["iterations_per_epoch"],
            epochs=expected["epochs"],
        )
        rate = learning_rate(
            p,
            base=OFFICIAL.learning_rate,
            decay_rate=OFFICIAL.lr_decay_rate,
            decay_power=OFFICIAL.lr_decay_power,
        )
        assert p == pytest.approx(expected["p"], rel=1e-12)
        assert rate == pytest.approx(expected["lr_next_step"], rel=1e-12)
        assert dann_ramp(p) == pytest.approx(expected["beta_dann"], rel=1e-12)


def test_only_a_negative_coefficient_means_the_ramp() -> None:
    configured = ReversalCoefficients(relation=-1, video=0.75, frame=0)
    assert resolve_coefficients(configured, 0.25) == (dann_ramp(0.25), 0.75, 0)
