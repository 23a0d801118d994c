"""Accuracy on the target: of every row, of each class before and after adaptation, and mistakes.

Legend: C classes, N target validation videos.
"""

from collections.abc import Iterator
from dataclasses import astuple, dataclass
from math import nan, sqrt
from statistics import mean, stdev
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from ta3n.train.report.data.collect import DirectionRuns, RunGroup
from ta3n.train.report.data.compare import hits_of
from ta3n.train.report.figures.look import (
    GREY,
    WIDTH_IN,
    Picture,
    draw,
    draw_marks,
    draw_scale,
    legend_below,
    new_figure,
    picture,
    row_look,
    shown_name,
    write_in_cell,
)
from ta3n.train.report.tables.sheet import signed

_OFFSET = {"last": -0.13, "oracle": 0.2}
_MOST_CHANGES = 40
_MOST_CLASSES_WITH_COUNTS = 16
_MOST_CLASSES_WITH_NAMES = 40
_DARK = 0.55
_LABEL_WIDTH = 28
_MANY_ROWS = 15


def accuracy_picture(direction: DirectionRuns) -> Picture:
    """Draw `last` and `oracle` accuracy of every row, the first row on top."""
    rows = direction.rows
    height = 0.45 if len(rows) <= _MANY_ROWS else 0.36
    with new_figure(1.5 + height * len(rows)) as (figure, axes):
        for place, row in enumerate(rows):
            for rule, offset in _OFFSET.items():
                _draw_row(axes, row, rule, place + offset)
        # On one line the longest name takes the room of the plot.
        axes.set_yticks(range(len(rows)), [fill(row.label, _LABEL_WIDTH) for row in rows])
        axes.set_ylim(len(rows) - 0.45, -0.55)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("target accuracy (%)")
        figure.legend(handles=_legend(), loc="outside lower center", ncols=2)
        columns = ("row", "seed", "rule", "epoch", "accuracy_percent")
        data = columns, _accuracy_lines(direction)
        panel = draw(figure, "accuracy", "Target accuracy by row", _accuracy_alt(direction), data)
    return picture("accuracy", panel)


def _accuracy_lines(direction: DirectionRuns) -> Iterator[tuple[object, ...]]:
    for row in direction.rows:
        for rule in _OFFSET:
            for run, choice in zip(row.runs, row.chosen(rule), strict=False):
                yield row.label, run.seed, rule, choice.epoch, choice.percent


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


def _accuracy_alt(direction: DirectionRuns) -> str:
    parts = [
        f"{row.label}: last {mean(row.percents('last')):.1f} %"
        + (f", oracle {mean(row.percents('oracle')):.1f} %" if "oracle" in row.rules else "")
        for row in direction.rows
    ]
    return f"Dot plot of target accuracy, mean over seeds. {'; '.join(parts)}."


@dataclass(frozen=True, kw_only=True)
class ClassChange:
    """What adaptation does to one class: accuracy of the reference and of the row, in percent.

    `error` is the standard error of the difference over the class's target videos, paired; NaN for
    one video. Without a video all figures are NaN.
    """

    name: str
    num_videos: int
    before: float
    after: float
    error: float

    @property
    def points(self) -> float:
        """The difference."""
        return self.after - self.before


def class_changes(row: RunGroup, reference: RunGroup) -> list[ClassChange]:
    """Hold the last epoch of two rows against each other by class, in the order of the labels.

    Every video counts with the share of seeds that have it right, under one row less the other.
    """
    labels = np.asarray([prediction.label for prediction in row.runs[0].predictions])  # [N]
    before, after = (100 * hits_of(r, "last").mean(axis=0) for r in (reference, row))  # [N]
    changes = []
    for label, name in enumerate(row.classes):
        ours = labels == label
        num = int(ours.sum())
        gaps = (after - before)[ours]
        changes.append(
            ClassChange(
                name=name,
                num_videos=num,
                before=float(before[ours].mean()) if num else nan,
                after=float(after[ours].mean()) if num else nan,
                error=float(gaps.std(ddof=1)) / sqrt(num) if num > 1 else nan,
            )
        )
    return changes


def class_changes_picture(row: RunGroup, reference: RunGroup) -> Picture:
    """Draw a line from before adaptation to after it for every class, the largest gain on top.

    With very many classes only those that change most are drawn.
    """
    changes = class_changes(row, reference)
    tested = sorted((c for c in changes if c.num_videos), key=lambda c: -c.points)
    largest = sorted(tested, key=lambda c: -abs(c.points))[:_MOST_CHANGES]
    shown = [change for change in tested if change in largest]
    with new_figure(1.7 + 0.27 * len(shown)) as (figure, axes):
        for place, change in enumerate(shown):
            _draw_change(axes, place, change, row, reference, first=place == 0)
        axes.set_yticks(
            range(len(shown)), [f"{shown_name(c.name)} ({c.num_videos})" for c in shown], fontsize=9
        )
        axes.set_ylim(len(shown) - 0.4, -0.6)
        axes.set_xlim(-3, 103)
        axes.grid(visible=False, axis="y")
        axes.set(xlabel="target accuracy (%)", ylabel="class (target videos)")
        _write_beside(axes, -0.65, "change")
        legend_below(figure, axes)
        title = f"{row.method} against source only by class"
        columns = ("class", "target_videos", "before_percent", "after_percent", "error_points")
        alt = _changes_alt(row, reference, changes)
        panel = draw(figure, "class-changes", title, alt, (columns, map(astuple, changes)))
    untested = ", ".join(change.name for change in changes if not change.num_videos)
    return picture(
        "class-changes",
        panel,
        more=("caption", "untested") if untested else (),
        reference=reference.label,
        row=row.label,
        untested=untested,
    )


