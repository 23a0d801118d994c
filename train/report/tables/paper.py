"""Tables 2, 3 and 4 of the paper with our figures beside the printed ones.

A run belongs to a row if its switches are those of the row; what else is set differently is told
in the column `recipe`. What was not run stays empty.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from statistics import mean
from typing import Any

from ta3n.train.methods.registry import default_weights
from ta3n.train.paper.printed import num_target_videos, why_impossible
from ta3n.train.paper.rows import CITED, ROWS, Direction, Row
from ta3n.train.recipe.directions import direction_weights
from ta3n.train.recipe.recipes import RECIPES
from ta3n.train.report.data.collect import RunGroup
from ta3n.train.report.data.compare import Analysis
from ta3n.train.report.tables.rows import (
    COUNT_COLUMNS,
    count_cells,
    rule_cells,
    rule_columns,
    split_rules,
    trust_notes,
)
from ta3n.train.report.tables.sheet import (
    EMPTY,
    Block,
    Column,
    Line,
    Sheet,
    difference,
    printed,
    words,
)

TITLES = {
    "table2": "Table 2: UCF-Olympic and UCF-HMDB (small)",
    "table3": "Table 3: UCF-HMDB (full), all methods",
    "table4": "Table 4: UCF-HMDB (full), places of the discriminators",
}
_IMPOSSIBLE, _CITED = "†", "‡"


def is_row(row: RunGroup, paper: Row) -> bool:
    """Return whether a row of runs has the switches of a row of the paper."""
    return _made_of(row.config.settings["method"]) == _made_of(paper.method.record())


def is_any_row(row: RunGroup) -> bool:
    """Return whether a row of runs stands in any of the paper's tables, its direction included."""
    config = row.config
    key = (config.benchmark, config.source, config.target)
    return any(key in paper.figures and is_row(row, paper) for paper in ROWS.values())


def paper_sheet(name: str, analyses: Sequence[Analysis], rules: Sequence[str], rule: str) -> Sheet:
    """Return a table of the paper.

    Args:
        name: `table2`, `table3` or `table4`.
        analyses: Of all directions that were run.
        rules: Selection rules, a column each.
        rule: The one that the difference and the tests go by.
    """
    by_key = {_key(analysis): analysis for analysis in analyses}
    table = _Table(name, rules, rule)
    shown = [by_key[key] for key in table.directions if key in by_key]
    main, rest = split_rules(rules, rule)
    cited = (f"{_CITED} Cited by the paper from earlier work; not run here.",)
    return Sheet(
        name=name,
        title=TITLES[name],
        caption="Accuracy in percent on the target validation videos. Ours: mean ± standard "
        f"deviation over n seeds. Difference, videos and interval: by the rule {rule}; difference: "
        "ours less the paper's, in points.",
        columns=(
            Column(head="row", names=("row",), words=True),
            Column(head="temporal", names=("temporal",), words=True),
            Column(head="recipe", names=("recipe",), words=True),
            Column(head="paper", names=("paper_percent", "paper_mark")),
            *rule_columns(main),
            Column(head="difference", names=("difference_points",)),
            *COUNT_COLUMNS,
            *rule_columns(rest, terminal=False),
        ),
        blocks=tuple(table.block(key, by_key.get(key)) for key in table.directions),
        notes=(*(cited if name in CITED else ()), *trust_notes(shown, rules, rule)),
    )


