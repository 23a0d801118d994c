"""Tables 2, 3 and 4 of the paper with our figures beside the printed ones.

A run belongs to a row if its switches are those of the row; what else is set differently is told
in the column `recipe`. What was not run stays empty.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from statistics import mean
from typing import Any

from ta3n.common.records import IMPORTED
from ta3n.datasets.benchmarks.registry import BUILT_IN_CATALOGUE
from ta3n.train.methods.registry import default_weights
from ta3n.train.paper.rows import CITED, ROWS, Direction, Row
from ta3n.train.recipe.directions import direction_weights
from ta3n.train.recipe.recipes import RECIPES
from ta3n.train.report.data.collect import RunGroup
from ta3n.train.report.data.compare import Analysis
from ta3n.train.report.tables.rows import accuracy_cells, accuracy_columns, trust_notes
from ta3n.train.report.tables.sheet import (
    EMPTY,
    Block,
    Cell,
    Column,
    Line,
    Sheet,
    printed,
    word_columns,
    words,
)
from ta3n.train.runs.records import base_of, features_of
from ta3n.train.runs.selection import LAST, ORACLE

TITLES = {
    "table2": "Table 2: UCF-Olympic and UCF-HMDB (small)",
    "table3": "Table 3: UCF-HMDB (full), all methods",
    "table4": "Table 4: UCF-HMDB (full), places of the discriminators",
}
_BACKBONE = "resnet101"
_IMPOSSIBLE, _CITED = "†", "‡"


def is_row(row: RunGroup, paper: Row) -> bool:
    """Return whether a row of runs is made of what a row of the paper is, whatever the names."""
    ours, theirs = row.config.settings["method"], paper.method.record()
    keys = ("temporal", "trains_on", "closed_form")
    same = all(ours.get(key) == theirs.get(key) for key in keys)
    return same and set(ours["terms"]) == set(theirs["terms"])


def is_any_row(row: RunGroup) -> bool:
    """Return whether a row of runs stands in any of the paper's tables, its direction included."""
    config = row.config
    key = (config.benchmark, config.source, config.target)
    return any(key in paper.figures and is_row(row, paper) for paper in ROWS.values())


def paper_sheet(name: str, analyses: Sequence[Analysis], rules: Sequence[str]) -> Sheet:
    """Return `table2`, `table3` or `table4`, given at least one direction that was run."""
    by_key = {analysis.direction.key[:3]: analysis for analysis in analyses}
    rule = analyses[0].rule
    compared = [Column(f"{r} − paper", (f"{r}_difference_points",)) for r in _compared(rule)]  # noqa: RUF001
    columns = (
        *word_columns("row", "temporal", "recipe"),
        Column("paper", ("paper_percent", "paper_mark")),
        *accuracy_columns(rules, rule, *compared),
    )
    papers = [row for row in ROWS.values() if row.name.startswith(f"{name}/")]
    directions = list(dict.fromkeys(key for paper in papers for key in paper.figures))
    shown = [by_key[key] for key in directions if key in by_key]
    blocks = _Blocks(name, papers, columns, rules)
    cited = (
        f"{_CITED} Cited by the paper from earlier work; not run here.",
        *(f"{p.title}: the paper's figure is cited too; {p.reading}." for p in papers if p.reading),
    )
    return Sheet(
        name=name,
        title=TITLES[name],
        caption="Accuracy in percent on the target validation videos. Ours: mean ± standard "
        f"deviation over n seeds. Videos and interval: by the rule {rule}. The paper's figures are "
        "of the best of 30 epochs on target labels: ours less the paper's, in points, is like "
        "against like by oracle alone; beside it by a rule that is to be had in practice.",
        columns=columns,
        blocks=tuple(blocks.block(key, by_key.get(key)) for key in directions),
        notes=(*(cited if name in CITED else ()), *trust_notes(shown, rules)),
    )


