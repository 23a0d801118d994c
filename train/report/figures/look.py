"""The common look of all pictures: sizes, colours, markers, and how they become files.

Colours are of Okabe and Ito's palette, which colour-blind readers can tell apart, without its
yellow, which is hardly seen on white; markers and line styles carry the same meaning once more for
print in grey. Pictures are 5 inches wide with letters of 10 points, so that they can be read on a
page of 400 pixels.
"""

import io
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.image import AxesImage
from matplotlib.layout_engine import ConstrainedLayoutEngine
from PIL import Image

from ta3n.common.errors import printable
from ta3n.train.report.data.collect import RunGroup
from ta3n.train.report.tables.sheet import csv_text

WIDTH_IN = 5.0
DPI = 200
"""Of the PNG files: twice a plain screen's."""

GREY = "#555555"
REFERENCE = {"color": "#777777", "linewidth": 1, "linestyle": (0, (5, 3)), "zorder": 1}
"""The line of what chance, or no knowledge, would give."""

SOURCE = {"color": "#0072B2", "marker": "o"}
TARGET = {"color": "#D55E00", "marker": "^"}

_LOOKS = {
    "target-only": ("#777777", "D"),
    "source-only": ("#000000", "s"),
    "revgrad": ("#D55E00", "^"),
    "dan": ("#999933", ">"),
    "jan": ("#CC79A7", "<"),
    "adabn": ("#56B4E9", "P"),
    "mcd": ("#E69F00", "X"),
    "ta2n": ("#009E73", "v"),
    "ta3n": ("#0072B2", "o"),
}
_OTHER_LOOKS = (
    ("#8C6D1F", "*"),
    ("#882255", "p"),
    ("#44AA99", "h"),
    ("#6A3D9A", "d"),
    ("#A6761D", "8"),
)
"""Of methods that the paper does not have, by name; with more of them than looks they repeat."""

LINE_LOOKS: tuple[dict[str, Any], ...] = (
    {"color": "#000000", "linestyle": "-", "marker": "s"},
    {"color": "#D55E00", "linestyle": "--", "marker": "^"},
    {"color": "#009E73", "linestyle": "-.", "marker": "v"},
    {"color": "#0072B2", "linestyle": ":", "marker": "o"},
    {"color": "#CC79A7", "linestyle": "-", "marker": "D"},
    {"color": "#E69F00", "linestyle": "--", "marker": "X"},
)
"""Of lines that stand for no row; with more lines than looks they begin again."""

Data = tuple[Sequence[str], Iterable[Sequence[object]]]
"""What a figure shows, unrounded: names of columns, and lines."""

