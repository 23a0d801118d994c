"""Domain attention over the relations, source against target.

Legend: N videos, K segments, C classes.
"""

from collections.abc import Sequence
from math import log
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from ta3n.train.report.embed import PartEmbedding, RunEmbedding
from ta3n.train.report.look import SOURCE, TARGET, Panel, draw, legend_below, new_figure

LEAST_ATTENTION = 1 - log(2)
_MOST_CLASSES = 24
# Attention goes up to 1: a narrower scale would make noise look like a finding.
_LEAST_TOP = 0.4
_SIDES = (("source", SOURCE, -0.13), ("target", TARGET, 0.13))


def plot_attention(label: str, runs: Sequence[RunEmbedding], name: str) -> Panel:
    """Draw mean attention of each n-frame relation, with the middle half of the videos.

    Args:
        label: What the row is called.
        runs: Of its seeds, with attention.
        name: Stem of the files.
    """
    with new_figure(3.9) as (figure, axes):
        for side, look, offset in _SIDES:
            _draw_side(axes, [_attention(run, side) for run in runs], side, look, offset)
        num_relations = _attention(runs[0], "source").shape[1]
        axes.set_xticks(range(num_relations), _relations(num_relations))
        axes.axhline(LEAST_ATTENTION, color="#777777", linewidth=1, linestyle="--",
                     label="1 − ln 2: domains look alike")  # fmt: skip  # noqa: RUF001
        axes.set(xlabel="frames n in the relation", ylabel="domain attention w (no unit)")
        axes.set_title(f"Domain attention of {label}")
        axes.grid(visible=False, axis="x")
        axes.set_xlim(-0.5, num_relations - 0.5)
        high = axes.get_ylim()[1]
        axes.set_ylim(LEAST_ATTENTION - 0.02, min(1.02, max(high, _LEAST_TOP)))
        legend_below(figure, axes, columns=2)
        return draw(figure, name, _alt(label, runs))


def plot_class_attention(
    label: str, classes: Sequence[str], runs: Sequence[RunEmbedding], name: str
) -> Panel | None:
    """Draw mean attention by class and relation, or nothing where there are too many classes.

    Args:
        label: What the row is called.
        classes: Names by label.
        runs: Of its seeds, with attention.
        name: Stem of the files.
    """
    if len(classes) > _MOST_CLASSES:
        return None
    tables = {side: _by_class(runs, side, len(classes)) for side, *_ in _SIDES}
    known = np.concatenate([table[~np.isnan(table)] for table in tables.values()])
    limits = {"vmin": LEAST_ATTENTION, "vmax": max(float(known.max()), _LEAST_TOP)}
    with new_figure(1.6 + 0.26 * len(classes), ncols=2, sharey=True) as (figure, both):
        for axes, (side, table) in zip(both, tables.items(), strict=True):
            image = axes.imshow(table, cmap="cividis", aspect="auto", **limits)
            axes.set_title(side, fontweight="normal")
            axes.set_xticks(range(table.shape[1]), _relations(table.shape[1]))
            axes.grid(visible=False)
            axes.tick_params(length=0)
            _write_values(axes, table, (limits["vmin"] + limits["vmax"]) / 2)
        both[0].set_yticks(range(len(classes)), classes, fontsize=9)
        figure.supxlabel("frames n in the relation", fontsize=10)
        title = f"Domain attention of {label} by class"
        figure.suptitle(title, x=0.01, ha="left", fontsize=11, weight="bold")
        bar = figure.colorbar(image, ax=both, pad=0.02, aspect=30)
        bar.set_label("mean attention w (no unit)")
        bar.outline.set_visible(False)
        alt = f"Heat map of mean domain attention by class and relation, from {known.min():.2f} to "
        return draw(figure, name, f"{alt}{known.max():.2f}, source beside target.")


def _attention(run: RunEmbedding, side: str) -> NDArray[np.float32]:
    part: PartEmbedding = run.source if side == "source" else run.target
    assert part.attention is not None, "only rows with attention come here"
    return part.attention


def _relations(num_relations: int) -> list[str]:
    return [str(n) for n in range(num_relations + 1, 1, -1)]


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
    parts = [run.source if side == "source" else run.target for run in runs]
    labels = np.concatenate([part.labels for part in parts])
    table = np.full((num_classes, attention.shape[1]), np.nan)
    for label in np.unique(labels):
        table[label] = attention[labels == label].mean(axis=0)
    return table


def _write_values(axes: Axes, table: NDArray[np.float64], middle: float) -> None:
    for (row, column), value in np.ndenumerate(table):
        if not np.isnan(value):
            colour = "white" if value < middle else "black"
            text = f"{value:.2f}".lstrip("0")
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)


def _alt(label: str, runs: Sequence[RunEmbedding]) -> str:
    means = {
        side: np.concatenate([_attention(run, side) for run in runs]).mean(axis=0)
        for side, *_ in _SIDES
    }
    parts = [
        f"n = {n}: source {s:.2f}, target {t:.2f}"
        for n, s, t in zip(
            _relations(len(means["source"])), means["source"], means["target"], strict=True
        )
    ]
    return f"Mean domain attention of {label} by relation. {'; '.join(parts)}."
