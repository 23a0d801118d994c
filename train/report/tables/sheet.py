"""A table as data, and the four kinds of text it can become: Markdown, LaTeX, CSV, terminal."""

import csv
import io
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING, Literal, TypeVar

from jinja2 import Environment, FileSystemLoader

from ta3n.common.log import open_console, print_table
from ta3n.train.report.data.statistics import LEVEL, LEVEL_TEXT, Interval
from ta3n.train.runs.tables import spread

if TYPE_CHECKING:
    from rich.table import Table

T = TypeVar("T")

_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True, slots=True)
class Cell:
    """What a reader sees in a table, and one unrounded value for each CSV column, or none."""

    text: str = ""
    values: tuple[object, ...] = ()


_SPARE = (
    *("mean of classes", "videos", "labels read to choose", "rank corr., runs", "runs"),
    *("withheld, % of epochs", f"{LEVEL_TEXT} interval", "temporal", "±", "p", "oracle"),
)
"""Heads of columns that a terminal without room for all does without first, in this order."""

EMPTY = Cell()
Line = tuple[Cell, ...]


def signed(value: float, digits: int = 1) -> str:
    """Return a difference with its sign, a real minus; zero has none."""
    text = f"{abs(value):.{digits}f}"
    if float(text) == 0:
        return text
    return f"{'+' if value > 0 else '−'}{text}"  # noqa: RUF001


def p_text(p: float) -> str:
    """Return a p value with three decimals; what is smaller is said to be.

    Near the level it has as many as show on which side of it p lies.
    """
    if p < 0.001:
        return "< 0.001"
    alpha = round(1 - LEVEL, 9)
    texts = (f"{p:.{digits}f}" for digits in range(3, 9))
    return next((text for text in texts if (float(text) < alpha) == (p < alpha)), f"{p:.3f}")


def words(text: str) -> Cell:
    """Return text as a cell."""
    return Cell(text, (text,))


def number(value: float | None, digits: int = 2) -> Cell:
    """Return a number, rounded for the reader, with a real minus; None is empty."""
    if value is None:
        return EMPTY
    text = f"{value:.{digits}f}"
    return Cell(signed(value, digits) if value < 0 else text, (value,))


def difference(value: float | None, digits: int = 2) -> Cell:
    """Return a difference with its sign; None is empty."""
    return EMPTY if value is None else Cell(signed(value, digits), (value,))


def probability(p: float | None) -> Cell:
    """Return a p value; None is empty."""
    return EMPTY if p is None else Cell(p_text(p), (p,))


def over_seeds(percents: Sequence[float]) -> Cell:
    """Return mean and standard deviation over seeds, the latter empty for one; none are empty."""
    if not percents:
        return EMPTY
    deviation = stdev(percents) if len(percents) > 1 else ""
    return Cell(spread(percents), (mean(percents), deviation))


def tally(correct: float, total: int) -> Cell:
    """Return correct videos, a mean over seeds, out of all."""
    return Cell(f"{correct:.1f} of {total}", (correct, total))


def span(interval: Interval | None, *, sign: bool = False) -> Cell:
    """Return both ends of an interval, of a level or, with a sign, of a difference."""
    if interval is None:
        return EMPTY
    ends = (interval.low, interval.high)
    low, high = (signed(end) if sign else f"{end:.1f}" for end in ends)
    return Cell(f"{low} to {high}", ends)


def printed(percent: float, mark: str = "") -> Cell:
    """Return a figure that the paper prints, with the mark of a footnote or without."""
    return Cell(f"{percent:.2f}{mark}", (percent, mark))


@dataclass(frozen=True)
class Column:
    """A column of words or of numbers; in a CSV file several, a name for each value of a cell.

    On a terminal and on paper, where there is room for few, only some are shown.
    """

    head: str
    names: tuple[str, ...]
    words: bool = False
    terminal: bool = True


def word_columns(*names: str) -> tuple[Column, ...]:
    """Return columns of words that are called alike by readers and in CSV files."""
    return tuple(Column(name, (name,), words=True) for name in names)


@dataclass(frozen=True, kw_only=True)
class Block:
    """The lines of one source and target; that with the number `marked` stands out."""

    label: str
    lines: tuple[Line, ...]
    has_runs: bool = True
    marked: int | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """A table, with the stem of its files as name; the notes are footnotes of all blocks.

    `first` is what the blocks are of: the name of the first column of a CSV file.
    """

    name: str
    title: str
    caption: str
    columns: tuple[Column, ...]
    blocks: tuple[Block, ...]
    notes: tuple[str, ...] = ()
    first: str = "direction"

    @property
    def has_runs(self) -> bool:
        """Whether anything in it was run."""
        return any(block.has_runs for block in self.blocks)


def filled(cells: Mapping[Column, Callable[[T], Cell]], label: str, items: Iterable[T]) -> Block:
    """Return a block with a line for each item: in every column its cell of the item."""
    lines = tuple(tuple(cell(item) for cell in cells.values()) for item in items)
    return Block(label=label, lines=lines)


