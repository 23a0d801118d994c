"""Grids of hyper-parameters: a TOML file of lists to the settings of every combination.

The paper chose the weights of its losses so: "All the weightings are chosen via grid search."
Needs no torch.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ta3n.common.errors import ConfigError, UsageError, did_you_mean
from ta3n.common.settings import read_toml
from ta3n.train.jobs.settings import WEIGHTS, TrainSettings
from ta3n.train.methods.registry import default_weights

_MOST_COMBINATIONS = 10_000

_OPTIONS = (
    *(name.replace("_", "-") for name in WEIGHTS),
    "learning-rate",
    "optimizer",
    "schedule",
    "momentum",
    "weight-decay",
    "batch-size",
    "epochs",
    "segments",
    "max-subsets",
    "mmd-estimator",
    "recipe",
    "domains",
)


def grid_options() -> tuple[str, ...]:
    """Return what a grid may vary: options by their name, and every other weight of a term."""
    weights = (name.replace("_", "-") for name in default_weights())
    return (*_OPTIONS, *(name for name in weights if name not in _OPTIONS))


def as_option(option: str, value: Any) -> str:
    """Return what a value of a grid is on the command line."""
    return f"--{option} {value}" if option in _OPTIONS else f"--weight {option}={value}"


Combination = Mapping[str, Any]
"""A value for each option of a grid."""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Values to combine.

    Attributes:
        file: Where they stand.
        values: By option, in the order of the file.
    """

    file: Path
    values: Mapping[str, tuple[Any, ...]]

    @property
    def combinations(self) -> list[Combination]:
        """Every combination; the last option of the file changes fastest."""
        return [
            dict(zip(self.values, each, strict=True)) for each in product(*self.values.values())
        ]

    def apply(self, settings: TrainSettings) -> list[TrainSettings]:
        """Return the settings of every combination.

        Raises:
            UsageError: If the settings ask for several rows.
            ConfigError: If a value is refused.
        """
        if len(settings.rows) > 1 or settings.methods:
            several = f"{len(settings.rows)} rows" if settings.rows else "--methods"
            raise UsageError(
                f"a grid is of one row or method, and {several} are asked for; give one command "
                "line each"
            )
        common = settings.model_dump()
        return [self._validate(_with(common, each)) for each in self.combinations]

    def _validate(self, values: Mapping[str, Any]) -> TrainSettings:
        try:
            return TrainSettings.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            option = str(first["loc"][-1]).replace("_", "-")
            raise ConfigError(
                f"{self.file}: {option} = {first['input']!r}: {first['msg']}"
            ) from error


def read_grid(file: Path, given: Collection[str] = ()) -> Grid:
    """Read a grid: each key an option such as `gamma`, each value a list.

    Args:
        file: TOML.
        given: Names of settings that the command line gives, such as `beta_video`.

    Raises:
        ConfigError: If the file is unreadable, or holds an unknown key or no list.
        UsageError: If an option is both given and varied.
    """
    tree = read_toml(file, "grid")
    if not tree:
        raise ConfigError(f"{file} varies nothing; write a line such as gamma = [0.003, 0.03, 0.3]")
    values = {}
    for key, value in tree.items():
        option = key.replace("_", "-")
        _check(file, option, value)
        if {option, option.replace("-", "_")} & set(given):
            raise UsageError(f"--{option} is given, and {file} varies it; leave one of them out")
        values[option] = tuple(value)
    if len(values) < len(tree):
        raise ConfigError(f"{file} has an option twice, with - and with _")
    if (num := prod(map(len, values.values()))) > _MOST_COMBINATIONS:
        raise ConfigError(
            f"{file} has {num} combinations, at most {_MOST_COMBINATIONS} can be trained; vary less"
        )
    return Grid(file=file, values=values)


def _check(file: Path, option: str, value: Any) -> None:
    known = grid_options()
    if option not in known:
        hint = did_you_mean(option, known)
        raise ConfigError(
            f"{file}: {option!r} cannot be varied{hint}; a grid may vary {', '.join(known)}"
        )
    if not isinstance(value, list) or not value:
        raise ConfigError(
            f"{file}: {option} = {value!r} is no list of values, such as [0.003, 0.3]"
        )
    if any(one == other for n, one in enumerate(value) for other in value[:n]):
        raise ConfigError(f"{file}: {option} = {value} has a value twice")


def _with(settings: Mapping[str, Any], combination: Combination) -> dict[str, Any]:
    """Return settings with the values of a combination, as fields or as weights."""
    weights, fields = dict(settings["weight"]), dict[str, Any]()
    for option, value in combination.items():
        (fields if option in _OPTIONS else weights)[option.replace("-", "_")] = value
    return {**settings, **fields, "weight": weights}
