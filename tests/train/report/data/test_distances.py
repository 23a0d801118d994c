"""If this breaks, the numbers under the t-SNE pictures say nothing."""

import numpy as np
import pytest
from numpy.typing import NDArray

from ta3n.train.report.data.distances import domain_distance, mmd2, proxy_a_distance


def cloud(count: int, shift: float, seed: int) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    return rng.normal(shift, 1, (count, 6)).astype(np.float32)


def test_alike_is_near_zero_and_apart_is_near_two() -> None:
    same = domain_distance(cloud(200, 0, 1), cloud(300, 0, 2))
    apart = domain_distance(cloud(200, 0, 1), cloud(300, 4, 2))
    assert same is not None
    assert apart is not None
    assert same.proxy_a < 0.25
    assert abs(same.mmd2) < 0.01
    assert apart.proxy_a > 1.95
    assert apart.mmd2 > 0.3


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
    assert domain_distance(same[:1], same) is None
    found = domain_distance(same, same)
    assert found is not None
    assert (found.proxy_a, found.mmd2) == (0, 0)
