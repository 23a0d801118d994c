"""If this breaks, a command line trains something else than it says."""

from typing import Any

import pytest

from ta3n.common.errors import UsageError
from ta3n.train.jobs.settings import TrainSettings
from ta3n.train.jobs.switches import choose_methods, choose_recipe, choose_weights
from ta3n.train.methods.base import Method
from ta3n.train.methods.registry import method_for


def choose(**settings: Any) -> Method:
    (choice,) = choose_methods(TrainSettings.model_validate(settings))
    return choice.method


def test_nothing_said_is_ta3n() -> None:
    assert choose() == method_for("ta3n", "relation")


def test_a_row_gives_all_switches() -> None:
    assert choose(rows=["table3/revgrad/pooling"]) == method_for("revgrad", "pooling")


def test_a_method_takes_the_rows_place_and_keeps_its_temporal_module() -> None:
    assert choose(rows=["table3/revgrad/pooling"], method="jan") == method_for("jan", "pooling")


def test_a_switch_wins_over_row_and_method() -> None:
    method = choose(rows=["table3/ta3n"], method="ta2n", attention="conventional", norm="adabn")
    assert (method.attention, method.choice("norm")) == ("conventional", "adabn")
    assert method.discriminators == method_for("ta2n", "relation").discriminators
    assert method.name == "ta2n-attention-conventional-norm-adabn"


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"attention": "none", "entropy": "none"}, "ta2n"),
        ({"method": "source-only", "discriminators": "frame"}, "revgrad"),
        ({"method": "source-only", "discriminators": "video"}, "gtd"),
        ({"discriminators": "relation"}, "ta3n-discriminators-relation"),
        ({"method": "ta2n", "discriminators": "none", "entropy": "target"}, "entropy"),
        ({"method": "ta2n", "discriminators": "none", "attention": "conventional"}, None),
        ({"rows": ["table3/revgrad/pooling"], "temporal": "relation"}, "revgrad-from-pooling"),
    ],
)
def test_the_same_switches_have_the_same_name(settings: dict[str, Any], name: str | None) -> None:
    chosen = choose(**settings)
    assert chosen.name == (name or "ta2n-discriminators-none-attention-conventional")
    assert "/" not in chosen.name


def test_switches_apply_to_every_row() -> None:
    settings = TrainSettings.model_validate(
        {"rows": "table3/ta2n,table3/ta3n", "entropy": "target"}
    )
    choices = choose_methods(settings)
    assert [choice.row.name for choice in choices if choice.row] == ["table3/ta2n", "table3/ta3n"]
    assert {choice.method.choice("entropy") for choice in choices} == {"target"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rows": ["table9"]}, "no row 'table9'"),
        ({"temporal": "pooling"}, "choose the temporal module relation"),
        ({"discriminators": "clip"}, "no level 'clip'"),
        ({"rows": ["table3/target-only"], "alignment": "jan"}, "nothing to align"),
    ],
)
def test_what_makes_no_sense_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        choose(**settings)


def test_hyper_parameters_win_over_the_recipe() -> None:
    settings = TrainSettings.model_validate(
        {"recipe": "paper", "mmd_estimator": "biased", "max_subsets": 7, "segments": 8}
    )
    recipe = choose_recipe(settings, method_for("source-only", "relation"))
    assert (recipe.name, recipe.mcd, recipe.mmd_estimator) == ("paper", "three", "biased")
    assert (recipe.max_subsets, recipe.num_segments) == (7, 8)


def test_weights_win_over_those_of_the_direction() -> None:
    settings = TrainSettings.model_validate({"alpha": -1, "mu": 0.5, "beta_frame": 2})

    def weights(method: str) -> dict[str, float]:
        chosen = method_for(method, "relation")
        return choose_weights(settings, chosen, "ucf-hmdb-full", "ucf101", "hmdb51")[0]

    assert (weights("dan"), weights("mcd")) == ({"alpha": -1}, {"mu": 0.5})
    ta3n = weights("ta3n")
    assert (ta3n["beta_frame"], ta3n["beta_video"], ta3n["gamma"]) == (2, 0.75, 0.003)


@pytest.mark.parametrize(
    ("settings", "others", "name"),
    [
        ({"method": "dan"}, [{"method": "dan", "add": ["dan"]}], "dan"),
        ({"method": "dan"}, [{"method": "source-only", "add": ["dan"]}], "dan"),
        ({}, [{"method": "ta2n", "add": ["ta3n"]}, {"add": ["source-only"]}], "ta3n"),
        (
            {"method": "dan", "add": ["mcd"]},
            [{"method": "mcd", "add": ["dan"]}, {"method": "source-only", "add": ["mcd", "dan"]}],
            "dan+mcd",
        ),
        ({"add": ["dan"]}, [{"alignment": "dan"}, {"method": "dan", "add": ["ta3n"]}], "dan+ta3n"),
        ({"method": "mcd"}, [{"method": "dan", "alignment": "none", "add": ["mcd"]}], "mcd"),
    ],
)
def test_the_same_terms_have_one_name_however_they_are_asked_for(
    settings: dict[str, Any], others: list[dict[str, Any]], name: str
) -> None:
    chosen = choose(**settings)
    assert chosen.name == name
    assert all(choose(**other) == chosen for other in others)
    assert {choose(**other).label for other in others} == {chosen.label}


def test_a_plus_in_a_name_combines_methods() -> None:
    chosen = choose(method="coral+mcc")
    assert (chosen.name, chosen.label) == ("coral+mcc", "CORAL + MCC")
    assert chosen == choose(method="coral", add=["mcc"])
    with pytest.raises(ValueError, match="did you mean 'coral'"):
        choose(method="corral+mcc")


def test_adam_needs_no_momentum() -> None:
    method = method_for("source-only", "relation")
    settings = TrainSettings.model_validate({"optimizer": "adam", "momentum": 0})
    assert choose_recipe(settings, method).momentum == 0
    plain = TrainSettings.model_validate({"momentum": 0})
    assert not choose_recipe(plain, method).nesterov
