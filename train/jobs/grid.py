"""Grids of hyper-parameters: a TOML file of lists to the settings of every combination.

The paper chose the weights of its losses so: "All the weightings are chosen via grid search."
Needs no torch.
"""

import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ta3n.common.errors import ConfigError, UsageError
from ta3n.common.names import did_you_mean
from ta3n.train.jobs.settings import TrainSettings

GRID_OPTIONS = (
    "beta-relation",
    "beta-video",
    "beta-frame",
    "gamma",
    "alpha",
    "mu",
    "learning-rate",
    "batch-size",
    "epochs",
    "segments",
    "max-subsets",
    "mmd-estimator",
    "recipe",
)
"""Options that a grid may vary, as the command line calls them."""

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
        if len(settings.rows) > 1:
            raise UsageError(
                f"a grid is of one row or method, and {len(settings.rows)} rows are asked for; "
                "give one command line each"
            )
        common = settings.model_dump()
        return [self._validate({**common, **_fields(each)}) for each in self.combinations]

    def _validate(self, values: Mapping[str, Any]) -> TrainSettings:
        try:
            return TrainSettings.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            option = str(first["loc"][0]).replace("_", "-")
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
    try:
        tree = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"no grid file {file}") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{file} cannot be read: {error}") from error
    if not tree:
        raise ConfigError(f"{file} varies nothing; write a line such as gamma = [0.003, 0.03, 0.3]")
    values = {}
    for key, value in tree.items():
        option = key.replace("_", "-")
        _check(file, option, value)
        if option.replace("-", "_") in given:
            raise UsageError(f"--{option} is given, and {file} varies it; leave one of them out")
        values[option] = tuple(value)
    if len(values) < len(tree):
        raise ConfigError(f"{file} has an option twice, with - and with _")
    return Grid(file=file, values=values)


def _check(file: Path, option: str, value: Any) -> None:
    if option not in GRID_OPTIONS:
        hint = did_you_mean(option, GRID_OPTIONS)
        raise ConfigError(
            f"{file}: {option!r} cannot be varied{hint}; a grid may vary {', '.join(GRID_OPTIONS)}"
        )
    if not isinstance(value, list) or not value:
        raise ConfigError(
            f"{file}: {option} = {value!r} is no list of values, such as [0.003, 0.3]"
        )
    if any(one == other for n, one in enumerate(value) for other in value[:n]):
        raise ConfigError(f"{file}: {option} = {value} has a value twice")


def _fields(combination: Combination) -> dict[str, Any]:
    return {option.replace("-", "_"): value for option, value in combination.items()}
