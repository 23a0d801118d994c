"""If this breaks, the report trusts differences that chance made, or doubts those it did not."""

from itertools import product
from math import sqrt

import numpy as np
import pytest
from scipy import stats

from ta3n.train.report.data import statistics
from ta3n.train.report.data.statistics import (
    Hits,
    accuracy_interval,
    compare_hits,
    holm,
    mean_interval,
    rank_correlation,
    t_test,
)


def made_hits(seeds: int, videos: int, share: float, *, seed: int = 0) -> Hits:
    generator = np.random.default_rng(seed)
    return (generator.random((seeds, videos)) < share).astype(np.float64)


def test_many_videos_are_drawn_in_blocks_to_the_same_figures(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours, theirs = made_hits(3, 500, 0.7), made_hits(3, 500, 0.75, seed=1)

    def figures() -> tuple[object, ...]:
        statistics._draws.cache_clear()
        return (
            accuracy_interval(ours),
            mean_interval([ours, theirs[:, :300]], ["a", "b"]),
            compare_hits(ours, theirs, same_seeds=True),
            compare_hits(ours, theirs),
        )

    whole = figures()
    monkeypatch.setattr(statistics, "_VALUES_AT_ONCE", 8 * 500)
    assert figures() == whole


def test_counts_of_draws_are_those_that_are_drawn_at_once() -> None:
    generator = np.random.default_rng((statistics._SEED, 2, 5000))
    counts = generator.multinomial(4999, np.full(5000, 1 / 5000), statistics.NUM_RESAMPLES)
    np.testing.assert_array_equal(statistics._draws(5000, 2), counts)


def test_holm_equals_the_textbook_example() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, None, 0.7]) == [1.0, None, 1.0]
    assert holm([]) == []


def test_without_spread_over_videos_it_is_welchs_test_over_seeds() -> None:
    """Seeds differ in how many videos they have right, yet every video is right equally often."""
    ours, theirs = np.zeros((4, 12)), np.zeros((3, 12))
    for seed, videos in enumerate((range(6), range(6, 9), range(9, 11), range(11, 12))):
        ours[seed, videos] = 1
    for seed, wrong in enumerate((range(10, 12), range(6, 10), range(6))):
        theirs[seed] = 1
        theirs[seed, wrong] = 0
    found = compare_hits(ours, theirs)
    welch = stats.ttest_ind(ours.mean(axis=1), theirs.mean(axis=1), equal_var=False)
    assert found.points == pytest.approx(25 - 200 / 3)
    assert found.videos_error == pytest.approx(0)
    assert found.p == pytest.approx(welch.pvalue)


def test_without_spread_over_seeds_it_is_the_paired_t_test_over_videos() -> None:
    ours = np.tile([1.0, 1, 1, 1, 0, 1, 1, 0], (3, 1))
    theirs = np.tile([1.0, 0, 0, 1, 0, 0, 1, 1], (3, 1))
    found = compare_hits(ours, theirs)
    assert found.seeds_error == 0
    assert found.p == pytest.approx(stats.ttest_rel(ours[0], theirs[0]).pvalue)
    assert found.points == pytest.approx(25)


def test_against_a_row_without_chance_it_is_a_test_over_the_seeds_of_the_other() -> None:
    ours = np.zeros((4, 12))
    for seed, videos in enumerate((range(6), range(6, 9), range(9, 11), range(11, 12))):
        ours[seed, videos] = 1
    found = compare_hits(ours, np.zeros((1, 12)), exact=(False, True))
    assert found.videos_error == pytest.approx(0)
    assert found.p == pytest.approx(stats.ttest_1samp(ours.mean(axis=1), 0).pvalue)
    assert found.interval is not None
    assert found.interval.low < found.points < found.interval.high
    # One run of a row in which there is chance says nothing of its other runs.
    assert compare_hits(ours, np.zeros((1, 12))).p is None


def test_two_rows_without_chance_differ_over_videos_alone() -> None:
    ours, theirs = made_hits(1, 40, 0.8), made_hits(1, 40, 0.4, seed=1)
    found = compare_hits(ours, theirs, same_seeds=True, exact=(True, True))
    assert found.seeds_error == 0
    assert found.p == pytest.approx(stats.ttest_rel(ours[0], theirs[0]).pvalue)
    assert compare_hits(ours[:, :1], theirs[:, :1], exact=(True, True)).p is None


