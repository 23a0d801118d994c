"""Entropy minimisation and its relatives on the predictions of the target.

Shapes: B target videos, C classes.
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from ta3n.train.methods.base import Method, Term, Weight
from ta3n.train.methods.registry import register_method
from ta3n.train.methods.switches import TARGET_ENTROPY

if TYPE_CHECKING:
    from torch import Tensor

    from ta3n.train.loop.objective import Step

_EPSILON = 1e-5


def smoothed_entropy(logits: "Tensor", epsilon: float = _EPSILON) -> "Tensor":
    """Return the mean of -sum p log(p + epsilon): the Transfer Learning Library and SHOT.

    Args:
        logits: [B, C].
        epsilon: keeps the logarithm finite.
    """
    predicted = logits.softmax(dim=-1)
    return -(predicted * (predicted + epsilon).log()).sum(dim=-1).mean()


def entropy_per_class(logits: "Tensor") -> "Tensor":
    """Return the mean entropy over C, as in the programs of TransferAttn and MA2L-TD."""
    from ta3n.train.losses.entropy import entropy

    return entropy(logits).mean() / logits.shape[-1]


def relative_entropy(logits: "Tensor") -> "Tensor":
    """Return the mean entropy over ln C, between 0 and 1, with ATDOC's epsilon.

    Of a single class it is the entropy, which is 0 but for the epsilon, as ln C is.
    """
    num_classes = logits.shape[-1]
    return smoothed_entropy(logits) / (math.log(num_classes) if num_classes > 1 else 1.0)


def mean_prediction_entropy(logits: "Tensor") -> "Tensor":
    """Return minus the entropy of the mean prediction: small where all classes are predicted.

    Written with logarithms of probabilities, so that a class that is never predicted adds zero.
    """
    log_mean = logits.log_softmax(dim=-1).logsumexp(dim=0) - math.log(len(logits))  # [C]
    return (log_mean.exp() * log_mean).sum()


def class_balance(logits: "Tensor", epsilon: float = 1e-6) -> "Tensor":
    """Return the cross-entropy of the uniform distribution to the mean prediction, as with MCD."""
    return -(logits.softmax(dim=-1).mean(dim=0) + epsilon).log().mean()


def maximum_square(logits: "Tensor") -> "Tensor":
    """Return minus the mean norm of a prediction, between -1 and -1 / sqrt(C): ATDOC's program."""
    norms: Tensor = logits.softmax(dim=-1).norm(dim=-1)  # [B]
    return -norms.mean()


ENTROPY = register_method(
    Method(
        name="entropy",
        label="Entropy",
        source="Grandvalet and Bengio, NIPS 2004",
        terms=(TARGET_ENTROPY,),
    )
)


def _register(
    name: str,
    label: str,
    source: str,
    objective: "Callable[[Tensor], Tensor]",
    default: float = 0.1,
    origin: str = "that of the entropy in the Transfer Learning Library's AFN",
) -> None:
    def loss(step: "Step") -> "Tensor":
        return objective(step.target_logits)

    term = name.replace("-", "_")
    weight = Weight(name=term, default=default, about=f"of the {label}", origin=origin)
    register_method(
        Method(
            name=name,
            label=label.capitalize(),
            source=source,
            terms=(Term(name=term, label=label, loss=loss, weight=weight, uses_source=False),),
        )
    )


_LIBRARY = "Transfer Learning Library"
_register("entropy-smoothed", "smoothed entropy", _LIBRARY, smoothed_entropy)
_register(
    "entropy-per-class",
    "entropy per class",
    "the programs of TransferAttn and MA2L-TD",
    entropy_per_class,
    1.0,
    "ours: that of an entropy of 0.1, times about ten classes",
)
_register("entropy-relative", "relative entropy", "the program of ATDOC", relative_entropy)
_register(
    "max-square",
    "maximum square",
    "the program of ATDOC",
    maximum_square,
    1.0,
    "ours: the loss as it is",
)
_register(
    "diversity",
    "diversity of predictions",
    "the diversity loss of pytorch-adapt",
    mean_prediction_entropy,
)
_register(
    "class-balance",
    "class balance",
    "MCD in the Transfer Learning Library",
    class_balance,
    0.01,
    "published with MCD",
)
