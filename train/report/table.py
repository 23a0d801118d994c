"""The results of all rows, for the terminal and as a tidy CSV file."""

import csv
import io
from dataclasses import dataclass

from ta3n.train.report.collect import Direction, Row
from ta3n.train.report.compare import compare, source_only_for
from ta3n.train.report.labels import RULES, method_label
from ta3n.train.report.verdict import headline, signed
from ta3n.train.table import spread

_CSV_COLUMNS = (
    "benchmark",
    "source",
    "target",
    "method",
    "temporal",
    "variant",
    "recipe",
    "config_hash",
    "seed",
    "rule",
    "uses_target_labels",
    "epoch",
    "correct",
    "total",
    "accuracy_percent",
    "target_label_reads",
)


@dataclass(frozen=True, kw_only=True)
class TableRow:
    """A row of the results table, ready to be shown.

    Attributes:
        method: Name of the method, with its variant.
        temporal: Temporal module.
        num_seeds: n.
        accuracy: Rule -> mean ± standard deviation over seeds in percent; empty if not run.
        points: `last` less that of source-only with the same temporal module, in points.
        videos: The same in videos.
    """

    method: str
    temporal: str
    num_seeds: int
    accuracy: dict[str, str]
    points: str
    videos: str

    def cells(self) -> list[str]:
        """Return the cells in the order of `headings`."""
        return [
            self.method,
            self.temporal,
            str(self.num_seeds),
            *self.accuracy.values(),
            self.points,
            self.videos,
        ]


def headings(direction: Direction) -> list[str]:
    """Return the column heads of the results table."""
    return [
        "method",
        "temporal",
        "n",
        *(f"{rule}, %" for rule in direction.rules),
        "gain, points",
        "gain, videos",
    ]


def table_rows(direction: Direction) -> list[TableRow]:
    """Return the results table of a direction, in the paper's order."""
    return [_table_row(row, direction) for row in direction.rows]


def _table_row(row: Row, direction: Direction) -> TableRow:
    reference = source_only_for(row, direction)
    gain = None if reference is None else compare(row, reference)
    label = method_label(row.config.method)
    return TableRow(
        method=f"{label} ({row.variant})" if row.variant else label,
        temporal=row.config.temporal,
        num_seeds=len(row.runs),
        accuracy={
            rule: spread(row.percents(rule)) if rule in row.rules else ""
            for rule in direction.rules
        },
        points="" if gain is None else signed(gain.points, 2),
        videos="" if gain is None else signed(gain.videos),
    )


def results_csv(directions: tuple[Direction, ...]) -> bytes:
    """Return a tidy file: a line for each direction, row, seed and selection rule."""
    text = io.StringIO()
    writer = csv.DictWriter(text, _CSV_COLUMNS, lineterminator="\n")
    writer.writeheader()
    for direction in directions:
        for row in direction.rows:
            writer.writerows(_csv_lines(row))
    return text.getvalue().encode(errors="surrogateescape")


def _csv_lines(row: Row) -> list[dict[str, object]]:
    config = row.config
    shared = {
        "benchmark": config.benchmark,
        "source": config.source,
        "target": config.target,
        "method": config.method,
        "temporal": config.temporal,
        "variant": row.variant,
        "recipe": config.settings["recipe"]["name"],
        "config_hash": config.hash,
    }
    return [
        {
            **shared,
            "seed": run.seed,
            "rule": name,
            "uses_target_labels": rule.uses_target_labels,
            "epoch": rule.epoch,
            "correct": rule.correct,
            "total": rule.total,
            "accuracy_percent": repr(rule.percent),
            "target_label_reads": run.result.target_label_reads,
        }
        for run in row.runs
        for name, rule in run.result.rules.items()
    ]


def print_direction(direction: Direction) -> None:
    """Print the results table of a direction and its headline on standard output."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for number, heading in enumerate(headings(direction)):
        table.add_column(heading, no_wrap=True, justify="left" if number < 2 else "right")
    for row in table_rows(direction):
        table.add_row(*(Text(cell) for cell in row.cells()))
    # Without a terminal the width is not known; a log file takes whole lines.
    console = Console()
    if not console.is_terminal:
        console = Console(width=150)
    console.print(direction.label, highlight=False, markup=False)
    console.print(table)
    console.print(
        "target accuracy, mean ± standard deviation over n seeds; gain: last, against source only "
        "with the same temporal module",
        highlight=False,
    )
    for rule in direction.rules:
        console.print(f"{rule}: {RULES.get(rule, rule)}", highlight=False, markup=False)
    console.print(headline(direction), highlight=False, markup=False, style="bold")
