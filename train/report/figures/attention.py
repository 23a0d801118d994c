"""Domain attention over the relations, source against target.

Legend: N videos, K segments, C classes.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from ta3n.train.report.data.collect import RunGroup
from ta3n.train.report.data.embed import RunEmbedding, SubsetEmbedding
from ta3n.train.report.figures.look import (
    REFERENCE,
    SOURCE,
    TARGET,
    Panel,
    Picture,
    draw,
    legend_below,
    new_figure,
    picture,
    shown_name,
    write_in_cell,
)
from ta3n.train.report.figures.training import ALIKE, LEAST_ATTENTION, relation_names

_MOST_CLASSES = 24
_MOST_LYING_NAMES = 6
# Attention goes up to 1: a narrower scale would make noise look like a finding.
_LEAST_TOP = 0.4
_SIDES = (("source", SOURCE, -0.13), ("target", TARGET, 0.13))


def attention_picture(row: RunGroup, runs: Sequence[RunEmbedding], source: str) -> Picture:
    """Draw domain attention by relation, and by class where there are not too many.

    Args:
        row: The row.
        runs: What its models make of the videos, with attention.
        source: Which source videos, in words.
    """
    by_relation = _plot_attention(row.method, runs)
    by_class = _plot_class_attention(row.method, row.classes, runs)
    facts = {"method": row.method, "source": source}
    if by_class is None:
        return picture("attention", by_relation, **facts)
    return picture("attention", by_relation, by_class, more=("caption", "by_class"), **facts)


def _plot_attention(label: str, runs: Sequence[RunEmbedding]) -> Panel:
    """Draw mean attention of each n-frame relation, with the middle half of the videos."""
    with new_figure(3.9) as (figure, axes):
        for side, look, offset in _SIDES:
            _draw_side(axes, [_attention(run, side) for run in runs], side, look, offset)
        num_relations = _attention(runs[0], "source").shape[1]
        _name_relations(axes, num_relations, narrow=False)
        axes.axhline(LEAST_ATTENTION, label=ALIKE, **REFERENCE)
        axes.set(xlabel="relation", ylabel="domain attention w (no unit)")
        axes.grid(visible=False, axis="x")
        axes.set_xlim(-0.5, num_relations - 0.5)
        high = axes.get_ylim()[1]
        axes.set_ylim(LEAST_ATTENTION - 0.02, min(1.02, max(high, _LEAST_TOP)))
        legend_below(figure, axes, columns=2)
        return draw(figure, "attention", f"Domain attention of {label}", _alt(label, runs))


def _plot_class_attention(
    label: str, classes: Sequence[str], runs: Sequence[RunEmbedding]
) -> Panel | None:
    """Draw mean attention by class and relation, or nothing where there are too many classes."""
    if len(classes) > _MOST_CLASSES:
        return None
    tables = {side: _by_class(runs, side, len(classes)) for side, *_ in _SIDES}
    known = np.concatenate([table[~np.isnan(table)] for table in tables.values()])
    limits = {"vmin": LEAST_ATTENTION, "vmax": max(float(known.max()), _LEAST_TOP)}
    with new_figure(1.6 + 0.26 * len(classes), ncols=2, sharey=True) as (figure, both):
        for axes, (side, table) in zip(both, tables.items(), strict=True):
            image = axes.imshow(table, cmap="cividis", aspect="auto", **limits)
            axes.set_title(side)
            _name_relations(axes, table.shape[1], narrow=True)
            axes.grid(visible=False)
            axes.tick_params(length=0)
            _write_values(axes, table, (limits["vmin"] + limits["vmax"]) / 2)
        both[0].set_yticks(range(len(classes)), [shown_name(name) for name in classes], fontsize=9)
        figure.supxlabel("relation", fontsize=10)
        bar = figure.colorbar(image, ax=both, pad=0.02, aspect=30)
        bar.set_label("mean attention w (no unit)")
        bar.outline.set_visible(False)
        alt = f"Heat map of mean domain attention by class and relation, from {known.min():.2f} to "
        title = f"Domain attention of {label} by class"
        alt += f"{known.max():.2f}, source beside target."
        return draw(figure, "attention-by-class", title, alt)


def _side(run: RunEmbedding, side: str) -> SubsetEmbedding:
    return run.source if side == "source" else run.target


def _attention(run: RunEmbedding, side: str) -> NDArray[np.float32]:
    attention = _side(run, side).attention
    assert attention is not None, "only rows with attention come here"
    return attention[:, ::-1]  # [N, K-1], the 2-frame relation first


def _name_relations(axes: Axes, num_relations: int, *, narrow: bool) -> None:
    upright = narrow or num_relations > _MOST_LYING_NAMES
    axes.set_xticks(range(num_relations), relation_names(num_relations), fontsize=9)
    axes.tick_params(axis="x", labelrotation=90 if upright else 0)


def _draw_side(
    axes: Axes,
    attention: Sequence[NDArray[np.float32]],
    side: str,
    look: dict[str, Any],
    offset: float,
) -> None:
    every = np.concatenate(attention)  # [seeds N, K-1]
    places = np.arange(every.shape[1]) + offset
    lowest, low, high, highest = np.percentile(every, [5, 25, 75, 95], axis=0)
    axes.vlines(places, lowest, highest, color=look["color"], linewidth=1.2, alpha=0.6)
    axes.vlines(places, low, high, color=look["color"], linewidth=6, alpha=0.3)
    seeds = {"linestyle": "none", "marker": "_", "markersize": 8, "color": look["color"]}
    for seed in attention:
        axes.plot(places + 0.8 * offset, seed.mean(axis=0), **seeds)
    means = {"linestyle": "none", "markersize": 8, "markeredgecolor": "white", **look}
    axes.plot(places, every.mean(axis=0), label=f"{side}, mean", **means)


def _by_class(runs: Sequence[RunEmbedding], side: str, num_classes: int) -> NDArray[np.float64]:
    """Return mean attention [C, K-1] over seeds and videos; NaN for a class without videos."""
    attention = np.concatenate([_attention(run, side) for run in runs])
    labels = np.concatenate([_side(run, side).labels for run in runs])
    table = np.full((num_classes, attention.shape[1]), np.nan)
    for label in np.unique(labels):
        table[label] = attention[labels == label].mean(axis=0)
    return table


def _write_values(axes: Axes, table: NDArray[np.float64], middle: float) -> None:
    for (row, column), value in np.ndenumerate(table):
        if not np.isnan(value):
            colour = "white" if value < middle else "black"
            text = f"{value:.2f}".lstrip("0")
            write_in_cell(axes, column, row, text, colour)


def _alt(label: str, runs: Sequence[RunEmbedding]) -> str:
    means = {
        side: np.concatenate([_attention(run, side) for run in runs]).mean(axis=0)
        for side, *_ in _SIDES
    }
    parts = [
        f"{name}: source {s:.2f}, target {t:.2f}"
        for name, s, t in zip(
            relation_names(len(means["source"])), means["source"], means["target"], strict=True
        )
    ]
    return f"Mean domain attention of {label} by relation. {'; '.join(parts)}."