def _draw_change(
    axes: Axes, place: int, change: ClassChange, row: RunGroup, reference: RunGroup, *, first: bool
) -> None:
    # A gain and a loss differ by more than colour: the line of a loss is dashed.
    line = "-" if change.points >= 0 else (0, (2, 1))
    ends = [change.before, change.after]
    axes.plot(ends, [place, place], color=GREY, linewidth=1.6, linestyle=line, zorder=2)
    for value, shown_row, filled in ((change.before, reference, False), (change.after, row, True)):
        look = row_look(shown_row)
        fill, size = (look["color"], 7) if filled else ("none", 8.5)
        label = shown_row.label if first else None
        drawn = {"markersize": size, "markeredgewidth": 1.3, "label": label, "zorder": 3}
        draw_marks(axes, value, place, look, fill, **drawn)
    _write_beside(axes, place, _signed(change))


def _write_beside(axes: Axes, place: float, text: str) -> None:
    where: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "annotation_clip": False}
    axes.annotate(text, (1.03, place), va="center", fontsize=9, **where)


def _signed(change: ClassChange) -> str:
    text = signed(change.points, 0)
    return text if np.isnan(change.error) else f"{text} ± {change.error:.0f}"


def _changes_alt(row: RunGroup, reference: RunGroup, changes: list[ClassChange]) -> str:
    parts = [
        f"{c.name} {c.before:.0f} to {c.after:.0f} % ({c.num_videos} videos)"
        if c.num_videos
        else f"{c.name} has no target video"
        for c in changes
    ]
    return (
        f"Accuracy by class on the target, from {reference.label} to {row.label}, "
        f"mean over seeds. {'; '.join(parts)}."
    )


def confusion_counts(row: RunGroup) -> NDArray[np.int64]:
    """Return [C, C]: videos of a true class (row) by predicted class, summed over seeds."""
    counts = np.zeros((len(row.classes), len(row.classes)), np.int64)
    pairs = np.array([(p.label, p.last) for run in row.runs for p in run.predictions])
    np.add.at(counts, (pairs[:, 0], pairs[:, 1]), 1)
    return counts


def confusion_picture(row: RunGroup) -> Picture:
    """Draw the confusion matrix of the last epoch; every row of a class with videos sums to 1."""
    counts = confusion_counts(row)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.full(counts.shape, np.nan), where=totals > 0)
    with new_figure(0.9 * WIDTH_IN) as (figure, axes):
        image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        axes.set_facecolor("#eeeeee")
        axes.grid(visible=False)
        _name_classes(axes, row.classes)
        if len(row.classes) <= _MOST_CLASSES_WITH_COUNTS:
            for (true, predicted), count in np.ndenumerate(counts):
                if count:
                    colour = "white" if shares[true, predicted] > _DARK else "black"
                    write_in_cell(axes, predicted, true, str(count), colour)
        axes.set(xlabel="predicted class", ylabel="true class")
        draw_scale(figure, image, axes, "share of the true class", shrink=0.6)
        title = f"Confusion matrix of {row.method} on the target"
        columns = ("true_class", "predicted_class", "videos")
        named = row.classes
        data = ((named[t], named[p], count) for (t, p), count in np.ndenumerate(counts))
        panel = draw(figure, "confusion", title, _confusion_alt(row, counts), (columns, data))
    num = len(row.runs)
    seeds = f"summed over {num} seeds" if num > 1 else "of one seed"
    return picture("confusion", panel, row=row.label, seeds=seeds)


def _name_classes(axes: Axes, classes: list[str]) -> None:
    named = len(classes) <= _MOST_CLASSES_WITH_NAMES
    places = range(len(classes)) if named else range(0, len(classes), 10)
    size = 8.5 if len(classes) <= _MOST_CLASSES_WITH_COUNTS else 6
    names = [shown_name(classes[i]) if named else str(i) for i in places]
    axes.set_xticks(places, names, rotation=90, fontsize=size)
    axes.set_yticks(places, names, fontsize=size)
    axes.tick_params(length=0)


def _confusion_alt(row: RunGroup, counts: NDArray[np.int64]) -> str:
    totals = counts.sum(axis=1)
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    right = ", ".join(
        f"{name} {100 * counts[i, i] / totals[i]:.0f} %" if totals[i] else f"{name} has no video"
        for i, name in enumerate(row.classes)
    )
    text = f"Confusion matrix of {row.label} on the target. Right: {right}."
    if wrong.any():
        true, predicted = np.unravel_index(int(wrong.argmax()), wrong.shape)
        text += (
            f" Most frequent mistake: {row.classes[true]} taken for {row.classes[predicted]}, "
            f"{wrong[true, predicted]} of {totals[true]}."
        )
    return text
