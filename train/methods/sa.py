"""Subspace alignment: the source's principal directions are turned onto those of the target.

Shapes: D feature width, d dimension of both subspaces.
"""

from typing import TYPE_CHECKING

from ta3n.train.methods.closed_form import Domains, principal_directions
from ta3n.train.methods.registry import register_closed_form

if TYPE_CHECKING:
    from ta3n.train.methods.closed_form import Array

DIMENSIONS = (5, 10, 20, 40, 80, 160)
"""Dimensions to choose from, if the videos span as many."""


def aligned_directions(source: "Array", target: "Array") -> "Array":
    """Return X_S X_S' X_T: the source's directions, each as the target's that is nearest to it.

    Args:
        source: orthonormal X_S, [D, d].
        target: orthonormal X_T, [D, d].
    """
    turned: Array = source @ (source.T @ target)
    return turned


def _align(domains: Domains) -> "tuple[Array, Array]":
    """Choose the dimension by cross-validation on the source's labels, as published."""
    source = principal_directions(domains.source, DIMENSIONS[-1])
    target = principal_directions(domains.target, DIMENSIONS[-1])
    most = min(source.shape[1], target.shape[1])
    tried = [d for d in DIMENSIONS if d <= most] or [most]

    def score(d: int) -> float:
        return domains.accuracy(domains.source @ aligned_directions(source[:, :d], target[:, :d]))

    # Of equals the smallest.
    best = max(tried, key=score)
    return aligned_directions(source[:, :best], target[:, :best]), target[:, :best]


register_closed_form("sa", "SA", "Fernando et al., ICCV 2013", _align)
