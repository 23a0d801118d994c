"""From settings to what is run: rows and single switches to methods, recipe and weights.

No torch here.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, replace
from typing import Any, NamedTuple

from ta3n.common.errors import UsageError
from ta3n.train.jobs.settings import ALL_METHODS, SWITCHES, WEIGHTS, TrainSettings
from ta3n.train.methods.base import Method
from ta3n.train.methods.registry import (
    METHODS,
    choices,
    find_choice,
    find_weight,
    parse_levels,
)
from ta3n.train.paper.rows import ROWS, Row, find_rows
from ta3n.train.recipe.directions import direction_weights
from ta3n.train.recipe.recipes import RECIPES, Recipe


class Choice(NamedTuple):
    """A method to run, its terms in force, and the row of a table that it was asked for as."""

    method: Method
    row: Row | None = None


def choose_methods(settings: TrainSettings) -> list[Choice]:
    """Return what is to be run: each row or method asked for, else one, with switches over it.

    A method that is named takes the place of the row's, and keeps the row's temporal module; a
    single switch wins over both.

    Raises:
        UsageError: For an unknown row, level, method or weight, or switches that contradict each
            other.
    """
    if settings.methods:
        chosen = [
            Choice(method=_method(None, settings.model_copy(update={"method": name})))
            for name in _several(settings)
        ]
    else:
        rows: tuple[Row | None, ...] = find_rows(settings.rows) or (None,)
        chosen = [Choice(method=_method(row, settings), row=row) for row in rows]
    _check_weights(settings, [choice.method for choice in chosen])
    return chosen


def _several(settings: TrainSettings) -> list[str]:
    if settings.rows or settings.method:
        raise UsageError(
            "--methods are rows of their own, beside which no --rows and no --method can be given"
        )
    if settings.methods != (ALL_METHODS,):
        return list(dict.fromkeys(settings.methods))
    return [name for name, method in METHODS.all().items() if method.trains_on != "nothing"]


def choose_recipe(settings: TrainSettings, method: Method) -> Recipe:
    """Return the recipe of a method with the hyper-parameters that are set.

    Raises:
        UsageError: For a value out of its range.
    """
    if settings.fusion == "late" and len(settings.features) < 2:
        raise UsageError(
            "--fusion late is for streams; give two or more --features, or leave it out"
        )
    if settings.feature_scale != "none" and method.closed_form is not None:
        raise UsageError(
            f"--feature-scale is of networks; {method.name} is a closed form, which takes features "
            "as they are"
        )
    if settings.stream_loss and settings.fusion != "late":
        raise UsageError("--stream-loss is of streams that have logits of their own: --fusion late")
    given = _given(
        {
            "num_segments": settings.segments,
            "source_batch": settings.batch_size,
            **{name: getattr(settings, name) for name in _OF_RECIPE},
        }
    )
    if method.trains_on == "nothing":
        given.setdefault(
            "learning_rate", RECIPES[settings.recipe].learning_rate * _SOURCE_FREE_RATE
        )
    if settings.momentum == 0:
        given["nesterov"] = False
    return replace(RECIPES[settings.recipe], **given)


# A trained model is adapted gently: at the full rate its first epochs undo what it has learned. The
# figures are in docs/methods.md.
_SOURCE_FREE_RATE = 0.1

_OF_RECIPE = tuple(f.name for f in fields(Recipe) if f.name in TrainSettings.model_fields)
"""What a recipe has under the name of its setting."""


def choose_weights(
    settings: TrainSettings, method: Method, benchmark: str, source: str, target: str
) -> tuple[dict[str, float], bool]:
    """Return the weights of a method's terms, and whether those of the direction were published.

    A weight that is set wins over that of the direction, which wins over the term's own.

    Raises:
        UsageError: For a value that the weight cannot have.
    """
    direction = direction_weights(benchmark, source, target)
    given = {**_given({name: getattr(settings, name) for name in WEIGHTS}), **settings.weight}
    values = {}
    for name, weight in method.weights.items():
        values[name] = given.get(name, direction.values.get(name, weight.default))
        weight.check(values[name])
    return values, direction.published


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
    default = "shot" if settings.source_free else "ta3n"
    name, *more = (settings.method or default).split("+")
    base = METHODS.find(name)
    if row is not None and settings.method is None:
        base = row.method
    if base.closed_form is not None and settings.init_from is not None:
        raise UsageError(
            f"{base.name} is a closed form, which starts from no other run; leave out --init-from"
        )
    temporal = settings.temporal or (row.method.temporal if row else base.temporal)
    terms = list((base.with_encoder or {}).get(temporal, base.terms))
    for group in SWITCHES:
        choice = getattr(settings, group)
        if choice is not None:
            terms = [term for term in terms if term.group != group]
            terms += [] if choice == "none" else [find_choice(group, choice)]
    if settings.discriminators is not None:
        placed = parse_levels(settings.discriminators)
        terms = [term for term in terms if term.group != "adversarial"]
        terms += [choices("adversarial")[level] for level in placed]
    switched = replace(base, terms=tuple(terms), with_encoder=None).on(temporal)
    method = switched.plus([METHODS.find(name) for name in (*more, *settings.add)])
    # What the base is with its own temporal module, to say what differs.
    base = base if base.with_encoder is None else base.on(temporal)
    if settings.source_free or base.trains_on == "nothing":
        return _source_free(method, base)
    return _named(method, base)


def _source_free(method: Method, base: Method) -> Method:
    """Return a method for the target alone, named after what it is where the source takes part."""
    named = _named(replace(method, trains_on="source"), replace(base, trains_on="source"))
    own = [other for other in METHODS.all().values() if other.trains_on == "nothing"]
    if not any(set(other.terms) <= set(method.terms) for other in own):
        named = replace(
            named, name=f"{named.name}-source-free", label=f"{named.label} (source-free)"
        )
    return replace(named, trains_on="nothing")


def _named(method: Method, base: Method) -> Method:
    """Name a method after its terms: the same terms always share a name, and so their runs.

    A known combination gets its own name, one of several known methods that of all of them; any
    other that of its base with what differs.
    """
    known = list(_presets(method.temporal))
    for preset in (*known, *(row.method for row in ROWS.values())):
        if preset.alike(method):
            return preset
    within = [p for p in known if p.terms and set(p.terms) < set(method.terms)]
    parts = [p for p in within if not any(set(p.terms) < set(other.terms) for other in within)]
    parts = [p for n, p in enumerate(parts) if p.terms not in [other.terms for other in parts[:n]]]
    if parts and {term for part in parts for term in part.terms} == set(method.terms):
        first, *others = parts
        return first.plus(others)
    differing = []
    if method.discriminators != base.discriminators:
        differing.append(f"discriminators-{'+'.join(method.discriminators) or 'none'}")
    differing += [
        f"{group}-{method.choice(group)}"
        for group in SWITCHES
        if method.choice(group) != base.choice(group)
    ]
    if method.temporal != base.temporal:
        differing.append(f"from-{base.temporal}")
    added = [p.name for p in parts if p.name != base.name and not all(t.group for t in p.terms)]
    name = "+".join(["-".join([base.name, *differing]), *added])
    return replace(method, name=name, label="")


def _presets(temporal: str) -> Iterator[Method]:
    """Yield the methods that a temporal module can carry, in their order."""
    for method in METHODS.all().values():
        with suppress(UsageError):
            yield replace(
                method.on(temporal),
                trains_on="target" if method.trains_on == "target" else "source",
            )


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
