"""Accuracy of every row as a dot plot: each seed a point, mean and spread beside them."""

from statistics import mean, stdev
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from ta3n.train.report.data.collect import DirectionRuns, RunGroup
from ta3n.train.report.figures.look import (
    GREY,
    Picture,
    draw,
    draw_marks,
    new_figure,
    picture,
    row_look,
)

_OFFSET = {"last": -0.13, "oracle": 0.2}


def accuracy_picture(direction: DirectionRuns) -> Picture:
    """Draw `last` and `oracle` accuracy of every row, the first row on top."""
    rows = direction.rows
    with new_figure(1.5 + 0.45 * len(rows)) as (figure, axes):
        for place, row in enumerate(rows):
            for rule, offset in _OFFSET.items():
                _draw_row(axes, row, rule, place + offset)
        axes.set_yticks(range(len(rows)), [row.label for row in rows])
        axes.set_ylim(len(rows) - 0.45, -0.55)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("target accuracy (%)")
        figure.legend(handles=_legend(), loc="outside lower center", ncols=2)
        panel = draw(figure, "accuracy", "Target accuracy by row", _alt(direction))
    return picture("accuracy", panel)


def _draw_row(axes: Axes, row: RunGroup, rule: str, place: float) -> None:
    values = row.percents(rule)
    if not values:
        return
    look = row_look(row)
    fill = look["color"] if rule == "last" else "white"
    centre = mean(values)
    error = stdev(values) if len(values) > 1 else 0.0
    axes.errorbar(
        centre, place, xerr=error or None, color=look["color"], capsize=3, linewidth=1.4, zorder=2
    )
    axes.plot(centre, place, "|", color=look["color"], markersize=13, markeredgewidth=2.2, zorder=3)
    places = [place] * len(values)
    draw_marks(axes, values, places, look, fill, markersize=5.5, alpha=0.85, zorder=4)


def _legend() -> list[Line2D]:
    dot = {"linestyle": "none", "marker": "o", "markeredgecolor": GREY}
    tick = {"linestyle": "none", "marker": "|", "markersize": 12, "markeredgewidth": 2.2}
    looks: dict[str, dict[str, Any]] = {
        "one seed, last epoch": {**dot, "markerfacecolor": GREY},
        "one seed, oracle epoch": {**dot, "markerfacecolor": "white"},
        "mean over seeds": tick,
        "± standard deviation": {},
    }
    return [Line2D([], [], color=GREY, label=label, **look) for label, look in looks.items()]


def _alt(direction: DirectionRuns) -> str:
    parts = [
        f"{row.label}: last {mean(row.percents('last')):.1f} %"
        + (f", oracle {mean(row.percents('oracle')):.1f} %" if "oracle" in row.rules else "")
        for row in direction.rows
    ]
    return f"Dot plot of target accuracy, mean over seeds. {'; '.join(parts)}."
