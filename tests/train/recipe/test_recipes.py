"""If this breaks, a recipe is not what its name says, or `--help` waits for torch."""

import subprocess
import sys
from dataclasses import asdict, replace

import pytest

from ta3n.common.errors import UsageError
from ta3n.train.recipe.recipes import OFFICIAL, PAPER, RECIPES


def test_paper_differs_from_official_in_the_known_defects_alone() -> None:
    official, paper = asdict(OFFICIAL), asdict(PAPER)
    assert {key for key in official if official[key] != paper[key]} == {
        "name", "ramp", "batches", "mmd_estimator", "joint_input", "bandwidth_floor", "mcd",
        "mcd_rate", "norm_layers",
    }  # fmt: skip
    assert list(RECIPES) == ["official", "paper", "epic100"]


def test_the_recipe_of_epic100_has_another_rate_and_ramp_alone() -> None:
    official, epic100 = asdict(OFFICIAL), asdict(RECIPES["epic100"])
    assert {key: value for key, value in epic100.items() if official[key] != value} == {
        "name": "epic100",
        "learning_rate": 0.003,
        "schedule": "steps",
        "reversal_ramp": 1.0,
    }
    assert replace(OFFICIAL, **RECIPES["epic100"].record()) == RECIPES["epic100"]
    assert "lr_steps" not in OFFICIAL.record(), "what older runs recorded"


@pytest.mark.parametrize(
    "change", [{"epochs": 0}, {"learning_rate": -1.0}, {"momentum": 0.0}, {"weight_decay": -1.0}]
)
def test_values_out_of_range_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        replace(OFFICIAL, **change)  # type: ignore[arg-type]


def test_help_does_not_wait_for_torch() -> None:
    modules = "ta3n.train.recipe.recipes, ta3n.train.paper.rows, ta3n.train.recipe.directions"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd="/").returncode == 0
