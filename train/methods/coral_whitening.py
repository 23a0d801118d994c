"""CORAL: the source is whitened, and coloured with the covariance of the target.

Shapes: N items, D feature width.
"""

from typing import TYPE_CHECKING

from ta3n.train.methods.closed_form import Domains
from ta3n.train.methods.registry import register_closed_form

if TYPE_CHECKING:
    from ta3n.train.methods.closed_form import Array


def recolouring(source: "Array", target: "Array", regularisation: float = 1.0) -> "Array":
    """Return A = (C_S + r I)^(-1/2) (C_T + r I)^(1/2), [D, D].

    With r = 0, where the source's covariance has full rank, items times A have the target's.

    Args:
        source: [N, D].
        target: likewise, of another number.
        regularisation: r, 1 as published.
    """
    return _power(source, regularisation, -0.5) @ _power(target, regularisation, 0.5)


def _power(items: "Array", regularisation: float, exponent: float) -> "Array":
    """Return a power of the regularised covariance."""
    import numpy as np

    centred = items - items.mean(axis=0)
    covariance = centred.T @ centred / max(len(items) - 1, 1)
    values, vectors = np.linalg.eigh(covariance)
    powers: Array = (vectors * (np.maximum(values, 0) + regularisation) ** exponent) @ vectors.T
    return powers


def _align(domains: Domains) -> "tuple[Array, None]":
    return recolouring(domains.source, domains.target), None


register_closed_form("coral-whitening", "CORAL whitening", "Sun et al., AAAI 2016", _align)
