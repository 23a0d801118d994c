"""What makes two runs one: all that the method reads, where it is not as usual. No torch here."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from ta3n.train.methods.base import Method
from ta3n.train.recipe.recipes import OFFICIAL, PAPER, RECIPES, Recipe

_OF_SOME = frozenset(
    {
        "adam_beta2",
        "bandwidth_floor",
        "batches",
        "joint_input",
        "lr_decay_power",
        "lr_decay_rate",
        "max_subsets",
        "mcd",
        "mcd_generator_updates",
        "mmd_estimator",
        "nesterov",
        "norm_layers",
        "norm_momentum",
        "ramp",
        "relation_dim",
    }
)
"""Fields of a recipe that matter to some methods only; every other one matters to all."""


def fields_read(method: Method, recipe: Recipe, weights: Mapping[str, float]) -> tuple[str, ...]:
    """Return the fields of a recipe that decide what a method comes to.

    Args:
        method: with its temporal module.
        recipe: the hyper-parameters in force.
        weights: those in force, by name.
    """
    read = {field.name for field in fields(Recipe)} - _OF_SOME - {"name"} | set(method.reads)
    read |= {"nesterov"} if recipe.optimizer == "sgd" else {"adam_beta2"}
    read |= {"lr_decay_power", "lr_decay_rate"} if recipe.schedule == "inverse" else set()
    read |= {"ramp"} if any(weight < 0 for weight in weights.values()) else set()
    return tuple(field.name for field in fields(Recipe) if field.name in read)


def recipe_for(method: Method, recipe: Recipe, weights: Mapping[str, float]) -> Recipe:
    """Return a recipe with what a method does not read as usual.

    Where a method reads nothing in which the recipes differ, such as source only, it is `official`.
    """
    read = fields_read(method, recipe, weights)
    differ = any(getattr(OFFICIAL, name) != getattr(PAPER, name) for name in read)
    usual = RECIPES.get(recipe.name, OFFICIAL) if differ else OFFICIAL
    return replace(usual, **{name: getattr(recipe, name) for name in read})


def identity_of(
    method: Method, recipe: Recipe, weights: Mapping[str, float], classes: Sequence[str]
) -> dict[str, Any]:
    """Return what a run is hashed by, beside its data.

    A field of the recipe is left out where it has its default, so that a new field changes no hash.
    A weight is always there: a term's default may be chosen anew.

    Args:
        method: with its temporal module.
        recipe: the hyper-parameters in force.
        weights: of the method's terms, by name.
        classes: names in the order of their labels.
    """
    defaults = {field.name: field.default for field in fields(Recipe)}
    changed = {
        name: getattr(recipe, name)
        for name in fields_read(method, recipe, weights)
        if getattr(recipe, name) != defaults[name]
    }
    made_of = {key: method.record()[key] for key in ("terms", "temporal", "trains_on")}
    return {**made_of, "recipe": changed, "weights": dict(weights), "classes": list(classes)}
