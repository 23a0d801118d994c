"""How far a figure can be trusted: intervals and tests over seeds and videos.

A mean accuracy is uncertain twice: other seeds would train other models, other videos would test
them. Seeds and videos are crossed, since every seed is tested on every video, and everything here
takes both into account.

Legend: S seeds, N target validation videos; `hits` is an array [S, N], 1 where a video is
classified correctly. Two rows share the videos, and runs of the same seed share their first weights
and the order of their videos, so that both are paired.

Sources:
    Welch, "The generalization of Student's problem", Biometrika 34, 1947.
    Satterthwaite, "An approximate distribution of estimates of variance components", 1946.
    Pitman, "Significance tests which may be applied to samples from any populations", 1937.
    Holm, "A simple sequentially rejective multiple test procedure", 1979.
    McCarthy and Snowden, "The bootstrap and finite population sampling", 1985.
    Owen, "The pigeonhole bootstrap", Annals of Applied Statistics 1, 2007.
    Cameron, Gelbach and Miller, "Robust inference with multiway clustering", 2011.
"""

from collections.abc import Iterator, Sequence
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

FEWEST_PAIRS = 3
"""Of seeds, to pair two rows by them: two differences say too little of how much they vary."""

NUM_RESAMPLES = 2000
_NUM_PERMUTATIONS = 9999
_SEED = 20190917
_VALUES_AT_ONCE = 4_000_000
"""That are drawn in one piece, however many videos there are; it changes no figure."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Ends of an interval of `LEVEL`, in percent or percentage points."""

    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The mean accuracy of a row less that of another one, in percentage points.

    What may be None is so with one seed on either side, unless nothing in that row is random; the
    interval then is over videos only, paired, and says nothing of other seeds.

    Attributes:
        seeds_error: Standard error over seeds, without what single videos add to it; 0 where seeds
            vary no more than that.
        videos_error: Standard error over videos, paired; 0 for one video.
        p: Of the t test over seeds and videos.
        p_videos: Of the sign-flip test over videos, seeds averaged.
        p_seeds: Of the permutation test over seeds: signs of paired ones, exchanged else; None
            where a row has but one.
        paired: Whether seeds are paired.
    """

    points: float
    seeds_error: float | None
    videos_error: float
    interval: Interval | None
    p: float | None
    p_videos: float
    p_seeds: float | None
    paired: bool = False

    @property
    def standard_error(self) -> float | None:
        """Both errors together, in points (two-way clustering: what both share counts once)."""
        if self.seeds_error is None:
            return None
        return sqrt(self.seeds_error**2 + self.videos_error**2)


def accuracy_interval(hits: Hits) -> Interval | None:
    """Return the interval of a row's mean accuracy, or None for one seed and one video.

    Pigeonhole bootstrap: seeds and videos are drawn with replacement, independently of each
    other; the interval holds the middle `LEVEL` of the means. The draws are the same every time.
    That of one seed is over videos only.
    """
    num_seeds, num_videos = hits.shape
    if num_seeds == num_videos == 1:
        return None
    seeds, videos = _draws(num_seeds, 0), _draws(num_videos, 2)
    return _middle(100 * _resampled(hits, seeds, videos))


def mean_interval(hits: Sequence[Hits], targets: Sequence[str]) -> Interval | None:
    """Return the interval of the mean of a row's accuracies in several directions.

    As `accuracy_interval`. Directions with one target share the draws of its videos, and all
    directions those of their seeds, since runs of a seed begin alike wherever they are. Directions
    are not drawn: a benchmark has these and no others.

    Args:
        hits: Of each direction.
        targets: The dataset that each is tested on.
    """
    if all(each.size == 1 for each in hits):
        return None
    streams = {target: 2 + place for place, target in enumerate(dict.fromkeys(targets))}
    means = [
        _resampled(each, _draws(len(each), 0), _draws(each.shape[1], streams[target]))
        for each, target in zip(hits, targets, strict=True)
    ]
    return _middle(100 * np.mean(means, axis=0))


def compare_hits(
    ours: Hits,
    theirs: Hits,
    *,
    same_seeds: bool = False,
    exact: tuple[bool, bool] = (False, False),
) -> Difference:
    """Hold two rows [S, N] and [S', N] against each other, the same videos in the same order.

    Args:
        same_seeds: Whether both have the same seeds in the same order, so that they are paired
            from `FEWEST_PAIRS` on.
        exact: Whether nothing in a row is random, so that its single run is all there could be.
    """
    both = len(ours) > 1 and len(theirs) > 1
    known = all(len(hits) > 1 or it_is for hits, it_is in zip((ours, theirs), exact, strict=True))
    tested = known and max(len(ours), len(theirs), ours.shape[1]) > 1
    paired = same_seeds and len(ours) >= FEWEST_PAIRS
    gaps = 100 * (ours.mean(axis=0) - theirs.mean(axis=0))  # [N]
    means = ours.mean(axis=1), theirs.mean(axis=1)  # [S], [S']
    videos_error = _standard_error(gaps)
    points = float(gaps.mean())
    seeds_error, p = t_test(ours, theirs, paired=paired) if tested else (None, None)
    p_seeds = _sign_flip_p(means[0] - means[1]) if paired else None
    if both and not paired:
        p_seeds = _permutation_p(means, "independent")
    several = tested or ours.shape[1] > 1
    return Difference(
        points=points,
        seeds_error=seeds_error,
        videos_error=videos_error,
        interval=_difference_interval(ours, theirs, paired=paired, of_seeds=known)
        if several
        else None,
        p=p,
        p_videos=_sign_flip_p(gaps),
        p_seeds=p_seeds,
        paired=paired,
    )


def t_test(ours: Hits, theirs: Hits, *, paired: bool) -> tuple[float, float]:
    """Return the standard error over seeds, in points, and p of the t test over seeds and videos.

    Args:
        ours: [S, N]; where S is 1, nothing in it is random.
        theirs: [S', N], likewise.
        paired: Whether seeds are paired, S of them on both sides.
    """
    gaps = 100 * (ours.mean(axis=0) - theirs.mean(axis=0))  # [N]
    of_videos = _standard_error(gaps) ** 2
    alone = [100 * hits for hits in (ours, theirs) if len(hits) > 1]
    varying = [100 * (ours - theirs)] if paired else alone
    parts = _seeds_parts(varying, of_videos)
    seeds_error = sqrt(max(0.0, sum(variance for variance, _ in parts)))
    return seeds_error, _t_p(float(gaps.mean()), [*parts, (of_videos, len(gaps) - 1)])


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


def _seeds_parts(rows: Sequence[Hits], of_videos: float) -> list[tuple[float, int]]:
    """Return what seeds add to the variance of a difference, beside the videos' part `of_videos`.

    The variance of the seeds' means holds what single videos do by chance in single seeds. The
    videos' part holds that too, so it is taken off as a part of its own, less than 0, but never
    more than the videos' part has. Where nothing is left of a row, its seeds vary no more than
    that, and there is no part of theirs.

    Args:
        rows: [S, N] each, whose seeds have nothing to do with those of the other.
        of_videos: Variance.

    Returns:
        Variance and degrees of freedom of each part.
    """
    found = [_variances(values) for values in rows]
    shared = sum(of_both for _, of_both in found)
    kept = min(1.0, of_videos / shared) if shared > 0 else 0.0
    parts = []
    for values, (of_seeds, of_both) in zip(rows, found, strict=True):
        if of_seeds > kept * of_both:
            num_seeds, num_videos = values.shape
            free = (num_seeds - 1) * (num_videos - 1)
            parts += [(of_seeds, num_seeds - 1), (-kept * of_both, free)]
    return parts


def _variances(values: Hits) -> tuple[float, float]:
    """Return the variance of the mean of [S, N]: that of the seeds' means, and their rest's."""
    num_seeds, num_videos = values.shape
    by_seed = values.mean(axis=1, keepdims=True)
    rest = values - by_seed - values.mean(axis=0, keepdims=True) + values.mean()
    free = max(1, (num_seeds - 1) * (num_videos - 1))
    of_both = float((rest**2).sum()) / free / values.size
    return float(by_seed.var(ddof=1)) / num_seeds, of_both


def _t_p(points: float, parts: Sequence[tuple[float, int]]) -> float:
    """Return the two-sided p of a t test whose variance is the sum of parts (Satterthwaite).

    Of a single video it is Welch's test over seeds, or the paired one; where seeds do not vary, the
    paired t test over videos. `parts` are variance and degrees of freedom of each.
    """
    # Rounding leaves crumbs where there is no difference, or no spread.
    spread = sum(variance for variance, _ in parts)
    if abs(points) < 1e-9:
        return 1.0
    if spread < 1e-18:
        return 0.0
    weights = sum(variance**2 / free for variance, free in parts if free)
    freedom = spread**2 / weights if weights else inf
    return float(2 * stats.t.sf(abs(points) / sqrt(spread), freedom))


def _sign_flip_p(gaps: NDArray[np.float64]) -> float:
    """Return p of the paired permutation test: for each pair the rows might change places."""
    # A pair on which both are equally right flips to itself; a single other one tells nothing.
    telling = gaps[np.abs(gaps) > 1e-9]
    return _permutation_p((telling,), "samples") if len(telling) > 1 else 1.0


def _permutation_p(samples: tuple[NDArray[np.float64], ...], kind: str) -> float:
    """Return p of a permutation test; exact for few values, from random permutations else."""

    def statistic(*data: NDArray[np.float64], axis: int) -> Any:
        means = [values.mean(axis=axis) for values in data]
        return means[0] - means[1] if len(means) == 2 else means[0]

    num_values = sum(map(len, samples))
    found = stats.permutation_test(
        samples,
        statistic,
        permutation_type=kind,
        vectorized=True,
        n_resamples=_NUM_PERMUTATIONS,
        # In as few pieces as memory allows: each takes as long as there are values.
        batch=max(1, min(1000, 4 * _VALUES_AT_ONCE // num_values)),
        rng=np.random.default_rng(_SEED),
    )
    return float(found.pvalue)


def _difference_interval(ours: Hits, theirs: Hits, *, paired: bool, of_seeds: bool) -> Interval:
    """Return the pigeonhole bootstrap's interval: videos together, and seeds where paired.

    Without `of_seeds` it is over videos alone.
    """
    if not of_seeds:
        ours, theirs = (hits.mean(axis=0, keepdims=True) for hits in (ours, theirs))
    videos = _draws(ours.shape[1], 2)
    ours_means = _resampled(ours, _draws(len(ours), 0), videos)
    return _middle(
        100 * (ours_means - _resampled(theirs, _draws(len(theirs), 0 if paired else 1), videos))
    )


def _blocks(size: int) -> Iterator[slice]:
    """Yield some resamples of `size` after others, such that memory is bounded."""
    rows = max(1, _VALUES_AT_ONCE // size)
    for first in range(0, NUM_RESAMPLES, rows):
        yield slice(first, min(first + rows, NUM_RESAMPLES))


@lru_cache(maxsize=16)
def _draws(size: int, stream: int) -> NDArray[np.uint8]:
    """Return how often each of `size` is drawn: [resamples, size], each row of one sum.

    One fewer than there are is drawn: with all of them, the spread of few seeds would come out too
    small by a factor of sqrt(1 - 1 / S) (McCarthy and Snowden).
    """
    drawn = max(1, size - 1)
    generator = np.random.default_rng((_SEED, stream, size))
    # Fewer than one of each is expected: no count comes near the 255 of a byte.
    counts = np.empty((NUM_RESAMPLES, size), np.uint8)
    shares = np.full(size, 1 / size)
    for some in _blocks(size):
        counts[some] = generator.multinomial(drawn, shares, some.stop - some.start)
    return counts


def _resampled(
    hits: Hits, seeds: NDArray[np.uint8], videos: NDArray[np.uint8]
) -> NDArray[np.float64]:
    """Return the mean of each resample of draws [resamples, S] and [resamples, N]: [resamples]."""
    drawn = [
        ((_shares(seeds[some]) @ hits) * _shares(videos[some])).sum(axis=1)
        for some in _blocks(hits.shape[1])
    ]
    return np.concatenate(drawn)


def _shares(counts: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return counts [resamples, size] as shares of their sum, which is that of every row."""
    shares: NDArray[np.float64] = counts / counts[0].sum(dtype=np.int64)
    return shares


def _middle(values: NDArray[np.float64]) -> Interval:
    tail = 50 * (1 - LEVEL)
    low, high = np.percentile(values, [tail, 100 - tail])
    return Interval(float(low), float(high))
