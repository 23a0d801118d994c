"""Pieces of HTML. Whatever comes from data is escaped here, once."""

from base64 import b64encode
from collections.abc import Collection, Sequence
from html import escape
from typing import TYPE_CHECKING

from ta3n.train.report.tables.sheets import Block, Sheet, cell_text

if TYPE_CHECKING:
    from ta3n.train.report.figures.gallery import Picture

_LONG_CELL = 36


def text(value: object) -> str:
    """Return a value as text that cannot be taken for markup."""
    return escape(str(value), quote=True)


def table(
    *,
    label: str,
    caption: str,
    head: Sequence[str],
    rows: Sequence[Sequence[object]],
    text_columns: Collection[int],
    marked: int | None = None,
    minor_columns: Collection[int] = (),
) -> str:
    """Return a table that scrolls inside its own container, by keyboard too.

    Args:
        label: Names the table for those who cannot see it.
        caption: Says what the table holds.
        head: Column heads.
        rows: Cells; the first of a row heads it.
        text_columns: The columns that do not hold numbers.
        marked: Number of the row that stands out.
        minor_columns: The columns that paper has no room for.
    """

    def align(column: int, cell: object = "") -> str:
        classes = ["minor"] if column in minor_columns else []
        if column not in text_columns:
            classes.append("number")
        elif len(str(cell)) > _LONG_CELL:
            classes.append("long")
        return f' class="{" ".join(classes)}"' if classes else ""

    heads = "".join(f'<th scope="col"{align(n)}>{text(h)}</th>' for n, h in enumerate(head))
    body = []
    for number, (first, *others) in enumerate(rows):
        cells = "".join(f"<td{align(n, c)}>{text(c)}</td>" for n, c in enumerate(others, start=1))
        mark = ' class="focal"' if number == marked else ""
        body.append(f'<tr{mark}><th scope="row">{text(first)}</th>{cells}</tr>')
    return (
        f'<div class="scroll" role="region" aria-label="{text(label)}" tabindex="0"><table>'
        f"<caption><span>{text(caption)}</span></caption>"
        f"<thead><tr>{heads}</tr></thead>\n<tbody>{chr(10).join(body)}</tbody></table></div>"
    )


def sheet_block(sheet: Sheet, block: Block) -> str:
    """Return the part of a table that one source and target has, with the footnotes."""
    minor = [n for n, column in enumerate(sheet.columns) if not column.terminal]
    shown = table(
        label=f"{sheet.title}, {block.label}",
        caption=sheet.caption,
        head=[column.head for column in sheet.columns],
        rows=[[cell_text(cell) for cell in line] for line in block.lines],
        text_columns=[n for n, column in enumerate(sheet.columns) if column.words],
        marked=block.marked,
        minor_columns=minor,
    )
    notes = (*block.notes, *sheet.notes)
    on_paper = '<p class="paper">Columns without room here are in the files of the table.</p>'
    footnotes = f'<div class="footnotes">{bullet_list(notes)}</div>' if notes else ""
    return f"<h3>{text(sheet.title)}</h3>\n{shown}\n{on_paper if minor else ''}{footnotes}"


def figure(picture: "Picture", command: str) -> str:
    """Return a figure with its panels inside the page, caption, reading help and command.

    Args:
        picture: What is shown.
        command: The command line that made it.
    """
    images = "\n".join(
        f'<img alt="{text(panel.alt)}" src="data:image/svg+xml;base64,'
        f'{b64encode(panel.svg).decode()}">'
        for panel in picture.panels
    )
    single = " single" if len(picture.panels) == 1 else ""
    return (
        f'<h3>{text(picture.heading)}</h3>\n<figure><div class="panels{single}">{images}</div>\n'
        f"<figcaption>{text(picture.caption)}"
        f'<p class="reading"><strong>How to read it.</strong> {text(picture.reading)}</p>'
        f'<p class="made">Made by <code>{text(command)}</code></p>'
        "</figcaption></figure>"
    )


def bullet_list(items: Sequence[str]) -> str:
    """Return a list."""
    return f"<ul>{''.join(f'<li>{text(item)}</li>' for item in items)}</ul>"


def notes(heading: str, items: Sequence[str]) -> str:
    """Return a box of notes, or nothing where there are none."""
    if not items:
        return ""
    return f'<section class="notes"><h3>{text(heading)}</h3>{bullet_list(items)}</section>'


def definitions(pairs: Sequence[tuple[str, object]]) -> str:
    """Return a list of terms and what they are."""
    items = "".join(f"<dt>{text(term)}</dt><dd>{text(what)}</dd>" for term, what in pairs)
    return f"<dl>{items}</dl>"
