"""How the recipe of a row is told in a table: its name, and what is set differently."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ta3n.train.paper.labels import NOT_ADAPTING
from ta3n.train.recipe.directions import coefficients_for
from ta3n.train.recipe.recipes import RECIPES
from ta3n.train.report.data.collect import RunGroup, flatten


class Recipes:
    """Names recipes in few letters; what departs from one becomes a footnote."""

    def __init__(self) -> None:
        self._letters: dict[str, str] = {}

    def names(self, rows: Sequence[RunGroup]) -> list[str]:
        """Return for each row its recipe, told apart by hash where that does not suffice."""
        texts = [self._name(row) for row in rows]
        return [
            text if texts.count(text) == 1 else f"{text}, {row.config.hash[:8]}"
            for row, text in zip(rows, texts, strict=True)
        ]

    def notes(self, rows: Sequence[RunGroup]) -> list[str]:
        """Return the footnotes that some rows need, which were named before."""
        used = {", ".join(_departures(row)) for row in rows}
        return [
            f"({letter}) with {text}." for text, letter in self._letters.items() if text in used
        ]

    def _name(self, row: RunGroup) -> str:
        recipe: str = row.config.settings["recipe"]["name"]
        departs = ", ".join(_departures(row))
        if not departs:
            return recipe
        letter = self._letters.setdefault(departs, _letter(len(self._letters)))
        return f"{recipe} ({letter})"


def _letter(number: int) -> str:
    return chr(ord("a") + number) if number < 26 else str(number + 1)


def _departures(row: RunGroup) -> list[str]:
    """Return the settings of a row that are not those of its recipe and direction."""
    config, settings = row.config, row.config.settings
    name = settings["recipe"]["name"]
    usual: dict[str, Any] = asdict(RECIPES[name]) if name in RECIPES else {}
    ours = dict(settings["recipe"])
    if config.method not in NOT_ADAPTING:
        known = coefficients_for(config.benchmark, config.source, config.target)
        usual |= flatten(asdict(known))
        # Whether the authors published them is no setting.
        ours |= {k: v for k, v in flatten(settings["adaptation"]).items() if k != "published"}
    return [
        f"{key.replace('coefficients.', 'beta_')} {ours[key]}"
        for key, value in usual.items()
        if key in ours and ours[key] != value
    ]
