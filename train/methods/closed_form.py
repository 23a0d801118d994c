"""Alignment in closed form: no epochs, no gradient, the same whatever the seed.

A video is the mean of its frames. An alignment is a linear map of each domain; a classifier of the
mapped source videos, fitted by scikit-learn, then tells the mapped target videos. Each domain is
first brought to mean 0 and deviation 1 by itself, as the published programs do.

Shapes: N source and M target training videos, D cached feature width, E the width after the maps,
C classes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

Classifier = Literal["nearest", "svm"]
Align: TypeAlias = "Callable[[Domains], tuple[Array | None, Array | None]]"
"""Returns the matrices of source and target, [D, E] each, or none for no change."""
_ROUNDING = 1e-12
PENALTIES = (0.1, 1.0, 10.0)
"""Values of the linear SVM's C, for videos of mean squared length 1."""


@dataclass(frozen=True, kw_only=True)
class DomainMap:
    """What is done to the videos of a domain: (x - mean) / scale, times a matrix if there is one.

    Args:
        mean: float64 [D].
        scale: float64 [D].
        matrix: float64 [D, E].
    """

    mean: "Array"
    scale: "Array"
    matrix: "Array | None" = None

    def __call__(self, videos: "Array") -> "Array":
        """Map videos [N, D] to [N, E]."""
        scaled = (videos - self.mean) / self.scale
        return scaled if self.matrix is None else scaled @ self.matrix


@dataclass(frozen=True, kw_only=True)
class Domains:
    """What an alignment may look at.

    Args:
        source: standardised by its own mean and deviation, float64 [N, D].
        target: likewise, [M, D].
        accuracy: of the classifier on held-out halves of the source, in twofold cross-validation,
            when given the mapped source videos [N, E].
    """

    source: "Array"
    target: "Array"
    accuracy: "Callable[[Array], float]"


@dataclass(frozen=True, kw_only=True)
class ClosedForm:
    """A method without epochs.

    Args:
        name: that of its method.
        align: none standardises both domains by the source alone.
        classifier: the nearest source video decides, or a linear SVM, one class against the others.
    """

    name: str
    align: "Align | None"
    classifier: Classifier


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """What is left of a closed form once it was fitted.

    Args:
        source: what is done to source videos.
        target: what is done to target videos.
        classifier: mapped source videos [N, E] and their classes, int64 [N], for the nearest one;
            weights [C, E] and biases [C] of an SVM.
    """

    source: DomainMap
    target: DomainMap
    classifier: "tuple[Array, Array]"


def fit(
    form: ClosedForm, source: "Array", labels: "Array", target: "Array", num_classes: int
) -> Fitted:
    """Align two domains, and fit the classifier on the source.

    Args:
        form: how.
        source: float [N, D].
        labels: int64 [N].
        target: [M, D].
        num_classes: C.
    """
    import numpy as np

    source, target = source.astype(np.float64), target.astype(np.float64)
    own = standardiser(source)
    if form.align is None:
        maps = own, own
    else:
        of_target = standardiser(target)
        domains = Domains(
            source=own(source),
            target=of_target(target),
            accuracy=lambda videos: _cross_validated(form.classifier, videos, labels)[0],
        )
        matrices = form.align(domains)
        maps = (
            DomainMap(mean=own.mean, scale=own.scale, matrix=matrices[0]),
            DomainMap(mean=of_target.mean, scale=of_target.scale, matrix=matrices[1]),
        )
    mapped = maps[0](source)
    if form.classifier == "nearest":
        return Fitted(source=maps[0], target=maps[1], classifier=(mapped, labels))
    _, penalty = _cross_validated("svm", mapped, labels)
    machine = _svm(mapped, labels, penalty, num_classes)
    return Fitted(source=maps[0], target=maps[1], classifier=machine)


def standardiser(videos: "Array") -> DomainMap:
    """Return the map of videos [N, D] to mean 0 and deviation 1; what is constant stays 0."""
    import numpy as np

    scale = videos.std(axis=0)
    # Of equal numbers the mean, and so the deviation, is off by rounding.
    varies = scale > _ROUNDING * np.abs(videos).max(axis=0)
    return DomainMap(mean=videos.mean(axis=0), scale=np.where(varies, scale, 1.0))


def principal_directions(videos: "Array", most: int) -> "Array":
    """Return the directions of the largest variance, orthonormal [D, d], d at most `most`.

    Args:
        videos: of mean 0, [N, D].
        most: how many are wanted; there are at most as many as the videos span.
    """
    import numpy as np

    _, deviations, directions = np.linalg.svd(videos, full_matrices=False)
    spanned = int((deviations > 1e-10 * max(deviations[0], 1e-300)).sum())
    kept: Array = directions[: max(1, min(most, spanned))].T
    return kept


def _cross_validated(
    classifier: Classifier, items: "Array", labels: "Array"
) -> tuple[float, float]:
    """Return the best accuracy of two halves of the source, and the penalty that it is of."""
    import numpy as np

    second = _second_half(labels)
    best = (-1.0, PENALTIES[0])
    for penalty in PENALTIES if classifier == "svm" else PENALTIES[:1]:
        hits = 0
        for held_out in (second, ~second):
            if held_out.all() or not held_out.any():
                continue
            told = _predict(
                classifier, items[~held_out], labels[~held_out], items[held_out], penalty
            )
            hits += int(np.sum(told == labels[held_out]))
        best = max(best, (hits / len(labels), penalty), key=lambda each: each[0])
    return best


def _second_half(labels: "Array") -> "Array":
    """Return which videos are of the second half of their class, every other one: bool [N]."""
    import numpy as np

    half = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        half[np.flatnonzero(labels == label)[1::2]] = True
    return half


def _predict(
    classifier: Classifier, items: "Array", labels: "Array", others: "Array", penalty: float
) -> "Array":
    import numpy as np

    if classifier == "svm":
        count = int(labels.max()) + 1
        weights, biases = _svm(items, labels, penalty, count)
        told: Array = (others @ weights.T + biases).argmax(axis=1)
        return told
    from sklearn.neighbors import KNeighborsClassifier

    return np.asarray(KNeighborsClassifier(1).fit(items, labels).predict(others))


_LEAST_LENGTH = 1e-12
ABSENT = -1e30
"""Score of a class that no source video is of."""


def _svm(
    items: "Array", labels: "Array", penalty: float, num_classes: int
) -> "tuple[Array, Array]":
    """Return weights [C, E] and biases [C] of a linear SVM, one class against the others."""
    import numpy as np
    from sklearn.svm import LinearSVC

    weights, biases = np.zeros((num_classes, items.shape[1])), np.full(num_classes, ABSENT)
    present = np.unique(labels)
    if len(present) == 1:
        biases[present] = 0.0
        return weights, biases
    # The weights lie in the span of the items, whose coordinates are fewer where videos are.
    _, _, axes = np.linalg.svd(items, full_matrices=False)
    axes = axes / max(np.sqrt(np.square(items).sum(axis=1).mean()), _LEAST_LENGTH)
    # Solved in the primal, which draws no random numbers.
    machine = LinearSVC(C=penalty, dual=False).fit(items @ axes.T, labels)
    found, offsets = machine.coef_ @ axes, machine.intercept_
    if len(present) == 2:
        found, offsets = np.concatenate([-found, found]), np.concatenate([-offsets, offsets])
    weights[present], biases[present] = found, offsets
    return weights, biases
