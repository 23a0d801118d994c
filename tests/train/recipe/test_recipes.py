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
    assert list(RECIPES) == ["official", "paper"]


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
