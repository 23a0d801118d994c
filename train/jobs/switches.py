"""From settings to what is run: rows and single switches to methods, recipe and weights.

No torch here.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ta3n.common.errors import UsageError
from ta3n.common.registry import load_plugins
from ta3n.train.encoders.registry import ENCODERS
from ta3n.train.jobs.settings import TrainSettings
from ta3n.train.methods.base import Group, Method
from ta3n.train.methods.registry import (
    METHODS,
    choices,
    find_choice,
    find_weight,
    method_for,
    parse_levels,
)
from ta3n.train.paper.rows import ROWS, Row, find_rows
from ta3n.train.recipe.directions import direction_weights
from ta3n.train.recipe.recipes import RECIPES, Recipe

_SWITCHES: tuple[Group, ...] = ("attention", "entropy", "alignment", "norm")
_DEFAULT_METHOD = "ta3n"


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A method to run, and the row of a table that it was asked for as.

    Args:
        method: Its terms in force.
        row: The row, or none if a method was named instead.
    """

    method: Method
    row: Row | None = None


def choose_methods(settings: TrainSettings) -> list[Choice]:
    """Return what is to be run: each row asked for, or else one method, with switches over it.

    A method that is named takes the place of the row's, and keeps the row's temporal module; a
    single switch wins over both.

    Raises:
        UsageError: For an unknown row, level, method or weight, or switches that contradict each
            other.
    """
    load_plugins(map(str, settings.plugins))
    rows: tuple[Row | None, ...] = find_rows(settings.rows) or (None,)
    chosen = [Choice(method=_method(row, settings), row=row) for row in rows]
    _check_weights(settings, [choice.method for choice in chosen])
    return chosen


def choose_recipe(settings: TrainSettings) -> Recipe:
    """Return the recipe with the hyper-parameters that are set.

    Raises:
        UsageError: For a value out of its range.
    """
    changes = {
        "num_segments": settings.segments,
        "source_batch": settings.batch_size,
        **{name: getattr(settings, name) for name in _OF_RECIPE},
    }
    return replace(RECIPES[settings.recipe], **_given(changes))


_OF_RECIPE = (
    "epochs",
    "learning_rate",
    "max_subsets",
    "mmd_estimator",
    "momentum",
    "optimizer",
    "schedule",
    "weight_decay",
)


def choose_weights(
    settings: TrainSettings, method: Method, benchmark: str, source: str, target: str
) -> tuple[dict[str, float], bool]:
    """Return the weights of a method's terms, and whether those of the direction were published.

    A weight that is set wins over that of the direction, which wins over the term's own.

    Raises:
        UsageError: For a value that the weight cannot have.
    """
    direction = direction_weights(benchmark, source, target)
    given = _given_weights(settings)
    values = {}
    for name, weight in method.weights.items():
        values[name] = given.get(name, direction.values.get(name, weight.default))
        weight.check(values[name])
    return values, direction.published


def _given_weights(settings: TrainSettings) -> dict[str, float]:
    named = {name: getattr(settings, name) for name in ("gamma", "alpha", "mu")}
    named |= {f"beta_{level}": getattr(settings, f"beta_{level}") for level in parse_levels("all")}
    return {**_given(named), **settings.weight}


def _check_weights(settings: TrainSettings, methods: Sequence[Method]) -> None:
    for name in settings.weight:
        find_weight(name)
        if not any(name in method.weights for method in methods):
            known = sorted({weight for method in methods for weight in method.weights})
            names = ", ".join(method.name for method in methods)
            raise UsageError(
                f"no term of {names} has the weight {name}; it has {', '.join(known) or 'none'}"
            )


def _method(row: Row | None, settings: TrainSettings) -> Method:
    if row is None or settings.method is not None:
        temporal = settings.temporal or (row.method.temporal if row else "relation")
        base = method_for(settings.method or _DEFAULT_METHOD, temporal)
    else:
        base = row.method
    terms = list(base.terms)
    for group in _SWITCHES:
        choice = getattr(settings, group)
        if choice is not None:
            terms = [term for term in terms if term.group != group]
            terms += [] if choice == "none" else [find_choice(group, choice)]
    if settings.discriminators is not None:
        placed = parse_levels(settings.discriminators)
        terms = [term for term in terms if term.group != "adversarial"]
        terms += [choices("adversarial")[level] for level in placed]
    method = replace(base, terms=tuple(terms)).on(settings.temporal or base.temporal)
    added = [METHODS.find(name) for name in settings.add]
    return _named(method, base).plus(added)


def _named(method: Method, base: Method) -> Method:
    """Name a method after its terms: the same terms always share a name, and so their runs.

    A known combination gets its own name; any other that of its base with what differs.
    """
    for preset in (base, *_presets(), *(row.method for row in ROWS.values())):
        if (preset.terms, preset.temporal, preset.trains_on) == (
            method.terms,
            method.temporal,
            method.trains_on,
        ):
            return preset
    parts = []
    if method.discriminators != base.discriminators:
        parts.append(f"discriminators-{'+'.join(method.discriminators) or 'none'}")
    parts += [
        f"{group}-{method.choice(group)}"
        for group in _SWITCHES
        if method.choice(group) != base.choice(group)
    ]
    if method.temporal != base.temporal:
        parts.append(f"from-{base.temporal}")
    return replace(method, name="-".join([base.name, *parts]), label="")


def _presets() -> Iterator[Method]:
    for method in METHODS.all().values():
        for temporal in ENCODERS.all().values():
            if temporal.has_parts or not any(term.needs_parts for term in method.terms):
                yield method.on(temporal.name)


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