def test_a_row_without_chance_that_is_equally_good_is_seldom_told_apart() -> None:
    generator = np.random.default_rng(7)
    below = 0
    for _ in range(300):
        ours, theirs = null_hits(generator, 4, 0.0, shared=False)
        p = compare_hits(ours, theirs[:1], exact=(False, True)).p
        below += p is not None and p < 0.05
    assert 2 <= below <= 26


def test_both_ways_of_chance_make_a_difference_less_sure_than_either() -> None:
    """Every seed has a level of its own, and every video is gained or not."""
    generator = np.random.default_rng(2)
    base = generator.random(60)
    levels = np.array([0.05, 0.3, -0.1, 0.2, 0.0])[:, None]
    ours = (generator.random((5, 60)) < np.clip(base + 0.15 + levels, 0, 1)).astype(np.float64)
    theirs = (generator.random((5, 60)) < np.clip(base + levels[::-1], 0, 1)).astype(np.float64)
    found = compare_hits(ours, theirs)
    seeds = stats.ttest_ind(ours.mean(axis=1), theirs.mean(axis=1), equal_var=False).pvalue
    videos = stats.ttest_rel(ours.mean(axis=0), theirs.mean(axis=0)).pvalue
    assert found.p is not None
    assert found.p > min(seeds, videos)
    assert found.standard_error is not None
    assert found.standard_error > found.videos_error
    assert found.standard_error == pytest.approx(
        sqrt((found.seeds_error or 0) ** 2 + found.videos_error**2)
    )


def test_seeds_that_vary_no_more_than_single_videos_do_add_nothing() -> None:
    """What chance does in single videos counts once: over videos, and not over seeds again."""
    over_seeds, over_videos = [], []
    for repeat in range(100):
        ours = made_hits(3, 200, 0.8, seed=repeat)
        theirs = made_hits(3, 200, 0.7, seed=1000 + repeat)
        over_seeds.append(t_test(ours, theirs, paired=True)[0] ** 2)
        over_videos.append((100 * stats.sem(ours.mean(axis=0) - theirs.mean(axis=0))) ** 2)
    # Counted twice, both would be the same.
    assert np.mean(over_seeds) < 0.5 * np.mean(over_videos)


def test_equal_seeds_are_paired() -> None:
    """A level that both runs of a seed share says nothing of their difference."""
    generator = np.random.default_rng(3)
    levels = np.array([0.3, -0.3, 0.0, 0.2])[:, None]
    base = np.clip(0.3 + 0.4 * generator.random(100) + levels, 0, 1)
    theirs = (generator.random((4, 100)) < base).astype(np.float64)
    ours = theirs.copy()
    for hits in ours:
        hits[generator.choice(np.flatnonzero(hits == 0), 6, replace=False)] = 1
    paired, apart = compare_hits(ours, theirs, same_seeds=True), compare_hits(ours, theirs)
    assert (paired.paired, apart.paired) == (True, False)
    assert paired.p is not None
    assert apart.p is not None
    assert paired.p < 0.001 < 0.05 < apart.p
    assert paired.interval is not None
    assert apart.interval is not None
    assert paired.interval.low > 0 > apart.interval.low
    # All four seeds are better: two of the sixteen ways to change places are as extreme.
    assert paired.p_seeds == pytest.approx(2 / 16)
    # Two pairs say too little of how much they vary.
    assert not compare_hits(ours[:2], theirs[:2], same_seeds=True).paired


def null_hits(
    generator: np.random.Generator, seeds: int, spread: float, *, shared: bool
) -> list[Hits]:
    """Return two rows that are equally good; what seeds add may be shared by both."""
    easy = generator.normal(0.8, 1.5, 100)
    skills = generator.normal(0, spread, (2, seeds, 1))
    common = generator.normal(0, 1.0, (seeds, 1)) if shared else 0.0
    gaps = generator.normal(0, 0.7, (2, 100))
    shares = 1 / (1 + np.exp(-(easy + gaps[:, None] + skills + common)))
    return [(generator.random(share.shape) < share).astype(np.float64) for share in shares]


@pytest.mark.parametrize("spread", [0.0, 0.3])
@pytest.mark.parametrize(
    ("seeds", "same_seeds"), [(2, False), (3, False), (5, False), (3, True), (5, True)]
)
def test_p_is_below_the_level_as_often_as_it_says(
    seeds: int, spread: float, *, same_seeds: bool
) -> None:
    """Of 300 pairs of equal rows, about 15 may have p below 0.05: neither many more, nor none."""
    generator = np.random.default_rng((seeds, int(10 * spread), same_seeds))
    below = 0
    for _ in range(300):
        ours, theirs = null_hits(generator, seeds, spread, shared=same_seeds)
        _, p = t_test(ours, theirs, paired=same_seeds)
        below += p < 0.05
    assert below <= 26
    if not spread:
        assert below >= 2


