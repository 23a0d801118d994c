"""Whitened and coloured, the source has the covariance of the target."""

import numpy as np
import pytest
from scipy.linalg import fractional_matrix_power

from ta3n.train.methods.coral_whitening import recolouring

RNG = np.random.default_rng(0)


def items(count: int) -> np.ndarray:
    return RNG.normal(size=(count, 5)) @ RNG.normal(size=(5, 5)) + RNG.normal(size=5)


@pytest.mark.parametrize(("n", "m"), [(40, 30), (10, 200)])
def test_the_covariance_becomes_that_of_the_target(n: int, m: int) -> None:
    source, target = items(n), items(m)
    coloured = source @ recolouring(source, target, 0.0)
    np.testing.assert_allclose(np.cov(coloured.T), np.cov(target.T), atol=1e-9)


def test_it_is_the_formula_with_its_regularisation() -> None:
    source, target = items(20), items(25)
    white = fractional_matrix_power(np.cov(source.T) + np.eye(5), -0.5)
    colour = fractional_matrix_power(np.cov(target.T) + np.eye(5), 0.5)
    np.testing.assert_allclose(recolouring(source, target), white @ colour, atol=1e-10)
    np.testing.assert_allclose(recolouring(source, source), np.eye(5), atol=1e-10)


def test_a_single_video_and_equal_ones_are_finite() -> None:
    assert np.isfinite(recolouring(np.ones((1, 5)), np.ones((3, 5)))).all()
