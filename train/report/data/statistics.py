"""How far a figure can be trusted: intervals and tests over seeds and videos.

A mean accuracy is uncertain twice: other seeds would train other models, other videos would test
them. Seeds and videos are crossed, since every seed is tested on every video, and everything here
takes both into account.

Legend: S seeds, N target validation videos; `hits` is an array [S, N], 1 where a video is
classified correctly. Two rows have seeds of their own, but share the videos.

Sources:
    Welch, "The generalization of Student's problem", Biometrika 34, 1947.
    Pitman, "Significance tests which may be applied to samples from any populations", 1937.
    Holm, "A simple sequentially rejective multiple test procedure", 1979.
    McCarthy and Snowden, "The bootstrap and finite population sampling", 1985.
    Owen, "The pigeonhole bootstrap", Annals of Applied Statistics 1, 2007.
    Cameron, Gelbach and Miller, "Robust inference with multiway clustering", 2011.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import inf, isnan, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Hits = NDArray[np.float64]

LEVEL = 0.95
"""Of the intervals; differences count at 1 - LEVEL."""
LEVEL_TEXT = f"{100 * LEVEL:.0f} %"

NUM_RESAMPLES = 2000
_NUM_PERMUTATIONS = 9999
_SEED = 20190917


@dataclass(frozen=True, slots=True)
class Interval:
    """Ends of an interval of `LEVEL`, in percent or percentage points."""

    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The mean accuracy of a row less that of another one, in percentage points.

    What may be None is so with one seed on either side.

    Attributes:
        seeds_error: Standard error over seeds.
        videos_error: Standard error over videos, paired; 0 for one video.
        p: Of the Welch test over seeds and videos.
        p_videos: Of the sign-flip test over videos, seeds averaged.
        p_seeds: Of the permutation test over seeds.
    """

    points: float
    seeds_error: float | None
    videos_error: float
    interval: Interval | None
    p: float | None
    p_videos: float
    p_seeds: float | None

    @property
    def standard_error(self) -> float | None:
        """Both errors together, in points.

        The variances of both ways of chance are summed (two-way clustering). What they share is
        counted twice, so this errs to the careful side.
        """
        if self.seeds_error is None:
            return None
        return sqrt(self.seeds_error**2 + self.videos_error**2)


def accuracy_interval(hits: Hits) -> Interval | None:
    """Return the interval of a row's mean accuracy, or None for one seed.

    Pigeonhole bootstrap: seeds and videos are drawn with replacement, independently of each
    other; the interval holds the middle `LEVEL` of the means. The draws are the same every time.
    """
    num_seeds, num_videos = hits.shape
    if num_seeds < 2:
        return None
    seeds, videos = _draws(num_seeds, 0), _draws(num_videos, 2)
    return _middle(100 * _resampled(hits, seeds, videos))


def compare_hits(ours: Hits, theirs: Hits) -> Difference:
    """Hold two rows [S, N] and [S', N] against each other, the same videos in the same order."""
    both = len(ours) > 1 and len(theirs) > 1
    gaps = 100 * (ours.mean(axis=0) - theirs.mean(axis=0))  # [N]
    means = ours.mean(axis=1), theirs.mean(axis=1)  # [S], [S']
    ours_error, theirs_error = (_standard_error(100 * mean) for mean in means)
    videos_error = _standard_error(gaps)
    points = float(gaps.mean())
    errors = (ours_error, theirs_error, videos_error)
    parts = [(e, len(of) - 1) for e, of in zip(errors, (ours, theirs, gaps), strict=True)]
    return Difference(
        points=points,
        seeds_error=sqrt(ours_error**2 + theirs_error**2) if both else None,
        videos_error=videos_error,
        interval=_difference_interval(ours, theirs) if both else None,
        p=_welch_p(points, parts) if both else None,
        p_videos=_sign_flip_p(gaps),
        p_seeds=_permutation_p(means, "independent") if both else None,
    )