class _Blocks:
    """The blocks of one table of the paper."""

    def __init__(
        self, name: str, papers: Sequence[Row], columns: Sequence[Column], rules: Sequence[str]
    ) -> None:
        # In printed order: a printed row has both temporal modules.
        titles = list(dict.fromkeys(paper.title for paper in papers))
        self._papers = sorted(papers, key=lambda paper: titles.index(paper.title))
        self._cited = {t: f for t, f in CITED.get(name, {}).items() if t not in titles}
        self._columns, self._rules = columns, rules
        # What departs from a recipe, and the letter of its footnote.
        self._letters: dict[str, str] = {}

    def block(self, key: Direction, analysis: Analysis | None) -> Block:
        """Return the lines of a direction: cited ones, then the paper's, with ours if run."""
        benchmark, source, target = key
        lines = [
            self._empty(title, "", printed(figures[key], _CITED))
            for title, figures in self._cited.items()
            if key in figures
        ]
        ours: list[RunGroup] = []
        marked = None
        for paper in self._papers:
            run = analysis.direction.rows if analysis else ()
            rows = [row for row in run if is_row(row, paper)]
            if analysis and analysis.focal in rows:
                marked = len(lines) + rows.index(analysis.focal)
            lines += self._lines(paper, key, rows, analysis)
            ours += rows
        unnamed = f"{source} → {target} ({benchmark})"
        return Block(
            label=analysis.direction.label if analysis else unnamed,
            lines=tuple(lines),
            has_runs=bool(ours),
            marked=marked,
            notes=(
                *_misprints(self._papers, key),
                *self._departures(ours),
                *_videos(key, ours),
                *_features(ours),
            ),
        )

    def _empty(self, title: str, temporal: str, figure: Cell) -> Line:
        known = (words(title), words(temporal), EMPTY, figure)
        return (*known, *[EMPTY] * (len(self._columns) - len(known)))

    def _lines(
        self, paper: Row, key: Direction, rows: Sequence[RunGroup], analysis: Analysis | None
    ) -> Iterator[Line]:
        title, temporal = paper.title, paper.method.temporal
        mark = _CITED if paper.reading else _IMPOSSIBLE if _misprint(paper, key) else ""
        figure = printed(paper.figures[key], mark)
        if analysis is None or not rows:
            yield self._empty(title, temporal, figure)
            return
        recipes = [self._recipe(row) for row in rows]
        for row, recipe in zip(rows, recipes, strict=True):
            told_apart = (
                recipe if recipes.count(recipe) == 1 else f"{recipe}, {row.config.hash[:8]}"
            )
            percents = [row.percents(rule) for rule in _compared(analysis.rule)]
            compared = [mean(some) - paper.figures[key] if some else None for some in percents]
            cells = accuracy_cells(row, analysis, self._rules, *compared)
            yield (words(title), words(temporal), words(told_apart), figure, *cells)

    def _recipe(self, row: RunGroup) -> str:
        """Return the name of a recipe, with a letter where a row departs from it."""
        recipe: str = row.config.settings["recipe"]["name"]
        departs = _departures(row)
        if not departs:
            return recipe
        num = len(self._letters)
        letter = chr(ord("a") + num) if num < 26 else str(num + 1)
        return f"{recipe} ({self._letters.setdefault(departs, letter)})"

    def _departures(self, rows: Sequence[RunGroup]) -> list[str]:
        """Return the footnotes that the letters of some rows need."""
        used = set(map(_departures, rows))
        return [
            f"({letter}) with {text}." for text, letter in self._letters.items() if text in used
        ]


def _compared(rule: str) -> tuple[str, str]:
    """Return the rules by which ours stand against the paper's: as the paper chose, and honest."""
    return ORACLE, LAST if rule == ORACLE else rule


def _misprint(paper: Row, key: Direction) -> str | None:
    total = num_target_videos(key)
    # What is cited was measured on videos that the paper does not tell of.
    return None if paper.reading or total is None else why_impossible(paper.figures[key], total)


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


def _features(ours: Sequence[RunGroup]) -> Iterator[str]:
    """Say where ours stand on features of another network than the paper's."""
    made = [features_of(row.config) for row in ours]
    others = {f.backbone for f in made if f.profile != IMPORTED and f.backbone != _BACKBONE}
    if others:
        yield (
            f"Ours are on features of {' and '.join(sorted(others))}, the paper's on those of "
            f"{_BACKBONE}; the difference between them is not of the method alone."
        )


def num_target_videos(direction: Direction) -> int | None:
    """Return the validation videos of a direction's target in the complete benchmark."""
    benchmark, _, target = direction
    totals = BUILT_IN_CATALOGUE.benchmark(benchmark).expected_totals(target)
    return None if totals is None else totals[1]


def correct_videos(percent: float, total: int) -> int | None:
    """Return the number of correct videos that is printed as a figure, or None if none is.

    With two decimals, a figure that no number of correct videos gives was misprinted, or measured
    on other videos.
    """
    near = round(percent * total / 100)
    fitting = [k for k in (near - 1, near, near + 1) if _share(k, total) == f"{percent:.2f}"]
    return fitting[0] if fitting else None


def why_impossible(percent: float, total: int) -> str | None:
    """Return the sentence that says why no number of videos gives a figure, or None if one does."""
    if correct_videos(percent, total) is not None:
        return None
    below = int(percent * total / 100)
    return (
        f"no number of correct videos out of {total} is {percent:.2f} %: {below} are "
        f"{_share(below, total)}, {below + 1} are {_share(below + 1, total)}"
    )


def _share(correct: int, total: int) -> str:
    return f"{100 * correct / total:.2f}"


def _departures(row: RunGroup) -> str:
    """Return the settings of a row that are not those of its recipe and direction."""
    config, settings = row.config, row.config.settings
    name = settings["recipe"]["name"]
    usual: dict[str, Any] = asdict(RECIPES[name]) if name in RECIPES else {}
    if "closed_form" in settings["method"]:
        usual = {}  # it reads no recipe
    ours = dict(settings["recipe"])
    if row.adapts:
        usual |= default_weights()
        usual |= direction_weights(base_of(config), config.source, config.target).values
        ours |= settings["weights"]
    departs = [key for key, value in usual.items() if key in ours and ours[key] != value]
    started = [f"started from {start['label']}"] if (start := settings.get("init_from")) else []
    return ", ".join([*started, *(f"{key} {ours[key]}" for key in departs)])
