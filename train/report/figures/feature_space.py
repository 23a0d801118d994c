"""Source against target features in the plane, with the distance in numbers under it.

Legend: M source and N target videos, V feature width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.manifold import TSNE
from sklearn.metrics import balanced_accuracy_score
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from ta3n.train.report.data.collect import RunGroup
from ta3n.train.report.data.embed import RunEmbedding
from ta3n.train.report.figures.look import (
    SOURCE,
    TARGET,
    WIDTH_IN,
    Panel,
    Picture,
    draw,
    draw_marks,
    evenly,
    legend_below,
    new_figure,
    picture,
)
from ta3n.train.runs.tables import spread

Array = NDArray[np.float32]

LEAST_VIDEOS = 5
_FOLDS = 5
_PERPLEXITY = 30
# Twice the stage of early exaggeration: the picture and its loss hardly change after that.
_ITERATIONS = 500
_MOST_VIDEOS = 300
# All pairs of them have to fit into memory.
_MOST_MEASURED = 3000
_MARKS: dict[str, Any] = {
    "source": {"look": SOURCE, "fill": SOURCE["color"], "markeredgewidth": 0.3, "alpha": 0.6},
    "target": {"look": TARGET, "fill": "none", "markeredgewidth": 1.0, "alpha": 0.9},
}


def proxy_a_distance(source: Array, target: Array) -> float:
    """Return 2 (1 - 2 e), 0 to 2, with e the error of a linear domain classifier on new videos.

    Of Ben-David et al., "Analysis of Representations for Domain Adaptation" (2006). Each video is
    judged by a classifier that did not see it; e is the mean of both domains' errors, so that a
    larger domain counts no more. An error above chance counts as chance.

    Both domains, [M, V] and [N, V], have at least 2 videos.
    """
    features = np.concatenate([source, target])
    domains = np.repeat([0, 1], [len(source), len(target)])
    folds = StratifiedKFold(min(_FOLDS, len(source), len(target)), shuffle=True, random_state=0)
    classifier = make_pipeline(
        StandardScaler(), LogisticRegression(max_iter=1000, class_weight="balanced")
    )
    judged = cross_val_predict(classifier, features, domains, cv=folds)
    error = 1 - balanced_accuracy_score(domains, judged)
    return float(max(0.0, 2 * (1 - 2 * error)))


def mmd2(source: Array, target: Array) -> float:
    """Return the unbiased squared MMD with the kernel exp(-d² / 2 s²), s the median distance.

    Of Gretton et al., "A Kernel Two-Sample Test" (2012), lemma 6; the median is that of all pairs
    of different videos of both domains. Where they cannot be told apart it may fall below 0.

    Both domains, [M, V] and [N, V], have at least 2 videos.
    """
    together = np.concatenate([source, target]).astype(np.float64)
    squared = euclidean_distances(together, squared=True)
    upper = squared[np.triu_indices(len(together), k=1)]
    # Equal features everywhere have no scale; any will do then.
    scale = float(np.median(upper)) or 1.0
    kernel = np.exp(-squared / (2 * scale))
    m = len(source)
    within = _off_diagonal(kernel[:m, :m]) + _off_diagonal(kernel[m:, m:])
    return within - 2 * float(kernel[:m, m:].mean())


def _off_diagonal(kernel: NDArray[np.float64]) -> float:
    n = len(kernel)
    return float((kernel.sum() - np.trace(kernel)) / (n * (n - 1)))


@dataclass(frozen=True, kw_only=True)
class Map:
    """Places of source [M, 2] and target videos [N, 2] in the plane, under one row.

    Proxy A-distance and squared MMD are measured in the full feature space: mean and spread over
    seeds, as text.
    """

    source: NDArray[np.float64]
    target: NDArray[np.float64]
    seed: int
    proxy_a: str
    mmd2: str


def make_map(runs: Sequence[RunEmbedding]) -> Map:
    """Place the videos of a row's first seed, and measure the distance under all seeds.

    There are at least `LEAST_VIDEOS` videos of each domain.
    """
    # Threads gain nothing on so few videos, and wait for each other where cores are shared.
    with threadpool_limits(1):
        first = runs[0]
        source, target = (thinned(s.features, _MOST_VIDEOS) for s in (first.source, first.target))
        places = _tsne(np.concatenate([source, target]))
        pairs = [
            [thinned(s.features, _MOST_MEASURED) for s in (run.source, run.target)] for run in runs
        ]
        proxy_a, mmd = ([measure(*pair) for pair in pairs] for measure in (proxy_a_distance, mmd2))
    return Map(
        source=places[: len(source)],
        target=places[len(source) :],
        seed=first.seed,
        proxy_a=spread(proxy_a, 2),
        mmd2=spread(mmd, 3),
    )


def tsne_picture(
    before: RunGroup | None, after: RunGroup, maps: Sequence[Map], source: str
) -> Picture:
    """Draw source and target in feature space, before adaptation if that was run, and after.

    `source` says in words which source videos are shown.
    """
    rows = {"after": after} if before is None else {"before": before, "after": after}
    shown = [(row, when, found) for (when, row), found in zip(rows.items(), maps, strict=True)]
    names = " and ".join(f"{when} adaptation ({row.label})" for row, when, _ in shown)
    told = "; ".join(
        f"{when} proxy A-distance {found.proxy_a}, MMD² {found.mmd2}" for _, when, found in shown
    )
    panels = [_plot_tsne(row, when, found) for row, when, found in shown]
    return picture("tsne", *panels, rows=names, source=source, distances=told)


def _plot_tsne(row: RunGroup, when: str, found: Map) -> Panel:
    distance = f"proxy A-distance {found.proxy_a} (0: alike, 2: apart)"
    rest = f"MMD² {found.mmd2} (0: alike)"
    rest += f", accuracy {mean(row.percents('last')):.1f} %" if row.total else ""
    with new_figure(WIDTH_IN) as (figure, axes):
        for side, points in (("source", found.source), ("target", found.target)):
            label = f"{side} ({len(points)} videos)"
            draw_marks(axes, *points.T, label=label, markersize=4.5, **_MARKS[side])
        axes.set(xticks=[], yticks=[])
        axes.set(xlabel=f"t-SNE 1 (no unit)\n{distance}\n{rest}", ylabel="t-SNE 2 (no unit)")
        _make_square(axes, np.concatenate([found.source, found.target]))
        legend_below(figure, axes)
        counts = f"{len(found.source)} source and {len(found.target)} target videos"
        alt = f"t-SNE of {counts} under {row.label}, seed {found.seed}; {distance}, {rest}."
        title = f"{when.capitalize()} adaptation: {row.label}"
        sides = (("source", found.source), ("target", found.target))
        data = ((side, *map(float, place)) for side, places in sides for place in places)
        return draw(figure, f"tsne-{when}", title, alt, (("domain", "tsne_1", "tsne_2"), data))


def _make_square(axes: Axes, points: NDArray[np.float64]) -> None:
    """Give both directions the same scale, with the points in the middle."""
    low, high = points.min(axis=0), points.max(axis=0)
    middle, reach = (low + high) / 2, 0.54 * float((high - low).max())
    xlim, ylim = np.stack([middle - reach, middle + reach], axis=1)
    axes.set(xlim=xlim, ylim=ylim, box_aspect=1)


def thinned(features: Array, most: int) -> Array:
    """Return at most so many videos, evenly from the list."""
    thin: Array = features[evenly(len(features), most)]
    return thin


def _tsne(features: Array) -> NDArray[np.float64]:
    """Return places [N, 2]: the same settings and seed for every picture."""
    # Where a collapsed model gives all videos the same features there are no main directions.
    spread = np.count_nonzero(features.std(axis=0)) >= 2
    tsne = TSNE(
        perplexity=min(_PERPLEXITY, (len(features) - 1) / 3),
        init="pca" if spread else "random",
        learning_rate="auto",
        max_iter=_ITERATIONS,
        random_state=0,
    )
    return np.asarray(tsne.fit_transform(features), np.float64)
