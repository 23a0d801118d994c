"""Label smoothing: classification whose targets give a little to every class.

The term is what smoothing adds to the classification, so that its weight is epsilon and the total
is the smoothed loss.

Shapes: B source videos, C classes.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from ta3n.train.methods.base import Method, Term, Weight
from ta3n.train.methods.registry import register_method

if TYPE_CHECKING:
    from torch import Tensor

    from ta3n.train.loop.objective import Step


def smoothing(logits: "Tensor", labels: "Tensor") -> "Tensor":
    """Return the cross-entropy to all classes alike minus that to the labels.

    The cross-entropy plus epsilon times this has targets of (1 - epsilon) for the label, and
    epsilon / C for every class: Szegedy et al. (2016), section 7.

    Args:
        logits: [B, C].
        labels: int64 [B].
    """
    log_predicted = logits.log_softmax(dim=-1)
    own = log_predicted.gather(-1, labels.unsqueeze(-1)).squeeze(-1)  # [B]
    return (own - log_predicted.mean(dim=-1)).mean()


def smoothing_of_others(logits: "Tensor", labels: "Tensor") -> "Tensor":
    """Return the same with epsilon / C for the other classes alone: Transfer Learning Library.

    The targets then sum to 1 - epsilon / C.
    """
    log_predicted = logits.log_softmax(dim=-1)
    own = log_predicted.gather(-1, labels.unsqueeze(-1)).squeeze(-1)
    return smoothing(logits, labels) + own.mean() / logits.shape[-1]


_EPSILON = Weight(
    name="smoothing",
    default=0.1,
    about="epsilon of label smoothing",
    origin="published, also for SHOT and ATDOC",
)


def _register(
    name: str, label: str, source: str, objective: "Callable[[Tensor, Tensor], Tensor]"
) -> None:
    def loss(step: "Step") -> "Tensor":
        added = objective(step.source_logits, step.labels)
        if step.output.second_logits is None:
            return added
        return added + objective(step.output.second_logits[: step.num_source], step.labels)

    term = Term(
        name=name.replace("-", "_"),
        label=label.lower(),
        loss=loss,
        weight=_EPSILON,
        uses_target=False,
    )
    register_method(Method(name=name, label=label, source=source, terms=(term,)))


_register("label-smoothing", "Label smoothing", "Szegedy et al., CVPR 2016", smoothing)
_register(
    "label-smoothing-others",
    "Label smoothing over the others",
    "Transfer Learning Library",
    smoothing_of_others,
)
