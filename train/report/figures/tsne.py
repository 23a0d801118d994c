"""Source against target features in the plane, with the distance in numbers under it.

Legend: N videos, V feature width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from ta3n.train.report.data.collect import RunGroup
from ta3n.train.report.data.distances import Array, DomainDistance, domain_distance
from ta3n.train.report.data.embed import RunEmbedding
from ta3n.train.report.figures.look import (
    SOURCE,
    TARGET,
    WIDTH_IN,
    Panel,
    draw,
    legend_below,
    new_figure,
    set_title,
)
from ta3n.train.runs.tables import spread

_PERPLEXITY = 30
# Twice the stage of early exaggeration: the picture and its loss hardly change after that.
_ITERATIONS = 500
_MOST_VIDEOS = 300
LEAST_VIDEOS = 5


@dataclass(frozen=True, kw_only=True)
class Gap:
    """The distances between the domains under one row, over its seeds.

    Attributes:
        proxy_a: Mean and spread of the proxy A-distance, as text.
        mmd2: The same of the squared MMD.
    """

    proxy_a: str
    mmd2: str


@dataclass(frozen=True, kw_only=True)
class Map:
    """The videos of both domains in the plane, under one row.

    Attributes:
        source: Places of source videos [M, 2].
        target: Places of target videos [N, 2].
        seed: Whose model gave the features.
        gap: Distances in the full feature space.
    """

    source: NDArray[np.float64]
    target: NDArray[np.float64]
    seed: int
    gap: Gap


def make_map(runs: Sequence[RunEmbedding]) -> Map:
    """Place the videos of a row's first seed, and measure the distance under all seeds.

    Args:
        runs: Of the row's seeds, with at least `LEAST_VIDEOS` videos of each domain.
    """
    # Threads gain nothing on so few videos, and wait for each other where cores are shared.
    with threadpool_limits(1):
        source, target = (_sampled(p.features) for p in (runs[0].source, runs[0].target))
        places = _tsne(np.concatenate([source, target]))
        gap = measure_gap(runs)
    assert gap is not None, "there are enough videos"
    num = len(source)
    return Map(source=places[:num], target=places[num:], seed=runs[0].seed, gap=gap)


def measure_gap(runs: Sequence[RunEmbedding]) -> Gap | None:
    """Measure the distance between the domains for every seed; None with too few videos."""
    found = [domain_distance(run.source.features, run.target.features) for run in runs]
    known: list[DomainDistance] = [distance for distance in found if distance is not None]
    if not known:
        return None
    return Gap(
        proxy_a=spread([distance.proxy_a for distance in known], 2),
        mmd2=spread([distance.mmd2 for distance in known], 3),
    )


def plot_tsne(row: RunGroup, title: str, found: Map, name: str) -> Panel:
    """Draw held-out source and target videos of a row's first seed.

    Args:
        row: The row.
        title: Of the picture.
        found: Where its videos lie.
        name: Stem of the files.
    """
    sides = ((found.source, SOURCE, "source"), (found.target, TARGET, "target"))
    distance = f"proxy A-distance {found.gap.proxy_a} (0: alike, 2: apart)"
    rest = f"MMD² {found.gap.mmd2} (0: alike), accuracy {mean(row.percents('last')):.1f} %"
    with new_figure(WIDTH_IN) as (figure, axes):
        for points, look, side in sides:
            _scatter(axes, points, look, f"{side} ({len(points)} videos)")
        set_title(figure, title)
        axes.set(xticks=[], yticks=[])
        axes.set(xlabel=f"t-SNE 1 (no unit)\n{distance}\n{rest}", ylabel="t-SNE 2 (no unit)")
        _make_square(axes, np.concatenate([found.source, found.target]))
        legend_below(figure, axes, columns=2)
        counts = f"{len(found.source)} source and {len(found.target)} target videos"
        alt = f"t-SNE of {counts} under {row.label}, seed {found.seed}; {distance}, {rest}."
        return draw(figure, name, alt)


def _scatter(axes: Axes, points: NDArray[np.float64], look: dict[str, str], label: str) -> None:
    filled = look is SOURCE
    axes.plot(
        points[:, 0],
        points[:, 1],
        linestyle="none",
        marker=look["marker"],
        markersize=4.5,
        markerfacecolor=look["color"] if filled else "none",
        markeredgecolor=look["color"],
        markeredgewidth=0.3 if filled else 1.0,
        alpha=0.6 if filled else 0.9,
        label=label,
    )


def _make_square(axes: Axes, points: NDArray[np.float64]) -> None:
    """Give both directions the same scale, with the points in the middle."""
    low, high = points.min(axis=0), points.max(axis=0)
    middle, reach = (low + high) / 2, 0.54 * float((high - low).max())
    axes.set_xlim(middle[0] - reach, middle[0] + reach)
    axes.set_ylim(middle[1] - reach, middle[1] + reach)
    axes.set_box_aspect(1)


def _sampled(features: Array) -> Array:
    """Return at most so many videos that the picture can be read, evenly from the list."""
    if len(features) <= _MOST_VIDEOS:
        return features
    chosen = np.linspace(0, len(features) - 1, _MOST_VIDEOS).round().astype(int)
    sampled: Array = features[chosen]
    return sampled


def _tsne(features: Array) -> NDArray[np.float64]:
    """Return places [N, 2]: the same settings and seed for every picture."""
    from sklearn.manifold import TSNE

    perplexity = min(_PERPLEXITY, (len(features) - 1) / 3)
    # Where a collapsed model gives all videos the same features there are no main directions.
    spread = np.count_nonzero(features.std(axis=0)) >= 2
    tsne = TSNE(
        perplexity=perplexity,
        init="pca" if spread else "random",
        learning_rate="auto",
        max_iter=_ITERATIONS,
        random_state=0,
    )
    return np.asarray(tsne.fit_transform(features), np.float64)
