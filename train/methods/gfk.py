"""Geodesic flow kernel: the inner product over all subspaces on the way from source to target.

Shapes: D feature width, d dimension of both subspaces.
"""

from typing import TYPE_CHECKING

from ta3n.train.methods.closed_form import Domains, principal_directions
from ta3n.train.methods.registry import register_closed_form

if TYPE_CHECKING:
    from ta3n.train.methods.closed_form import Array

_MOST_DIMENSIONS = 200
_FURTHEST = 0.99
"""So much disagreement counts as all there can be."""
_SMALL_ANGLE = 1e-8


def geodesic_flow(source: "Array", target: "Array") -> "Array":
    """Return a matrix L, [D, 2d], with L L' the kernel G = integral of Phi(t) Phi(t)' over [0, 1].

    Phi is the geodesic from source (t = 0) to target (t = 1). With the principal angles a_i between
    them it is cos(t a_i) u_i + sin(t a_i) v_i, u_i in the source and v_i orthogonal to it: G is a
    2 by 2 block for each i.

    Args:
        source: orthonormal, [D, d].
        target: orthonormal, [D, d].
    """
    import numpy as np

    turned, cosines, other = np.linalg.svd(source.T @ target)
    along = source @ turned  # u, [D, d]
    # What is left of the target's directions, sin(a_i) v_i; more exact than the root of 1 - cos^2.
    across = target @ other.T - along * cosines
    sines = np.linalg.norm(across, axis=0)
    angles = np.arctan2(sines, cosines)
    across = np.where(sines > _SMALL_ANGLE, across / np.maximum(sines, _SMALL_ANGLE), 0.0)
    blocks = np.array([_square_root(*_integrals(angle)) for angle in angles])  # [d, 2, 2]
    pair = np.stack([along, across], axis=2)  # [D, d, 2]
    flow: Array = np.einsum("fip,ipq->fiq", pair, blocks).reshape(len(source), -1)
    return flow


def _integrals(angle: float) -> tuple[float, float, float]:
    """Return the integrals of cos^2, cos sin and sin^2 of t times an angle, t from 0 to 1."""
    import numpy as np

    # np.sinc(x) is sin(pi x) / (pi x), and 1 at 0.
    ratio = float(np.sinc(2 * angle / np.pi))
    mixed = 0.5 * float(np.sin(angle)) * float(np.sinc(angle / np.pi))
    return (1 + ratio) / 2, mixed, (1 - ratio) / 2


def _square_root(first: float, mixed: float, second: float) -> "Array":
    """Return the symmetric root of [[first, mixed], [mixed, second]], positive semidefinite."""
    import numpy as np

    values, vectors = np.linalg.eigh(np.array([[first, mixed], [mixed, second]]))
    root: Array = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    return root


def disagreement(source: "Array", target: "Array", both: "Array") -> "Array":
    """Return (sin a_d + sin b_d) / 2 for each dimension d from 1, where all have as many.

    a_d and b_d are the largest principal angles between the first d directions of a domain and of
    both domains together: 0 where they agree, 1 where one has a direction that is orthogonal to all
    of the other.

    Args:
        source: orthonormal, [D, d].
        target: likewise.
        both: likewise.
    """
    import numpy as np

    most = min(source.shape[1], target.shape[1], both.shape[1])

    def sine(one: "Array", d: int) -> float:
        cosine = np.linalg.svd(one[:, :d].T @ both[:, :d], compute_uv=False)[-1]
        return float(np.sqrt(max(0.0, 1 - min(cosine, 1.0) ** 2)))

    return np.array([(sine(source, d) + sine(target, d)) / 2 for d in range(1, most + 1)])


def _align(domains: Domains) -> "tuple[Array, Array]":
    """Take the least dimension at which the subspaces disagree as much as they can.

    The rule is published and needs no label; where they never do, it is where they do most. A
    subspace has at most half the dimensions of the features.
    """
    import numpy as np

    most = max(1, min(_MOST_DIMENSIONS, domains.source.shape[1] // 2))
    pooled = np.concatenate([domains.source, domains.target])
    source, target, both = (
        principal_directions(videos, most) for videos in (domains.source, domains.target, pooled)
    )
    measure = disagreement(source, target, both)
    far = np.flatnonzero(measure >= _FURTHEST)
    d = int(far[0] if len(far) else measure.argmax()) + 1
    flow = geodesic_flow(source[:, :d], target[:, :d])
    return flow, flow


register_closed_form("gfk", "GFK", "Gong et al., CVPR 2012", _align)
