"""Learning curves: target accuracy of every row, and the loss terms of one."""

from collections.abc import Sequence
from math import log
from statistics import mean
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from ta3n.train.report.collect import Direction, Row
from ta3n.train.report.labels import losses_label, method_label
from ta3n.train.report.look import Panel, draw, legend_below, new_figure, row_look

_LOSS_LOOKS = (
    {"color": "#000000", "linestyle": "-", "marker": "s"},
    {"color": "#D55E00", "linestyle": "--", "marker": "^"},
    {"color": "#009E73", "linestyle": "-.", "marker": "v"},
    {"color": "#0072B2", "linestyle": ":", "marker": "o"},
    {"color": "#CC79A7", "linestyle": "-", "marker": "D"},
    {"color": "#E69F00", "linestyle": "--", "marker": "X"},
)


def plot_accuracy_curves(direction: Direction, name: str) -> Panel:
    """Draw target accuracy over epochs: mean over seeds, band from the lowest to the highest.

    Args:
        direction: Whose rows.
        name: Stem of the files.
    """
    rows = direction.rows
    with new_figure(3.6 + 0.2 * ((len(rows) + 1) // 2)) as (figure, axes):
        for number, row in enumerate(rows):
            curves = [run.accuracies for run in row.runs]
            _draw_band(axes, curves, row.label, row_look(row), first_mark=number)
        axes.set(xlabel="epoch", ylabel="target accuracy (%)", title="Target accuracy in training")
        axes.set_ylim(bottom=0)
        axes.margins(x=0.02)
        legend_below(figure, axes, columns=2)
        return draw(figure, name, _alt_accuracy(direction))


def plot_losses(row: Row, name: str) -> Panel:
    """Draw every loss term of a row over epochs: mean over seeds, band lowest to highest.

    Args:
        row: Whose losses.
        name: Stem of the files.
    """
    terms = [term for term in row.runs[0].epochs[0]["losses"] if term != "total"]
    label = method_label(row.config.method)
    with new_figure(4.0) as (figure, axes):
        for number, term in enumerate(terms):
            curves = [[epoch["losses"][term] for epoch in run.epochs] for run in row.runs]
            look = _LOSS_LOOKS[number % len(_LOSS_LOOKS)]
            _draw_band(axes, curves, losses_label(term), look, first_mark=number)
        if any(term.startswith("adversarial") for term in terms):
            axes.axhline(
                log(2), color="#777777", linewidth=1, zorder=1, label="ln 2: domains look alike"
            )
        axes.set(xlabel="epoch", ylabel="loss (nats)", title=f"Loss terms of {label} in training")
        axes.set_ylim(bottom=0)
        axes.margins(x=0.02)
        legend_below(figure, axes, columns=2)
        return draw(figure, name, _alt_losses(row, terms))


def _draw_band(
    axes: Axes,
    curves: Sequence[Sequence[float]],
    label: str,
    look: dict[str, Any],
    *,
    first_mark: int,
) -> None:
    """Draw the mean of curves of equal length, with few and staggered marks."""
    values = np.asarray(curves)  # [seeds, epochs]
    epochs = np.arange(1, values.shape[1] + 1)
    every = max(1, len(epochs) // 6)
    low, high = values.min(axis=0), values.max(axis=0)
    axes.fill_between(epochs, low, high, color=look["color"], alpha=0.13, linewidth=0)
    axes.plot(
        epochs,
        values.mean(axis=0),
        label=label,
        markevery=(first_mark % every, every),
        markeredgecolor="white",
        markeredgewidth=0.6,
        **look,
    )


def _alt_accuracy(direction: Direction) -> str:
    parts = []
    for row in direction.rows:
        first = mean(run.accuracies[0] for run in row.runs)
        last = mean(run.accuracies[-1] for run in row.runs)
        parts.append(f"{row.label}: {first:.0f} % after epoch 1, {last:.0f} % at the end")
    return f"Lines of target accuracy over epochs, mean over seeds. {'; '.join(parts)}."


def _alt_losses(row: Row, terms: Sequence[str]) -> str:
    parts = []
    for term in terms:
        ends = [mean(run.epochs[i]["losses"][term] for run in row.runs) for i in (0, -1)]
        parts.append(f"{losses_label(term)} from {ends[0]:.3f} to {ends[1]:.3f}")
    return f"Lines of the losses of {row.label} over epochs, mean over seeds. {'; '.join(parts)}."
