"""Accuracy of every class before and after adaptation, on the same videos.

Legend: C classes, N target validation videos.
"""

from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from ta3n.train.paper.labels import method_label
from ta3n.train.report.data.collect import RunGroup
from ta3n.train.report.data.compare import hits_of
from ta3n.train.report.figures.look import (
    GREY,
    Panel,
    draw,
    legend_below,
    new_figure,
    row_look,
    set_title,
    shown_name,
)

_MOST_CLASSES = 40


@dataclass(frozen=True, kw_only=True)
class ClassChange:
    """What adaptation does to one class, in percent and percentage points.

    Attributes:
        name: Of the class.
        num_videos: Target validation videos; without one all figures are NaN.
        before: Mean accuracy of the reference.
        after: Mean accuracy of the row.
        error: Standard error of the difference over the class's videos, paired; NaN for one video.
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
                before=float(before[ours].mean()) if num else float("nan"),
                after=float(after[ours].mean()) if num else float("nan"),
                error=float(gaps.std(ddof=1)) / sqrt(num) if num > 1 else float("nan"),
            )
        )
    return changes


def plot_class_changes(row: RunGroup, reference: RunGroup, name: str) -> Panel:
    """Draw a line from before to after for every class, the largest gain on top.

    With very many classes only those that change most are drawn.

    Args:
        row: After adaptation.
        reference: Before it.
        name: Stem of the files.
    """
    changes = class_changes(row, reference)
    tested = sorted((c for c in changes if c.num_videos), key=lambda c: -c.points)
    shown = tested
    if len(tested) > _MOST_CLASSES:
        limit = sorted((abs(c.points) for c in tested), reverse=True)[_MOST_CLASSES - 1]
        shown = [c for c in tested if abs(c.points) >= limit][:_MOST_CLASSES]
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
        set_title(figure, f"{method_label(row.config.method)} against source only by class")
        _write_beside(axes, -0.65, "change")
        legend_below(figure, axes, columns=2)
        return draw(figure, name, _alt(row, reference, changes))


def _draw_change(
    axes: Axes, place: int, change: ClassChange, row: RunGroup, reference: RunGroup, *, first: bool
) -> None:
    # A gain and a loss differ by more than colour: the line of a loss is dashed.
    line = "-" if change.points >= 0 else (0, (2, 1))
    axes.plot(
        [change.before, change.after],
        [place, place],
        color=GREY,
        linewidth=1.6,
        linestyle=line,
        zorder=2,
    )
    for value, shown_row, filled in ((change.before, reference, False), (change.after, row, True)):
        look = row_look(shown_row)
        axes.plot(
            value,
            place,
            linestyle="none",
            marker=look["marker"],
            markersize=7 if filled else 8.5,
            markeredgewidth=1.3,
            markeredgecolor=look["color"],
            markerfacecolor=look["color"] if filled else "none",
            label=shown_row.label if first else None,
            zorder=3,
        )
    _write_beside(axes, place, _signed(change))


def _write_beside(axes: Axes, place: float, text: str) -> None:
    where: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "annotation_clip": False}
    axes.annotate(text, (1.01, place), va="center", fontsize=9, **where)


def _signed(change: ClassChange) -> str:
    # A true minus sign is as wide as the plus.
    text = f"{change.points:+.0f}".replace("-", "−")  # noqa: RUF001
    return text if np.isnan(change.error) else f"{text} ± {change.error:.0f}"


def _alt(row: RunGroup, reference: RunGroup, changes: list[ClassChange]) -> str:
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
