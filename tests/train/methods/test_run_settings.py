"""If this breaks, a finished run is trained again, or another one is taken for it."""

from dataclasses import dataclass, replace
from typing import Any

import pytest

from ta3n.train.methods import run_settings
from ta3n.train.methods.registry import method_for
from ta3n.train.methods.run_settings import RunSettings
from ta3n.train.recipe.recipes import OFFICIAL, PAPER, Recipe


def settings_with(method: str, recipe: Recipe, **weights: float) -> RunSettings:
    made_of = method_for(method, "relation")
    values = {name: weights.get(name, w.default) for name, w in made_of.weights.items()}
    return RunSettings(method=made_of, recipe=recipe, weights=values, num_classes=2, seed=0)


def identity_with(method: str, recipe: Recipe, **weights: float) -> dict[str, Any]:
    return settings_with(method, recipe, **weights).as_usual().identity()


@pytest.mark.parametrize("method", ["source-only", "target-only"])
def test_a_method_that_reads_nothing_of_what_differs_is_one_run(method: str) -> None:
    assert identity_with(method, OFFICIAL) == identity_with(method, PAPER)
    assert settings_with(method, PAPER).as_usual().recipe == OFFICIAL
    assert identity_with(method, OFFICIAL) == identity_with(method, OFFICIAL, alpha=0.3, mu=2.0)
    assert identity_with(method, replace(OFFICIAL, epochs=5)) != identity_with(method, OFFICIAL)


@pytest.mark.parametrize("method", ["revgrad", "dan", "jan", "adabn", "mcd", "ta3n"])
def test_one_that_does_is_two(method: str) -> None:
    assert identity_with(method, OFFICIAL) != identity_with(method, PAPER)


@pytest.mark.parametrize(
    ("method", "change", "matters"),
    [
        ("dan", {"mmd_estimator": "unbiased"}, True),
        ("ta3n", {"mmd_estimator": "unbiased"}, False),
        ("mcd", {"mcd_generator_updates": 2}, True),
        ("jan", {"mcd_generator_updates": 2}, False),
        ("source-only", {"max_subsets": 5}, True),
        ("source-only", {"adam_beta2": 0.9}, False),
    ],
)
def test_only_what_is_read_matters(method: str, change: dict[str, Any], matters: bool) -> None:
    changed = identity_with(method, replace(OFFICIAL, **change))
    assert (changed != identity_with(method, OFFICIAL)) == matters


def test_weights_and_ramps_matter_to_who_has_them() -> None:
    assert identity_with("dan", OFFICIAL, alpha=0.2) != identity_with("dan", OFFICIAL)
    assert identity_with("revgrad", OFFICIAL) == identity_with(
        "revgrad", replace(OFFICIAL, ramp="step")
    )
    ramped = {"beta_frame": -1.0}
    assert identity_with("revgrad", OFFICIAL, **ramped) != identity_with(
        "revgrad", replace(OFFICIAL, ramp="step"), **ramped
    )


def test_a_new_field_with_a_default_changes_no_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass(frozen=True, kw_only=True)
    class Larger(Recipe):
        new_field: float = 0.5

    before = identity_with("ta3n", PAPER)
    values = {name: getattr(PAPER, name) for name in PAPER.__dataclass_fields__}
    monkeypatch.setattr(run_settings, "Recipe", Larger)
    official = Larger(**{name: getattr(OFFICIAL, name) for name in values})
    known = {"OFFICIAL": official, "PAPER": Larger(**values)}
    for name, recipe in known.items():
        monkeypatch.setattr(run_settings, name, recipe)
    monkeypatch.setattr(run_settings, "RECIPES", {"official": official, "paper": known["PAPER"]})
    assert identity_with("ta3n", Larger(**values)) == before
    assert identity_with("ta3n", Larger(**values, new_field=1.0)) != before


def test_the_steps_of_mcd_move_at_their_share_of_the_rate() -> None:
    """Each of their updates applies the momentum, so that the recipe's rate is too high."""
    assert settings_with("mcd", PAPER).optimisation.learning_rate == pytest.approx(0.01)
    for method, recipe in (("mcd", OFFICIAL), ("dan", PAPER), ("ta3n", PAPER)):
        assert settings_with(method, recipe).optimisation == recipe
    given = replace(PAPER, mcd_rate=0.5, learning_rate=0.1)
    assert settings_with("mcd", given).optimisation.learning_rate == pytest.approx(0.05)
    # A run that was made before there was a share had all of the rate.
    before = replace(PAPER, mcd_rate=1.0)
    assert "mcd_rate" not in identity_with("mcd", before)["recipe"]
    assert identity_with("mcd", before) != identity_with("mcd", PAPER)