def csv_text(lines: Iterable[Iterable[object]]) -> str:
    """Return the lines of a CSV file."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()


def to_csv(sheet: Sheet) -> str:
    """Return a CSV file: numbers unrounded, the source and target in the first column."""
    lines: list[list[object]] = [[sheet.first, *(n for each in sheet.columns for n in each.names)]]
    for block in sheet.blocks:
        for line in block.lines:
            cells = zip(sheet.columns, line, strict=True)
            values = (cell.values or ("",) * len(column.names) for column, cell in cells)
            lines.append([block.label, *chain.from_iterable(values)])
    return csv_text(lines)


def to_markdown(sheet: Sheet) -> str:
    """Return a table for each source and target, and the footnotes as a list."""
    return _MARKDOWN.get_template("table.md.j2").render(sheet=sheet)


def to_latex(sheet: Sheet) -> str:
    """Return a floating table with booktabs rules; it shrinks to the width of the text."""
    own = [note for block in sheet.blocks for note in block.notes]
    notes = dict.fromkeys((*own, *sheet.notes))
    return _LATEX.get_template("table.tex.j2").render(sheet=sheet, notes=notes)


def print_sheet(sheet: Sheet, told: Collection[str] = ()) -> None:
    """Print what was run of a table on standard output, without notes that were told before."""
    console = open_console()
    tell = partial(console.print, highlight=False, markup=False)
    tell(f"\n{sheet.title}", style="bold")
    for block in (block for block in sheet.blocks if block.has_runs):
        heads = [column.head for column in sheet.columns if column.terminal]
        names = [line[0].text for line in block.lines]
        # Rows of one name are told apart by what else they are called.
        needed = {c.head for c in sheet.columns if c.words} if len({*names}) < len(names) else ()
        spare = [head for head in _SPARE if head in heads and head not in needed]
        # Where not even the fewest columns have room, it is told line by line with all of them.
        tries = [*(spare[:count] for count in range(len(spare) + 1)), []]
        left_out = next((some for some in tries if _widths(sheet, block, some, console.width)), [])
        print_table(console, _table(sheet, block, left_out, console.width))
        if left_out:
            tell(f"Columns without room here: {'; '.join(left_out)}.")
        for note in block.notes:
            tell(note)
    for note in (sheet.caption, *sheet.notes):
        if note not in told:
            tell(note)


def _shown(sheet: Sheet, left_out: Collection[str]) -> list[int]:
    return [n for n, c in enumerate(sheet.columns) if c.terminal and c.head not in left_out]


def _widths(sheet: Sheet, block: Block, left_out: Collection[str], room: int) -> list[int]:
    """Return widths of the columns shown in which no figure and no word is cut; none in less room.

    Words wrap, figures do not.
    """
    from rich.cells import cell_len

    least, most = [], []
    for number in _shown(sheet, left_out):
        column = sheet.columns[number]
        texts = [line[number].text for line in block.lines]
        unbroken = [*column.head.split(), *(texts if not column.words else " ".join(texts).split())]
        least.append(max(map(cell_len, unbroken), default=1))
        most.append(max(map(cell_len, (column.head, *texts))))
    # A column has a border and a space on each side.
    free = room - 3 * len(least) - 1 - sum(least)
    if free < 0:
        return []
    widths = []
    for low, high in zip(least, most, strict=True):
        more = min(free, high - low)
        free -= more
        widths.append(low + more)
    return widths


def _table(sheet: Sheet, block: Block, left_out: Collection[str], room: int) -> "Table":
    from rich.table import Table
    from rich.text import Text

    shown = _shown(sheet, left_out)
    widths: Sequence[int | None] = _widths(sheet, block, left_out, room) or [None] * len(shown)
    table = Table(title=Text(block.label), title_justify="left")
    for number, width in zip(shown, widths, strict=True):
        column = sheet.columns[number]
        justify: Literal["left", "right"] = "left" if column.words else "right"
        table.add_column(Text(column.head), overflow="fold", justify=justify, width=width)
    for number, line in enumerate(block.lines):
        style = "bold" if number == block.marked else None
        table.add_row(*(Text(line[n].text) for n in shown), style=style)
    return table


_MARKDOWN_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#])")
_LATEX_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "−": "$-$",  # noqa: RUF001
    "→": r"$\rightarrow$",
    "†": r"$\dagger$",
    "‡": r"$\ddagger$",
    "“": "``",
    "”": "''",
    **{special: f"\\{special}" for special in "&%$#_{}"},
}


def _markdown(value: object) -> str:
    return _MARKDOWN_SPECIAL.sub(r"\\\1", _one_line(value))


def _latex(value: object) -> str:
    return "".join(_LATEX_SPECIAL.get(character, character) for character in _one_line(value))


def _one_line(value: object) -> str:
    return " ".join(str(value).split())


def _environment(escape: Callable[[object], str]) -> Environment:
    """Return what fills in templates of a language in which braces have a meaning of their own."""
    return Environment(
        loader=FileSystemLoader(_TEMPLATES),
        finalize=escape,
        block_start_string="<%",
        block_end_string="%>",
        variable_start_string="<<",
        variable_end_string=">>",
        trim_blocks=True,
        keep_trailing_newline=True,
    )


_MARKDOWN, _LATEX = _environment(_markdown), _environment(_latex)
