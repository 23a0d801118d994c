"""A table as data, and the four kinds of text it can become: Markdown, LaTeX, CSV, terminal."""

import csv
import io
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ta3n.train.report.tables.cells import Cell

Line = tuple[Cell | None, ...]


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column.

    Attributes:
        head: What stands over it.
        names: Its columns in a CSV file: one for each value of a cell.
        words: Whether it holds words, not numbers.
        terminal: Whether it is shown on a terminal and on paper, where there is room for few.
    """

    head: str
    names: tuple[str, ...]
    words: bool = False
    terminal: bool = True


@dataclass(frozen=True, kw_only=True)
class Block:
    """The lines of one source and target.

    Attributes:
        label: Source and target, in words.
        lines: Cells by column; None is empty.
        has_runs: Whether anything in it was run.
        marked: Number of the line that stands out.
        notes: Footnotes of this block alone.
    """

    label: str
    lines: tuple[Line, ...]
    has_runs: bool = True
    marked: int | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """A table.

    Attributes:
        name: Stem of its files.
        title: What it is, in few words.
        caption: What its figures are.
        columns: From left to right.
        blocks: From top to bottom.
        notes: Footnotes of all blocks.
    """

    name: str
    title: str
    caption: str
    columns: tuple[Column, ...]
    blocks: tuple[Block, ...]
    notes: tuple[str, ...] = ()

    @property
    def has_runs(self) -> bool:
        """Whether anything in it was run."""
        return any(block.has_runs for block in self.blocks)


def cell_text(cell: Cell | None) -> str:
    """Return a cell as read; an empty one is empty."""
    return "" if cell is None else cell.text()


def to_csv(sheet: Sheet) -> str:
    """Return a CSV file: numbers unrounded, the source and target in the first column."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["direction", *(name for column in sheet.columns for name in column.names)])
    for block in sheet.blocks:
        for line in block.lines:
            cells = zip(sheet.columns, line, strict=True)
            values = [
                value
                for column, cell in cells
                for value in (("",) * len(column.names) if cell is None else cell.values())
            ]
            writer.writerow([block.label, *values])
    return text.getvalue()


def to_markdown(sheet: Sheet) -> str:
    """Return a table for each source and target, and the footnotes as a list."""
    parts = [f"## {_markdown(sheet.title)}", _markdown(sheet.caption)]
    for block in sheet.blocks:
        rules = ["---" if column.words else "---:" for column in sheet.columns]
        rows = [
            [_markdown(column.head) for column in sheet.columns],
            rules,
            *([_markdown(cell_text(cell)) for cell in line] for line in block.lines),
        ]
        table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
        parts += [f"### {_markdown(block.label)}", table, _bullets(block.notes)]
    parts.append(_bullets(sheet.notes))
    parts = [part for part in parts if part]
    return "\n\n".join(parts) + "\n"


def to_latex(sheet: Sheet) -> str:
    """Return a floating table with booktabs rules; it shrinks to the width of the text."""
    spec = "".join("l" if column.words else "r" for column in sheet.columns)
    lines = [_latex_line([column.head for column in sheet.columns])]
    for block in sheet.blocks:
        heading = rf"\multicolumn{{{len(spec)}}}{{l}}{{\textit{{{_latex(block.label)}}}}} \\"
        lines += [r"\midrule", heading]
        lines += [_latex_line([cell_text(cell) for cell in line]) for line in block.lines]
    own = [note for block in sheet.blocks for note in block.notes]
    told = dict.fromkeys((*own, *sheet.notes))
    notes = [rf"\par\smallskip\footnotesize {_latex(note)}" for note in told]
    return "\n".join(
        [
            r"% Needs \usepackage{booktabs} and \usepackage{graphicx}.",
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_latex(sheet.title)}. {_latex(sheet.caption)}}}",
            rf"\label{{tab:{sheet.name}}}",
            r"\resizebox{\linewidth}{!}{%",
            rf"\begin{{tabular}}{{{spec}}}",
            r"\toprule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}}",
            *notes,
            r"\end{table}",
            "",
        ]
    )


def print_sheet(sheet: Sheet, told: Collection[str] = ()) -> None:
    """Print what was run of a table on standard output.

    Args:
        sheet: The table.
        told: Notes that need no repeating.
    """
    from rich.table import Table
    from rich.text import Text

    from ta3n.train.runs.tables import open_console

    shown = [n for n, column in enumerate(sheet.columns) if column.terminal]
    console = open_console()
    console.print(f"\n{sheet.title}", highlight=False, markup=False, style="bold")
    for block in (block for block in sheet.blocks if block.has_runs):
        table = Table(title=Text(block.label), title_justify="left")
        for n in shown:
            column = sheet.columns[n]
            table.add_column(
                Text(column.head),
                overflow="fold",
                justify="left" if column.words else "right",
            )
        for number, line in enumerate(block.lines):
            style = "bold" if number == block.marked else None
            table.add_row(*(Text(cell_text(line[n])) for n in shown), style=style)
        console.print(table)
        for note in block.notes:
            console.print(note, highlight=False, markup=False)
    for note in (sheet.caption, *sheet.notes):
        if note not in told:
            console.print(note, highlight=False, markup=False)


_MARKDOWN_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#])")
_LATEX = {
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


def _bullets(notes: Sequence[str]) -> str:
    return "\n".join(f"- {_markdown(note)}" for note in notes)


def _markdown(text: str) -> str:
    return _MARKDOWN_SPECIAL.sub(r"\\\1", _one_line(text))


def _latex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in _one_line(text))


def _latex_line(cells: Sequence[str]) -> str:
    return rf"{' & '.join(map(_latex, cells))} \\"


def _one_line(text: str) -> str:
    return " ".join(text.split())
