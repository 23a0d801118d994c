"""Pieces of HTML. Whatever comes from data is escaped here, once."""

from base64 import b64encode
from collections.abc import Collection, Sequence
from html import escape

from ta3n.train.report.gallery import Picture

_LONG_CELL = 36


def text(value: object) -> str:
    """Return a value as text that cannot be taken for markup."""
    return escape(str(value), quote=True)


def table(
    *,
    identity: str,
    caption: str,
    head: Sequence[str],
    rows: Sequence[Sequence[object]],
    text_columns: Collection[int],
    marked: int | None = None,
) -> str:
    """Return a table that scrolls inside its own container, by keyboard too.

    Args:
        identity: Of the caption, unique on the page.
        caption: Says what the table holds.
        head: Column heads.
        rows: Cells; the first of a row heads it.
        text_columns: The columns that do not hold numbers.
        marked: Number of the row that stands out.
    """

    def align(column: int, cell: object = "") -> str:
        if column not in text_columns:
            return ' class="number"'
        return ' class="long"' if len(str(cell)) > _LONG_CELL else ""

    heads = "".join(f'<th scope="col"{align(n)}>{text(h)}</th>' for n, h in enumerate(head))
    body = []
    for number, (first, *others) in enumerate(rows):
        cells = "".join(f"<td{align(n, c)}>{text(c)}</td>" for n, c in enumerate(others, start=1))
        mark = ' class="focal"' if number == marked else ""
        body.append(f'<tr{mark}><th scope="row">{text(first)}</th>{cells}</tr>')
    return (
        f'<div class="scroll" role="region" aria-labelledby="{identity}" tabindex="0"><table>'
        f'<caption id="{identity}"><span>{text(caption)}</span></caption>'
        f"<thead><tr>{heads}</tr></thead>\n<tbody>{chr(10).join(body)}</tbody></table></div>"
    )


def figure(picture: Picture) -> str:
    """Return a figure with its panels inside the page, caption and reading help."""
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
