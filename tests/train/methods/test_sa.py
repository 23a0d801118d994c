"""Subspace alignment is that of its formula, and chooses its dimension on the source alone."""

import numpy as np
import pytest

from ta3n.train.methods.closed_form import Domains, principal_directions, standardiser
from ta3n.train.methods.registry import METHODS
from ta3n.train.methods.sa import aligned_directions

RNG = np.random.default_rng(0)


def orthonormal(rows: int, columns: int) -> np.ndarray:
    return np.linalg.qr(RNG.normal(size=(rows, columns)))[0]


def test_the_turned_directions_are_as_near_to_the_targets_as_the_subspace_allows() -> None:
    source, target = orthonormal(7, 3), orthonormal(7, 3)
    turned = aligned_directions(source, target)
    # X_S M with the M that minimises |X_S M - X_T|_F: least squares, column by column.
    expected = source @ np.linalg.lstsq(source, target, rcond=None)[0]
    np.testing.assert_allclose(turned, expected, atol=1e-12)
    np.testing.assert_allclose(aligned_directions(target, target), target, atol=1e-12)


def test_principal_directions_are_those_of_the_covariance() -> None:
    videos = RNG.normal(size=(30, 6)) * [5, 4, 3, 2, 1, 0.5]
    videos -= videos.mean(axis=0)
    found = principal_directions(videos, 3)
    _, vectors = np.linalg.eigh(np.cov(videos.T))
    np.testing.assert_allclose(np.abs(found.T @ vectors[:, ::-1][:, :3]), np.eye(3), atol=1e-8)
    flat = np.outer(np.arange(4.0) - 1.5, np.ones(6))
    assert principal_directions(flat, 3).shape == (6, 1)
    assert principal_directions(np.zeros((1, 6)), 3).shape == (6, 1)


@pytest.mark.parametrize(("count", "wanted"), [(40, 10), (12, 10), (3, 2)])
def test_the_dimension_is_the_best_on_the_source_and_the_least_of_equals(
    count: int, wanted: int
) -> None:
    """With scores that peak at ten dimensions; fewer videos span fewer."""
    source, target = (RNG.normal(size=(count, 30)) for _ in range(2))
    source, target = (standardiser(each)(each) for each in (source, target))
    seen = []

    def accuracy(videos: np.ndarray) -> float:
        seen.append(videos.shape[1])
        return float(videos.shape[1] >= 10)

    form = METHODS.find("sa-nn").closed_form
    assert form is not None
    assert form.align is not None
    of_source, of_target = form.align(Domains(source=source, target=target, accuracy=accuracy))
    assert of_source is not None
    assert of_target is not None
    assert of_source.shape == of_target.shape == (30, wanted)
    assert seen == [d for d in (5, 10, 20, 40) if d < count] or seen == [wanted]
