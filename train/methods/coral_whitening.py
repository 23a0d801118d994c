"""CORAL: the source is whitened, and coloured with the covariance of the target.

Shapes: N items, D feature width.
"""

from typing import TYPE_CHECKING, Any

from ta3n.train.methods.base import Method
from ta3n.train.methods.closed_form import ClosedForm, Domains
from ta3n.train.methods.registry import register_method

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


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


CORAL_NN = register_method(
    Method(
        name="coral-whitening-nn",
        label="CORAL whitening + nearest neighbour",
        source="Sun et al., AAAI 2016",
        temporal="pooling",
        closed_form=ClosedForm(name="coral-whitening-nn", align=_align, classifier="nearest"),
    )
)
CORAL_SVM = register_method(
    Method(
        name="coral-whitening-svm",
        label="CORAL whitening + SVM",
        source="Sun et al., AAAI 2016",
        temporal="pooling",
        closed_form=ClosedForm(name="coral-whitening-svm", align=_align, classifier="svm"),
    )
)
