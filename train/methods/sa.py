"""Subspace alignment: the source's principal directions are turned onto those of the target.

Shapes: D feature width, d dimension of both subspaces.
"""

from typing import TYPE_CHECKING, Any

from ta3n.train.methods.base import Method
from ta3n.train.methods.closed_form import ClosedForm, Domains, principal_directions
from ta3n.train.methods.registry import register_method

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

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


SA_NN = register_method(
    Method(
        name="sa-nn",
        label="SA + nearest neighbour",
        source="Fernando et al., ICCV 2013",
        temporal="pooling",
        closed_form=ClosedForm(name="sa-nn", align=_align, classifier="nearest"),
    )
)
SA_SVM = register_method(
    Method(
        name="sa-svm",
        label="SA + SVM",
        source="Fernando et al., ICCV 2013",
        temporal="pooling",
        closed_form=ClosedForm(name="sa-svm", align=_align, classifier="svm"),
    )
)