_HERE = Path(__file__).parent
_CAPTIONS = tomllib.loads((_HERE / "captions.toml").read_text("utf-8"))


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One drawn figure: the stem of its files, what it shows in words, and the files.

    The CSV file holds the numbers that are drawn.
    """

    name: str
    alt: str
    svg: bytes
    png: bytes
    csv: bytes


@dataclass(frozen=True, kw_only=True)
class Picture:
    """At least one panel, and what is said of it; `reading` says how to read it, and how not."""

    heading: str
    caption: str
    reading: str
    panels: tuple[Panel, ...]

    def prefixed(self, prefix: str) -> "Picture":
        """Return the same with something before the name of every panel."""
        panels = (replace(panel, name=f"{prefix}{panel.name}") for panel in self.panels)
        return replace(self, panels=tuple(panels))


def picture(name: str, *panels: Panel, more: Sequence[str] = (), **facts: str) -> Picture:
    """Put panels between the heading and the caption that `captions.toml` has under a name.

    `more` are the parts of the caption, none means `caption` alone; `facts` are what they name.
    """
    texts = _CAPTIONS[name]
    caption = " ".join(texts[part].strip() for part in more or ["caption"])
    return Picture(
        heading=texts["heading"],
        caption=caption.format(**facts),
        reading=texts["reading"].strip(),
        panels=panels,
    )


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """All pictures of a direction that could be drawn, and why others could not, a line each."""

    pictures: list[Picture]
    missing: list[str]


@contextmanager
def new_figure(height_in: float, **subplots: Any) -> Iterator[tuple[Figure, Any]]:
    """Give a figure in the common look and width, with one plot or those of `Figure.subplots`."""
    with mpl.rc_context():
        # A reader's own settings must not change the pictures.
        mpl.rcdefaults()
        style.use(_HERE / "pictures.mplstyle")
        # The last label of an axis may reach past its end, which the layout does not see.
        layout = ConstrainedLayoutEngine(w_pad=0.1)
        figure = Figure(figsize=(WIDTH_IN, height_in), layout=layout)
        yield figure, figure.subplots(**subplots)


def draw(figure: Figure, name: str, title: str, alt: str, data: Data) -> Panel:
    """Put the title on a figure and turn it into files; call it within `new_figure`.

    `data` is what it shows.

    The canvases are asked directly: `Figure.savefig` lays everything out twice for each file.
    """
    # At the left edge long class names leave it most room.
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, weight="bold")
    svg, png = io.BytesIO(), io.BytesIO()
    figure.set_dpi(DPI)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    buffer = canvas.buffer_rgba()  # type: ignore[no-untyped-call]
    pixels = Image.fromarray(np.asarray(buffer)).convert("RGB")
    pixels.save(png, format="png", dpi=(DPI, DPI))
    # The places are found by now, and finding them takes longer than drawing.
    figure.set_layout_engine("none")
    FigureCanvasSVG(figure).print_svg(  # type: ignore[no-untyped-call]
        svg, metadata={"Date": None}
    )
    return Panel(name=name, alt=alt, svg=svg.getvalue(), png=png.getvalue(), csv=_csv_file(*data))


def _csv_file(columns: Sequence[str], lines: Iterable[Sequence[object]]) -> bytes:
    """Return a CSV file; what is not a number (NaN) is empty."""
    filled = (["" if value != value else value for value in line] for line in lines)
    return csv_text([columns, *filled]).encode(errors="surrogateescape")


def shown_name(name: str, most: int = 18) -> str:
    """Return a name from the data as it can be drawn: on one line, and not too long.

    Letters that the font lacks come out as escapes.
    """
    known = _letters()
    text = "".join(
        c if ord(c) in known else c.encode("unicode_escape").decode() for c in printable(name)
    )
    return text if len(text) <= most else f"{text[: most - 1]}…"


@lru_cache
def _letters() -> frozenset[int]:
    font = get_font(findfont(FontProperties(family=["DejaVu Sans"])))
    return frozenset(font.get_charmap())


def write_in_cell(axes: Axes, column: int, row: int, text: str, colour: str) -> None:
    """Write a value into a field of a heat map.

    It has its place already: the layout, which takes longest with many texts, ignores it.
    """
    drawn = axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
    drawn.set_in_layout(False)


def draw_scale(figure: Figure, image: AxesImage, axes: Any, label: str, **looks: Any) -> None:
    """Put the scale of a heat map's colours beside it."""
    bar = figure.colorbar(image, ax=axes, pad=0.02, **looks)
    bar.set_label(label)
    bar.outline.set_visible(False)


def legend_below(figure: Figure, axes: Axes) -> None:
    """Put the legend under the plot, where it can cover no data."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2)


def draw_marks(axes: Axes, x: Any, y: Any, look: Mapping[str, Any], fill: str, **more: Any) -> None:
    """Draw marks without a line, in the colour and marker of a look."""
    faces = {"markerfacecolor": fill, "markeredgecolor": look["color"]}
    axes.plot(x, y, linestyle="none", marker=look["marker"], **faces, **more)


def row_look(row: RunGroup) -> dict[str, Any]:
    """Return colour, marker and line of a row: method by colour and marker, module by line."""
    other = _OTHER_LOOKS[row.newcomer % len(_OTHER_LOOKS)]
    colour, marker = _LOOKS.get(row.config.method, other)
    line = "-" if row.config.temporal == "relation" else "--"
    return {
        "color": colour,
        "marker": marker,
        "linestyle": ":" if row.variant else line,
        "linewidth": 2.3 if row.config.method == "ta3n" else 1.4,
    }


def minus(text: str) -> str:
    """Return a number with a true minus sign, which is as wide as the plus."""
    return text.replace("-", "−")  # noqa: RUF001


def evenly(count: int, most: int) -> list[int]:
    """Return at most so many of the places 0 to count - 1, evenly spread and with both ends."""
    places: list[int] = np.linspace(0, count - 1, min(count, most)).round().astype(int).tolist()
    return places
