"""From settings to what is run: rows and single switches to methods, recipe and trade-offs.

No torch here.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from ta3n.train.jobs.settings import TrainSettings
from ta3n.train.methods.method import METHOD_NAMES, Method, method_for, parse_levels
from ta3n.train.paper.rows import ROWS, Row, find_rows
from ta3n.train.recipe.directions import Adaptation, ReversalCoefficients, coefficients_for
from ta3n.train.recipe.recipes import RECIPES, Recipe

_SWITCHES = ("temporal", "attention", "entropy", "alignment", "norm")
_DEFAULT_METHOD = "ta3n"


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A method to run, and the row of a table that it was asked for as.

    Args:
        method: The switches in force.
        row: The row, or none if a method was named instead.
    """

    method: Method
    row: Row | None = None


def choose_methods(settings: TrainSettings) -> list[Choice]:
    """Return what is to be run: each row asked for, or else one method, with switches over it.

    A method that is named takes the place of the row's, and keeps the row's temporal module; a
    single switch wins over both.

    Raises:
        UsageError: For an unknown row or level, or switches that contradict each other.
    """
    rows: tuple[Row | None, ...] = find_rows(settings.rows) or (None,)
    return [Choice(method=_method(row, settings), row=row) for row in rows]


def choose_recipe(settings: TrainSettings) -> Recipe:
    """Return the recipe with the hyper-parameters that are set.

    Raises:
        UsageError: For a value out of its range.
    """
    changes = {
        "num_segments": settings.segments,
        "epochs": settings.epochs,
        "source_batch": settings.batch_size,
        "learning_rate": settings.learning_rate,
        "max_subsets": settings.max_subsets,
        "mmd_estimator": settings.mmd_estimator,
    }
    return replace(RECIPES[settings.recipe], **_given(changes))


def choose_adaptation(
    settings: TrainSettings, benchmark: str, source: str, target: str
) -> Adaptation:
    """Return the trade-offs of a direction with those that are set."""
    recommended = coefficients_for(benchmark, source, target)
    levels = {level: getattr(settings, f"beta_{level}") for level in ("relation", "video", "frame")}
    coefficients: ReversalCoefficients = replace(recommended.coefficients, **_given(levels))
    weights = {"gamma": settings.gamma, "alpha": settings.alpha, "mu": settings.mu}
    return replace(recommended, coefficients=coefficients, **_given(weights))


def _method(row: Row | None, settings: TrainSettings) -> Method:
    if row is None or settings.method is not None:
        temporal = settings.temporal or (row.method.temporal if row else "relation")
        base = method_for(settings.method or _DEFAULT_METHOD, temporal)
    else:
        base = row.method
    changes: dict[str, Any] = _given({name: getattr(settings, name) for name in _SWITCHES})
    if settings.discriminators is not None:
        changes["discriminators"] = parse_levels(settings.discriminators)
    return _named(replace(base, **changes), base)


def _named(method: Method, base: Method) -> Method:
    """Name a method after its switches: the same switches always share a name, and so their runs.

    A known combination gets its own name; any other that of its base with what differs.
    """
    presets = [base, *_presets(), *(row.method for row in ROWS.values())]
    for preset in presets:
        if replace(method, name=preset.name) == preset:
            return preset
    ours, theirs = asdict(method), asdict(base)
    parts = [
        f"{switch}-{'+'.join(value) or 'none' if switch == 'discriminators' else value}"
        for switch, value in ours.items()
        if value != theirs[switch] and switch != "temporal"
    ]
    if method.temporal != base.temporal:
        parts.append(f"from-{base.temporal}")
    return replace(method, name="-".join([base.name, *parts]))


def _presets() -> list[Method]:
    return [
        method_for(name, temporal)
        for name in METHOD_NAMES
        for temporal in ("pooling", "relation")
        if not (temporal == "pooling" and name in ("ta2n", "ta3n"))
    ]


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
