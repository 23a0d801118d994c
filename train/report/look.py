"""The common look of all pictures: sizes, colours, markers, and how they become files.

Colours are of Okabe and Ito's palette, which colour-blind readers can tell apart; markers and
line styles carry the same meaning once more for print in grey. Pictures are 5 inches wide with
letters of 10 points, so that they can be read on a page of 400 pixels.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from ta3n.train.report.collect import Row

WIDTH_IN = 5.0
_DPI_1X = 100
_GREY = "#555555"

SOURCE = {"color": "#0072B2", "marker": "o"}
TARGET = {"color": "#D55E00", "marker": "^"}

_LOOKS = {
    "target-only": ("#777777", "D"),
    "source-only": ("#000000", "s"),
    "revgrad": ("#D55E00", "^"),
    "dan": ("#F0E442", ">"),
    "jan": ("#CC79A7", "<"),
    "adabn": ("#56B4E9", "P"),
    "mcd": ("#E69F00", "X"),
    "ta2n": ("#009E73", "v"),
    "ta3n": ("#0072B2", "o"),
}
_UNKNOWN_LOOK = ("#8C6D1F", "*")

_STYLE: Any = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 10,
    "axes.edgecolor": _GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "xtick.color": _GREY,
    "ytick.color": _GREY,
    "xtick.labelcolor": "black",
    "ytick.labelcolor": "black",
    "legend.frameon": False,
    "legend.fontsize": 9,
    "legend.handlelength": 2.4,
    "lines.linewidth": 1.7,
    "lines.markersize": 5.5,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.fonttype": "path",
    # Equal runs give equal bytes.
    "svg.hashsalt": "ta3n",
}


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One drawn figure.

    Attributes:
        name: Stem of its files.
        alt: What it shows, for those who cannot see it.
        svg: The file's bytes.
        png: The same at twice the resolution of a plain screen.
    """

    name: str
    alt: str
    svg: bytes
    png: bytes


@contextmanager
def new_figure(height_in: float, **subplots: Any) -> Iterator[tuple[Figure, Any]]:
    """Give a figure in the common look, with one plot or those asked for.

    Args:
        height_in: Height in inches; the width is the same for all.
        subplots: Keywords of `Figure.subplots`.
    """
    with mpl.rc_context(_STYLE):
        # The last label of an axis may reach past its end, which the layout does not see.
        layout = ConstrainedLayoutEngine(w_pad=0.1)
        figure = Figure(figsize=(WIDTH_IN, height_in), layout=layout)
        yield figure, figure.subplots(**subplots)


def draw(figure: Figure, name: str, alt: str) -> Panel:
    """Turn a figure into files; call it within `new_figure`."""
    svg, png = io.BytesIO(), io.BytesIO()
    figure.savefig(svg, format="svg", metadata={"Date": None})
    # The places are found by now, and finding them takes longer than drawing.
    figure.set_layout_engine("none")
    figure.savefig(png, format="png", dpi=2 * _DPI_1X, metadata={"Software": None})
    return Panel(name=name, alt=alt, svg=svg.getvalue(), png=png.getvalue())


def legend_below(figure: Figure, axes: Axes, columns: int) -> None:
    """Put the legend under the plot, where it can cover no data."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=columns)


def row_look(row: Row) -> dict[str, Any]:
    """Return colour, marker and line of a row: method by colour and marker, module by line."""
    colour, marker = _LOOKS.get(row.config.method, _UNKNOWN_LOOK)
    line = "-" if row.config.temporal == "relation" else "--"
    return {
        "color": colour,
        "marker": marker,
        "linestyle": ":" if row.variant else line,
        "linewidth": 2.3 if row.config.method == "ta3n" else 1.4,
    }
