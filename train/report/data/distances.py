"""How far apart two sets of video features lie, in numbers.

Legend: M and N videos, V feature width.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

Array = NDArray[np.float32]

_FOLDS = 5


@dataclass(frozen=True, kw_only=True)
class DomainDistance:
    """Two measures of the same gap; both are 0 where the domains cannot be told apart.

    Attributes:
        proxy_a: Proxy A-distance, 0 to 2.
        mmd2: Unbiased squared maximum mean discrepancy; may fall slightly below 0.
    """

    proxy_a: float
    mmd2: float


def domain_distance(source: Array, target: Array) -> DomainDistance | None:
    """Measure how well source [M, V] and target [N, V] can be told apart.

    Returns:
        The distances, or None where a domain has fewer than two videos.
    """
    if min(len(source), len(target)) < 2:
        return None
    return DomainDistance(proxy_a=proxy_a_distance(source, target), mmd2=mmd2(source, target))


def proxy_a_distance(source: Array, target: Array) -> float:
    """Return 2 (1 - 2 e) with e the error of a linear domain classifier on held-out videos.

    Of Ben-David et al., "Analysis of Representations for Domain Adaptation" (2006). Each video is
    judged by a classifier that did not see it; e is the mean of both domains' errors, so that a
    larger domain counts no more. An error above chance counts as chance.

    Args:
        source: [M, V], at least 2.
        target: [N, V], at least 2.
    """
    features = np.concatenate([source, target])
    domains = np.repeat([0, 1], [len(source), len(target)])
    folds = StratifiedKFold(min(_FOLDS, len(source), len(target)), shuffle=True, random_state=0)
    classifier = make_pipeline(
        StandardScaler(), LogisticRegression(max_iter=1000, class_weight="balanced")
    )
    judged = cross_val_predict(classifier, features, domains, cv=folds)
    error = 1 - balanced_accuracy_score(domains, judged)
    return float(max(0.0, 2 * (1 - 2 * error)))


def mmd2(source: Array, target: Array) -> float:
    """Return the unbiased squared MMD with the kernel exp(-d² / 2 s²), s the median distance.

    Of Gretton et al., "A Kernel Two-Sample Test" (2012), lemma 6; the median is that of all pairs
    of different videos of both domains.

    Args:
        source: [M, V], at least 2.
        target: [N, V], at least 2.
    """
    together = np.concatenate([source, target]).astype(np.float64)
    squared = euclidean_distances(together, squared=True)
    upper = squared[np.triu_indices(len(together), k=1)]
    # Equal features everywhere have no scale; any will do then.
    scale = float(np.median(upper)) or 1.0
    kernel = np.exp(-squared / (2 * scale))
    m = len(source)
    return float(_off_diagonal(kernel[:m, :m]) + _off_diagonal(kernel[m:, m:])) - 2 * float(
        kernel[:m, m:].mean()
    )


def _off_diagonal(kernel: NDArray[np.float64]) -> float:
    n = len(kernel)
    return float((kernel.sum() - np.trace(kernel)) / (n * (n - 1)))
