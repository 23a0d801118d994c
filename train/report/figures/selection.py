"""Whether a label-free rule's score follows the accuracy that it is to stand for."""

from itertools import pairwise
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ta3n.train.paper.labels import rule_place
from ta3n.train.report.data.collect import RunGroup
from ta3n.train.report.data.compare import mean_rank_correlation
from ta3n.train.report.figures.look import (
    TARGET,
    Panel,
    Picture,
    draw,
    evenly,
    minus,
    new_figure,
    picture,
)
from ta3n.train.report.figures.training import measured_names
from ta3n.train.runs.records import Run

_COLUMNS = 2
_MOST_POINTS = 40
# Light to dark, so that early and late differ in grey too; a shade for each stretch of epochs.
_SHADES = ("#b5d3e9", "#6baed6", "#2171b5", "#08306b")


def scored_rules(row: RunGroup) -> list[str]:
    """Return the rules that have a score in some epoch of some seed."""
    names = sorted(measured_names(row, "validators"), key=rule_place)
    return [name for name in names if any(_points(run, name) for run in row.runs)]


def selection_picture(row: RunGroup) -> Picture | str:
    """Draw how the scores of the label-free rules follow accuracy over the epochs."""
    panel = plot_selection(row)
    if panel is None:
        return f"Selection: the runs of {row.label} kept no validator scores."
    return picture("selection", panel, row=row.label)


def plot_selection(row: RunGroup) -> Panel | None:
    """Draw target accuracy against the score of every rule, a point for each epoch and seed.

    Nothing is drawn where no score was kept.
    """
    rules = scored_rules(row)
    if not rules:
        return None
    height = (len(rules) + _COLUMNS - 1) // _COLUMNS
    grid = {"nrows": height, "ncols": _COLUMNS, "sharey": True, "squeeze": False}
    with new_figure(1.9 + 1.5 * height, **grid) as (figure, cells):
        panels = list(cells.flat)
        found = {rule: mean_rank_correlation(row.runs, rule) for rule in rules}
        for axes, rule in zip(panels, rules, strict=False):
            _draw_rule(axes, row, rule)
            axes.set_title(f"{rule}: {_rho(found[rule])}", fontsize=10)
        for axes in panels[len(rules) :]:
            axes.remove()
        figure.supylabel("target accuracy (%)", fontsize=10)
        # The lowest of each column.
        for axes in panels[max(len(rules) - _COLUMNS, 0) : len(rules)]:
            axes.set_xlabel("score (higher is better)")
        _explain(figure, len(row.runs[0].epochs))
        told = "; ".join(f"{rule} {_rho(value)}" for rule, value in found.items())
        what = f"Scatter plots of target accuracy against the score of {len(rules)} selection rules"
        title = f"Rules that need no target labels, {row.method}"
        return draw(figure, "selection", title, f"{what} over the epochs of {row.label}. {told}.")


def _points(run: Run, rule: str) -> list[tuple[int, float, float]]:
    """Return epoch, score and accuracy of the epochs with a score."""
    epochs = enumerate(zip(run.scores(rule), run.accuracies, strict=True), start=1)
    return [(epoch, score, accuracy) for epoch, (score, accuracy) in epochs if score is not None]


def _draw_rule(axes: Axes, row: RunGroup, rule: str) -> None:
    stretches = _stretches(len(row.runs[0].epochs))
    for run in row.runs:
        points = _points(run, rule)
        if not points:
            continue
        thin = evenly(len(points), _MOST_POINTS)
        for stretch, look in zip(stretches, _DOTS, strict=False):
            inside = [points[i] for i in thin if points[i][0] in stretch]
            axes.plot([score for _, score, _ in inside], [hit for *_, hit in inside], **look)
        chosen = run.result.rules.get(rule)
        for epoch, score, accuracy in points:
            if chosen is not None and epoch == chosen.epoch:
                axes.plot(score, accuracy, **_RING)
    axes.tick_params(labelsize=8.5)
    axes.locator_params(axis="x", nbins=4)
    axes.margins(0.08)


def _stretches(num_epochs: int) -> list[range]:
    """Return the epochs in as many stretches as there are shades, or one each if they are few."""
    count = min(num_epochs, len(_SHADES))
    ends = [1 + number * num_epochs // count for number in range(count + 1)]
    return [range(low, high) for low, high in pairwise(ends)]


_DOT = {"linestyle": "none", "marker": "o", "markersize": 3.4, "markeredgewidth": 0}
_DOTS: list[dict[str, Any]] = [{**_DOT, "color": shade} for shade in _SHADES]
_RING: dict[str, Any] = {
    "linestyle": "none",
    "marker": "o",
    "markersize": 8.5,
    "markerfacecolor": "none",
    "markeredgecolor": TARGET["color"],
    "markeredgewidth": 1.6,
}


def _explain(figure: Figure, num_epochs: int) -> None:
    handles = [Line2D([], [], label="chosen by the rule (each seed)", **_RING)]
    for stretch, look in zip(_stretches(num_epochs), _DOTS, strict=False):
        name = f"epochs {stretch[0]}–{stretch[-1]}" if len(stretch) > 1 else f"epoch {stretch[0]}"  # noqa: RUF001
        handles.append(Line2D([], [], label=name, **{**look, "markersize": 6}))
    figure.legend(handles=handles, loc="outside lower center", ncols=2)


def _rho(value: float | None) -> str:
    text = "undefined" if value is None else minus(f"{value:+.2f}")
    return f"ρ = {text}"  # noqa: RUF001