class _Table:
    """The blocks of one table of the paper.

    Args:
        name: Of the table.
        rules: Selection rules.
        rule: The one that the difference and the tests go by.
    """

    def __init__(self, name: str, rules: Sequence[str], rule: str) -> None:
        own = [row for row in ROWS.values() if row.name.startswith(f"{name}/")]
        self._papers = _in_printed_order(own)
        self._cited = CITED.get(name, ())
        self._main, self._rest = split_rules(rules, rule)
        self._recipes = _Recipes()
        self.directions = list(dict.fromkeys(key for paper in own for key in paper.figures))

    def block(self, key: Direction, analysis: Analysis | None) -> Block:
        """Return the lines of a direction: cited ones, then the paper's, with ours if run."""
        benchmark, source, target = key
        lines = [
            self._empty(c.title, "", c.figures[key], _CITED)
            for c in self._cited
            if key in c.figures
        ]
        ours: list[RunGroup] = []
        marked = None
        for paper in self._papers:
            run = analysis.direction.rows if analysis else ()
            rows = [row for row in run if is_row(row, paper)]
            if analysis is None or not rows:
                lines.append(self._empty(paper.title, paper.method.temporal, *_printed(paper, key)))
                continue
            ours += rows
            if analysis.focal in rows:
                marked = len(lines) + rows.index(analysis.focal)
            lines += self._lines(paper, key, rows, analysis)
        return Block(
            label=f"{source} → {target} ({benchmark})",
            lines=tuple(lines),
            has_runs=bool(ours),
            marked=marked,
            notes=(*_misprints(self._papers, key), *self._recipes.notes(ours), *_videos(key, ours)),
        )

    def _empty(self, title: str, temporal: str, figure: float, mark: str) -> Line:
        """Return a line of the paper alone."""
        empty = len(self._main) + 1 + len(COUNT_COLUMNS) + len(self._rest)
        return (words(title), words(temporal), EMPTY, printed(figure, mark), *[EMPTY] * empty)

    def _lines(
        self, paper: Row, key: Direction, rows: Sequence[RunGroup], analysis: Analysis
    ) -> Iterator[Line]:
        """Yield a line for each row of runs that is a row of the paper."""
        for row, recipe in zip(rows, self._recipes.names(rows), strict=True):
            percents = row.percents(analysis.rule)
            yield (
                words(paper.title),
                words(paper.method.temporal),
                words(recipe),
                printed(*_printed(paper, key)),
                *rule_cells(row, self._main),
                difference(mean(percents) - paper.figures[key] if percents else None),
                *count_cells(row, analysis),
                *rule_cells(row, self._rest),
            )


def _key(analysis: Analysis) -> Direction:
    direction = analysis.direction
    return direction.benchmark, direction.source, direction.target


def _in_printed_order(papers: Sequence[Row]) -> list[Row]:
    """Sort by title, in order of first appearance: a printed row has both temporal modules."""
    titles = list(dict.fromkeys(paper.title for paper in papers))
    return sorted(papers, key=lambda paper: titles.index(paper.title))


def _printed(paper: Row, key: Direction) -> tuple[float, str]:
    """Return the printed figure, and the mark of one that no count of videos gives."""
    return paper.figures[key], _IMPOSSIBLE if _misprint(paper, key) else ""


def _misprint(paper: Row, key: Direction) -> str | None:
    total = num_target_videos(key)
    return None if total is None else why_impossible(paper.figures[key], total)


def _misprints(papers: Sequence[Row], key: Direction) -> Iterator[str]:
    for paper in papers:
        if reason := _misprint(paper, key):
            extra = f" ({paper.note})" if paper.note else ""
            yield f"{_IMPOSSIBLE} {paper.title}, {paper.method.temporal}: {reason}{extra}."


def _videos(key: Direction, ours: Sequence[RunGroup]) -> Iterator[str]:
    theirs = num_target_videos(key)
    if ours and theirs not in (None, ours[0].total):
        yield (
            f"Ours were tested on {ours[0].total} videos, the paper's on {theirs}; the difference "
            "between them says little."
        )


def _made_of(record: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what a method is made of; its name is none of that."""
    return record["temporal"], record["trains_on"], frozenset(record["terms"])


class _Recipes:
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
    if row.adapts:
        usual |= default_weights()
        usual |= direction_weights(config.benchmark, config.source, config.target).values
        ours |= settings["weights"]
    return [
        f"{key} {ours[key]}" for key, value in usual.items() if key in ours and ours[key] != value
    ]
