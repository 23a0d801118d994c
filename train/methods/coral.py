"""CORAL: the covariances of the video features of both domains are made equal.

Shapes: B_S source and B_T target videos, V feature width, C classes. S and T are the unbiased
covariances of source and target, [V, V], and |.| is the Frobenius norm.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from ta3n.train.methods.base import Method, Term, Weight
from ta3n.train.methods.registry import register_method

if TYPE_CHECKING:
    from torch import Tensor

    from ta3n.train.loop.objective import Step


def coral(source: "Tensor", target: "Tensor") -> "Tensor":
    """Return |S - T|^2 / (4 V^2): Sun and Saenko, ECCV Workshops 2016, equation 1.

    Args:
        source: [B_S, V].
        target: [B_T, V].
    """
    return _difference(source, target).square().sum() / (4 * source.shape[-1] ** 2)


def coral_with_means(source: "Tensor", target: "Tensor") -> "Tensor":
    """Return the mean of (S - T)^2 plus that of the squared difference of the mean features.

    The form of the Transfer Learning Library: four times the paper's, and the term of the means.
    """
    means = source.mean(dim=0) - target.mean(dim=0)  # [V]
    return 4 * coral(source, target) + means.square().mean()


def coral_root(source: "Tensor", target: "Tensor") -> "Tensor":
    """Return |S - T| / (4 V^2), as in ATDOC's program.

    Its gradient is as long for a small difference as for a large one, and zero instead of infinite
    where there is none.
    """
    distance: Tensor = _difference(source, target).norm()
    return distance / (4 * source.shape[-1] ** 2)


def classified_coral(source: "Tensor", target: "Tensor", classifier: "Tensor") -> "Tensor":
    """Return |S - T|^2 of features in the unit of the logits that the classifier makes of them.

    The features are multiplied by the root mean squared length of a row of the classifier. Features
    c times as large under a classifier c times as small, which predict the same, have the same
    value, and a wider feature counts by what reaches the logits: one weight serves all widths. With
    a covariance relative to its own size instead, features grow without bound or vanish.

    Args:
        source: [B_S, V].
        target: [B_T, V].
        classifier: weight of the classifier, a constant, [C, V].
    """
    unit = classifier.detach().square().sum(dim=-1).mean()  # squared
    return (unit * _difference(source, target)).square().sum()


def _difference(source: "Tensor", target: "Tensor") -> "Tensor":
    """Return S - T, [V, V]; zero where a domain has a single video, which has no covariance.

    A zero covariance in its place would ask the other domain to have none: one video that was left
    in the last batch of each epoch made all features alike.
    """
    difference = _covariance(source) - _covariance(target)
    return difference if min(len(source), len(target)) > 1 else 0 * difference


def _covariance(features: "Tensor") -> "Tensor":
    """Return the unbiased covariance, [B, V] to [V, V]."""
    centred = features - features.mean(dim=0)
    return centred.mT @ centred / max(len(features) - 1, 1)


def _classified(step: "Step") -> "Tensor":
    classifier = step.classifier.weight
    return classified_coral(step.source_features, step.target_features, classifier)


def _of_features(objective: "Callable[[Tensor, Tensor], Tensor]") -> "Callable[[Step], Tensor]":
    def loss(step: "Step") -> "Tensor":
        return objective(step.source_features, step.target_features)

    return loss


def _register(
    name: str,
    label: str,
    source: str,
    loss: "Callable[[Step], Tensor]",
    default: float,
    origin: str,
) -> Method:
    term = name.replace("-", "_")
    weight = Weight(
        name=term, default=default, about=f"of the covariances of {label}", origin=origin
    )
    terms = (Term(name=term, label=label, loss=loss, weight=weight, sources="pairs", fewest=2),)
    return register_method(Method(name=name, label=label, source=source, terms=terms))


CORAL = _register(
    "coral",
    "CORAL",
    "after Sun and Saenko, ECCV-W 2016; features in the unit of the logits",
    _classified,
    1e-4,
    "ours: acts like coral_paper at 100 on the demonstration, without depending on scale and width",
)
CORAL_PAPER = _register(
    "coral-paper",
    "CORAL of the paper",
    "Sun and Saenko, ECCV-W 2016, equation 1",
    _of_features(coral),
    100.0,
    "ours: for relation features of width 256",
)
CORAL_MEAN = _register(
    "coral-mean",
    "CORAL with means",
    "Transfer Learning Library",
    _of_features(coral_with_means),
    25.0,
    "ours: a quarter of coral_paper, which it counts fourfold",
)
CORAL_ROOT = _register(
    "coral-root",
    "CORAL with a root",
    "the program of ATDOC",
    _of_features(coral_root),
    3000.0,
    "ours: about the gradient of coral_paper at the end of a run",
)
