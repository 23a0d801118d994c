"""The geodesic flow kernel is the integral that it stands for, at any angle."""

import numpy as np
import pytest
from scipy.linalg import subspace_angles

from ta3n.train.methods.gfk import disagreement, geodesic_flow

RNG = np.random.default_rng(0)
D = 9


def orthonormal(columns: int) -> np.ndarray:
    return np.linalg.qr(RNG.normal(size=(D, columns)))[0]


def numerically(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Integrate the projections onto the subspaces of the geodesic, by its exponential map.

    The subspace at t is source cos(t S) V' + ... of the tangent (I - P) target (P target)^-1, which
    is independent of the closed form.
    """
    tangent = target @ np.linalg.inv(source.T @ target) - source
    left, tangents, right = np.linalg.svd(tangent, full_matrices=False)
    angles = np.arctan(tangents)
    nodes, weights = np.polynomial.legendre.leggauss(40)
    total = np.zeros((D, D))
    for node, weight in zip((nodes + 1) / 2, weights / 2, strict=True):
        flow = source @ right.T * np.cos(node * angles) + left * np.sin(node * angles)
        total += weight * flow @ flow.T
    return total


@pytest.mark.parametrize("d", [1, 2, 4])
def test_it_is_the_integral_over_the_geodesic(d: int) -> None:
    source, target = orthonormal(d), orthonormal(d)
    flow = geodesic_flow(source, target)
    assert flow.shape == (D, 2 * d)
    np.testing.assert_allclose(flow @ flow.T, numerically(source, target), atol=1e-12)


def test_equal_and_orthogonal_subspaces() -> None:
    source = np.eye(D)[:, :2]
    flow = geodesic_flow(source, source[:, ::-1])
    np.testing.assert_allclose(flow @ flow.T, source @ source.T, atol=1e-12)
    # A right angle: as much of one as of the other, and 1 / pi of their product.
    flow = geodesic_flow(np.eye(D)[:, :1], np.eye(D)[:, 1:2])
    kernel = np.abs(flow @ flow.T)
    np.testing.assert_allclose(kernel[:2, :2], [[0.5, 1 / np.pi], [1 / np.pi, 0.5]], atol=1e-12)
    assert not kernel[2:].any()


def test_the_disagreement_is_that_of_the_largest_angles() -> None:
    source, target, both = orthonormal(4), orthonormal(4), orthonormal(4)
    found = disagreement(source, target, both)
    for d in range(1, 5):
        angles = [subspace_angles(one[:, :d], both[:, :d]).max() for one in (source, target)]
        assert found[d - 1] == pytest.approx(np.sin(angles).mean(), abs=1e-7)
    np.testing.assert_allclose(disagreement(source, source, source), 0, atol=1e-7)