def holm(values: Sequence[float | None]) -> list[float | None]:
    """Correct p values for being several: the chance that any of them errs stays below the level.

    None stands for a comparison without a test, which counts for nothing.
    """
    known = sorted((p, place) for place, p in enumerate(values) if p is not None)
    corrected: list[float | None] = [None] * len(values)
    largest = 0.0
    for rank, (p, place) in enumerate(known):
        largest = max(largest, min(1.0, p * (len(known) - rank)))
        corrected[place] = largest
    return corrected


def rank_correlation(scores: Sequence[float | None], values: Sequence[float]) -> float | None:
    """Return Spearman's rank correlation of the pairs that have a score.

    It is None for fewer than three pairs, or where either is constant.
    """
    pairs = [(s, value) for s, value in zip(scores, values, strict=True) if s is not None]
    if len(pairs) < 3 or any(len(set(side)) == 1 for side in zip(*pairs, strict=True)):
        return None
    found = float(stats.spearmanr(*zip(*pairs, strict=True)).statistic)
    return None if isnan(found) else found


def _standard_error(percents: NDArray[np.float64]) -> float:
    """Return the standard error of a mean, in points; 0 for a single value."""
    return float(stats.sem(percents)) if len(percents) > 1 else 0.0


def _welch_p(points: float, parts: Sequence[tuple[float, int]]) -> float:
    """Return the two-sided p of Welch's t test whose variance has a part for the videos too.

    Without spread over videos it is Welch's test over seeds; without spread over seeds, the
    paired t test over videos. `parts` are standard error and degrees of freedom of each
    independent part.
    """
    # Rounding leaves crumbs where there is no difference, or no spread.
    spread = sum(error**2 for error, _ in parts)
    if abs(points) < 1e-9:
        return 1.0
    if spread < 1e-18:
        return 0.0
    weights = sum(error**4 / free for error, free in parts if free)
    freedom = spread**2 / weights if weights else inf
    return float(2 * stats.t.sf(abs(points) / sqrt(spread), freedom))


def _sign_flip_p(gaps: NDArray[np.float64]) -> float:
    """Return p of the paired permutation test: for each video the rows might change places."""
    # A video on which both are equally right flips to itself; a single other one tells nothing.
    telling = gaps[np.abs(gaps) > 1e-9]
    return _permutation_p((telling,), "samples") if len(telling) > 1 else 1.0


def _permutation_p(samples: tuple[NDArray[np.float64], ...], kind: str) -> float:
    """Return p of a permutation test; exact for few values, from random permutations else."""

    def statistic(*data: NDArray[np.float64], axis: int) -> Any:
        means = [values.mean(axis=axis) for values in data]
        return means[0] - means[1] if len(means) == 2 else means[0]

    found = stats.permutation_test(
        samples,
        statistic,
        permutation_type=kind,
        vectorized=True,
        n_resamples=_NUM_PERMUTATIONS,
        batch=1000,
        rng=np.random.default_rng(_SEED),
    )
    return float(found.pvalue)


def _difference_interval(ours: Hits, theirs: Hits) -> Interval:
    """Return the pigeonhole bootstrap's interval: seeds apart, videos together."""
    videos = _draws(ours.shape[1], 2)
    ours_means = _resampled(ours, _draws(len(ours), 0), videos)
    return _middle(100 * (ours_means - _resampled(theirs, _draws(len(theirs), 1), videos)))


@lru_cache(maxsize=16)
def _draws(size: int, stream: int) -> Hits:
    """Return how often each of `size` is drawn, as shares: [resamples, size].

    One fewer than there are is drawn: with all of them, the spread of few seeds would come out too
    small by a factor of sqrt(1 - 1 / S) (McCarthy and Snowden).
    """
    drawn = max(1, size - 1)
    generator = np.random.default_rng((_SEED, stream, size))
    counts = generator.multinomial(drawn, np.full(size, 1 / size), NUM_RESAMPLES)
    return counts / drawn


def _resampled(hits: Hits, seeds: Hits, videos: Hits) -> NDArray[np.float64]:
    """Return the mean of each resample: [resamples]."""
    means: NDArray[np.float64] = ((seeds @ hits) * videos).sum(axis=1)
    return means


def _middle(values: NDArray[np.float64]) -> Interval:
    tail = 50 * (1 - LEVEL)
    low, high = np.percentile(values, [tail, 100 - tail])
    return Interval(float(low), float(high))
