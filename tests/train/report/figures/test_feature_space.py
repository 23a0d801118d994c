"""If this breaks, the picture that persuades most easily is wrong, or stops the report."""

import numpy as np
import pytest
from numpy.typing import NDArray

from ta3n.train.report.data.embed import RunEmbedding, SubsetEmbedding
from ta3n.train.report.figures.feature_space import (
    make_map,
    mmd2,
    proxy_a_distance,
    thinned,
)


def part(features: NDArray[np.float32]) -> SubsetEmbedding:
    labels = np.zeros(len(features), np.int64)
    return SubsetEmbedding(features=features, attention=None, labels=labels, predicted=labels)


def run(shift: float, count: int = 20, seed: int = 0) -> RunEmbedding:
    rng = np.random.default_rng(seed)
    source, target = rng.normal(0, 1, (2, count, 6)).astype(np.float32)
    return RunEmbedding(
        seed=seed, subsets={"source val": part(source), "target val": part(target + shift)}
    )


def test_domains_apart_lie_apart_and_the_figures_say_so() -> None:
    apart = make_map([run(8), run(8, seed=1)])
    source, target = apart.source.mean(axis=0), apart.target.mean(axis=0)
    spread = max(apart.source.std(), apart.target.std())
    assert np.linalg.norm(source - target) > spread
    assert apart.proxy_a.startswith("2.00 ± 0.00")
    assert float(make_map([run(0)]).mmd2) == pytest.approx(0, abs=0.05)


def test_places_are_the_same_every_time() -> None:
    one, other = make_map([run(1)]), make_map([run(1)])
    assert np.array_equal(one.source, other.source)
    assert (one.proxy_a, one.mmd2) == (other.proxy_a, other.mmd2)


def test_a_crowd_is_thinned_evenly() -> None:
    crowd = np.arange(900, dtype=np.float32)[:, None]
    thin = thinned(crowd, 300)[:, 0]
    assert len(thin) == 300
    assert (thin[0], thin[-1]) == (0, 899)
    assert set(np.diff(thin)) <= {3, 4}


def test_a_collapsed_model_still_has_places() -> None:
    same = part(np.ones((6, 3), np.float32))
    found = make_map([RunEmbedding(seed=0, subsets={"source val": same, "target val": same})])
    assert np.isfinite(found.source).all()
    assert found.proxy_a == "0.00"


def cloud(count: int, shift: float, seed: int) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    return rng.normal(shift, 1, (count, 6)).astype(np.float32)


def test_alike_is_near_zero_and_apart_is_near_two() -> None:
    same = cloud(200, 0, 1), cloud(300, 0, 2)
    apart = cloud(200, 0, 1), cloud(300, 4, 2)
    assert proxy_a_distance(*same) < 0.25
    assert abs(mmd2(*same)) < 0.01
    assert proxy_a_distance(*apart) > 1.95
    assert mmd2(*apart) > 0.3


def test_a_larger_domain_counts_no_more() -> None:
    """A classifier that always says "target" is right on 95 percent, and knows nothing."""
    assert proxy_a_distance(cloud(20, 0, 1), cloud(380, 0, 2)) < 0.5


def test_mmd_equals_its_formula() -> None:
    source, target = cloud(4, 0, 1), cloud(3, 1, 2)
    together = np.concatenate([source, target]).astype(np.float64)
    squared = ((together[:, None] - together[None]) ** 2).sum(-1)
    scale = np.median([squared[i, j] for i in range(7) for j in range(i)])
    kernel = np.exp(-squared / (2 * scale))
    within = [
        np.mean([kernel[i, j] for i in part for j in part if i != j])
        for part in (range(4), range(4, 7))
    ]
    between = np.mean([kernel[i, j] for i in range(4) for j in range(4, 7)])
    assert mmd2(source, target) == pytest.approx(sum(within) - 2 * between)


def test_degenerate_features_have_no_distance() -> None:
    same = np.ones((6, 3), np.float32)
    assert (proxy_a_distance(same, same), mmd2(same, same)) == (0, 0)
