"""If this breaks, the picture that persuades most easily is wrong, or stops the report."""

import numpy as np
import pytest
from numpy.typing import NDArray

from ta3n.train.report.data.embed import RunEmbedding, SubsetEmbedding
from ta3n.train.report.figures.tsne import _sampled, make_map


def part(features: NDArray[np.float32]) -> SubsetEmbedding:
    labels = np.zeros(len(features), np.int64)
    return SubsetEmbedding(features=features, attention=None, labels=labels, predicted=labels)


def run(shift: float, count: int = 20, seed: int = 0) -> RunEmbedding:
    rng = np.random.default_rng(seed)
    source, target = rng.normal(0, 1, (2, count, 6)).astype(np.float32)
    return RunEmbedding(
        seed=seed, parts={"source val": part(source), "target val": part(target + shift)}
    )


def test_domains_apart_lie_apart_and_the_figures_say_so() -> None:
    apart = make_map([run(8), run(8, seed=1)])
    source, target = apart.source.mean(axis=0), apart.target.mean(axis=0)
    spread = max(apart.source.std(), apart.target.std())
    assert np.linalg.norm(source - target) > spread
    assert apart.gap.proxy_a.startswith("2.00 ± 0.00")
    assert float(make_map([run(0)]).gap.mmd2) == pytest.approx(0, abs=0.05)


def test_places_are_the_same_every_time() -> None:
    one, other = make_map([run(1)]), make_map([run(1)])
    assert np.array_equal(one.source, other.source)
    assert one.gap == other.gap


def test_a_crowd_is_thinned_evenly() -> None:
    crowd = np.arange(900, dtype=np.float32)[:, None]
    thin = _sampled(crowd)[:, 0]
    assert len(thin) == 300
    assert (thin[0], thin[-1]) == (0, 899)
    assert set(np.diff(thin)) <= {3, 4}


def test_a_collapsed_model_still_has_places() -> None:
    same = part(np.ones((6, 3), np.float32))
    found = make_map([RunEmbedding(seed=0, parts={"source val": same, "target val": same})])
    assert np.isfinite(found.source).all()
    assert found.gap.proxy_a == "0.00"