def test_permutation_tests_are_exact_where_there_are_few() -> None:
    ours = np.array([[1.0, 1, 1, 1, 0, 1], [1, 1, 1, 0, 0, 1]])
    theirs = np.array([[0.0, 1, 0, 0, 1, 0], [0, 1, 0, 0, 0, 0]])
    found = compare_hits(ours, theirs)
    gaps = ours.mean(axis=0) - theirs.mean(axis=0)
    sums = [abs(np.dot(signs, gaps)) for signs in product((1, -1), repeat=6)]
    assert found.p_videos == pytest.approx(np.mean([s >= abs(gaps.sum()) - 1e-9 for s in sums]))
    # Of six ways to choose two of four seeds, two are as far apart as these.
    assert found.p_seeds == pytest.approx(2 / 6)


def test_tests_are_calm_where_nothing_differs() -> None:
    """Under equal rows, p below 0.05 must be rare: that is what the level promises."""
    below = 0
    for repeat in range(60):
        generator = np.random.default_rng(repeat)
        easy = generator.random(30)
        skill = generator.normal(0, 0.05, 6)[:, None]
        hits = (generator.random((6, 30)) < np.clip(easy + skill, 0, 1)).astype(np.float64)
        p = compare_hits(hits[:3], hits[3:]).p
        below += p is not None and p < 0.05
    assert below <= 3


def test_interval_covers_seeds_and_videos() -> None:
    """Seeds that agree leave the videos' spread; videos that agree leave the seeds'."""
    video = accuracy_interval(np.tile((np.arange(100) < 70).astype(np.float64), (4, 1)))
    seed = accuracy_interval(np.tile(np.array([[1.0], [1], [0], [1]]), (1, 100)))
    assert video is not None
    assert seed is not None
    half = 1.96 * 100 * sqrt(0.7 * 0.3 / 100)
    assert (video.low, video.high) == pytest.approx((70 - half, 70 + half), abs=1.5)
    # Three of the four seeds are drawn: at worst the wrong one twice.
    assert (seed.low, seed.high) == pytest.approx((100 / 3, 100))
    mixed = made_hits(4, 100, 0.7)
    assert accuracy_interval(mixed) == accuracy_interval(mixed.copy())


def test_interval_of_a_difference_pairs_the_videos() -> None:
    hits = made_hits(3, 50, 0.5)
    better = hits.copy()
    better[:, :5] = 1
    paired = compare_hits(better, hits).interval
    apart = compare_hits(better[:, ::-1].copy(), hits).interval
    assert paired is not None
    assert apart is not None
    assert paired.high - paired.low < apart.high - apart.low


def test_one_seed_has_an_interval_over_videos_and_no_test() -> None:
    ours, theirs = made_hits(1, 400, 0.8), made_hits(4, 400, 0.5)
    found = compare_hits(ours, theirs, same_seeds=False)
    assert (found.seeds_error, found.p, found.p_seeds) == (None, None, None)
    assert found.standard_error is None
    half = 1.96 * found.videos_error
    assert found.interval is not None
    ends = (found.interval.low, found.interval.high)
    assert ends == pytest.approx((found.points - half, found.points + half), abs=0.7)
    alone = accuracy_interval(ours)
    assert alone is not None
    half = 1.96 * 100 * sqrt(ours.mean() * (1 - ours.mean()) / 400)
    level = 100 * ours.mean()
    assert (alone.low, alone.high) == pytest.approx((level - half, level + half), abs=0.7)
    assert accuracy_interval(np.ones((1, 1))) is None


def test_equal_rows_and_single_videos_are_no_trouble() -> None:
    same = made_hits(3, 20, 0.6)
    found = compare_hits(same, same)
    assert (found.points, found.p, found.p_videos, found.p_seeds) == (0, 1, 1, 1)
    one = compare_hits(np.ones((2, 1)), np.zeros((2, 1)))
    assert (one.points, one.videos_error, one.p_videos) == (100, 0, 1)
    assert one.p == 0


def test_rank_correlation_needs_three_pairs_that_vary() -> None:
    assert rank_correlation([1, 2, 3], [10, 30, 400]) == pytest.approx(1)
    assert rank_correlation([1, 2, 3, 4], [4, 3, 2, 1]) == pytest.approx(-1)
    assert rank_correlation([1, 2], [1, 2]) is None
    assert rank_correlation([1, 1, 1], [1, 2, 3]) is None
