"""Pseudo-labels: what the model is sure of without dropout is to hold with dropout.

Shapes: B target videos of a batch, N_T of the training data, C classes.

Sources: Sohn et al., "FixMatch", NeurIPS 2020; Zhang et al., "FlexMatch", NeurIPS 2021; Xie et al.,
"Unsupervised Data Augmentation", NeurIPS 2020. Cached features have no augmentations: the weak pass
is the model without dropout, the strong one with it.

Published programs divide by different numbers, and have names of their own here.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from ta3n.train.methods.base import Method, Term, Weight
from ta3n.train.methods.registry import register_method

if TYPE_CHECKING:
    from torch import Tensor

    from ta3n.train.loop.objective import Start, Step, StepContext

    Loss = Callable[[Tensor, Tensor], Tensor]

_THRESHOLD = 0.9
_UDA_THRESHOLD, _UDA_TEMPERATURE = 0.8, 0.5
_KEPT_THRESHOLD = 0.96
_FLEX_THRESHOLD = 0.95
_DISTILLED_TEMPERATURE = 2.0


def _confidence(logits: "Tensor") -> "tuple[Tensor, Tensor]":
    """Return the largest share and its class, [B] each, without gradient."""
    confidence, label = logits.detach().softmax(dim=-1).max(dim=-1)
    return confidence, label


def labelled_loss(
    strong: "Tensor", weak: "Tensor", threshold: "float | Tensor", *, inclusive: bool = False
) -> "Tensor":
    """Return the cross-entropy with labels that are sure enough, divided by all videos, 0-d.

    Args:
        strong: logits that learn, [B, C].
        weak: logits that label, [B, C]; they get no gradient.
        threshold: of all videos, or of each, [B].
        inclusive: whether the threshold itself is sure enough.
    """
    from torch.nn import functional as F

    confidence, label = _confidence(weak)
    kept = confidence >= threshold if inclusive else confidence > threshold
    return (F.cross_entropy(strong, label, reduction="none") * kept).mean()


def kept_loss(strong: "Tensor", weak: "Tensor", threshold: float) -> "Tensor":
    """Return `labelled_loss` divided by the videos that are sure enough; 0 where there are none."""
    from torch.nn import functional as F

    confidence, label = _confidence(weak)
    kept = confidence > threshold
    each = F.cross_entropy(strong, label, reduction="none")
    return (each * kept).sum() / kept.sum().clamp(min=1)


def uda_loss(strong: "Tensor", weak: "Tensor", threshold: float, temperature: float) -> "Tensor":
    """Return KL(weak || strong) of sure videos, divided by their number, 0-d.

    Args:
        strong: logits that learn, [B, C]; divided by the temperature.
        weak: logits that are learned from, [B, C]; they get no gradient.
        threshold: of the weak share.
        temperature: below 1 sharpens what learns.
    """
    kept = _confidence(weak)[0] > threshold
    each = _divergence(weak, strong / temperature)
    return (each * kept).sum() / kept.sum().clamp(min=1)


def distillation_loss(student: "Tensor", teacher: "Tensor", temperature: float) -> "Tensor":
    """Return the mean KL(teacher || student), both at a temperature, without its square, 0-d.

    Args:
        student: logits that learn, [B, C].
        teacher: logits that are learned from, [B, C]; they get no gradient.
        temperature: above 1 softens both.
    """
    return _divergence(teacher / temperature, student / temperature).mean()


def _divergence(first: "Tensor", second: "Tensor") -> "Tensor":
    """Return KL(first || second) of logits [B, C] as [B]; the first get no gradient."""
    wanted = first.detach().log_softmax(dim=-1)
    return (wanted.exp() * (wanted - second.log_softmax(dim=-1))).sum(dim=-1)


def class_thresholds(
    labels: "Tensor", num_classes: int, threshold: float, *, warm_up: bool
) -> "Tensor":
    """Return FlexMatch's threshold of each class, [C]: low where few videos were ever sure.

    Args:
        labels: last sure label of every target video, int64 [N_T], -1 where none was.
        num_classes: C.
        threshold: of a class that is learned.
        warm_up: whether videos without a label count as a class of their own.
    """
    import torch

    classes = torch.arange(num_classes, device=labels.device)
    counts = (labels.unsqueeze(-1) == classes).sum(dim=0)  # [C]
    largest = counts.max()
    if warm_up:
        largest = torch.maximum(largest, (labels < 0).sum())
    learned = counts / largest.clamp(min=1)
    return threshold * learned / (2 - learned)


def sure_labels(labels: "Tensor", weak: "Tensor", indices: "Tensor") -> "Tensor":
    """Return the last sure label of every video, [N_T], after those of a batch [B, C]."""
    import torch

    confidence, label = _confidence(weak)
    new = torch.where(confidence > _FLEX_THRESHOLD, label, labels.gather(0, indices))
    return labels.scatter(0, indices, new)


def _by(loss: "Loss") -> "Callable[[Step], Tensor]":
    return lambda step: loss(step.target_logits, step.evaluate_target().logits)


def _flexmatch(step: "Step") -> "Tensor":
    weak = step.evaluate_target().logits
    thresholds = class_thresholds(
        step.state["labels"], weak.shape[-1], _FLEX_THRESHOLD, warm_up=True
    )
    return labelled_loss(step.target_logits, weak, thresholds.to(weak)[weak.argmax(dim=-1)])


def _start(begin: "Start") -> "dict[str, Tensor]":
    import torch

    return {"labels": torch.full((begin.num_target,), -1)}


def _after_step(context: "StepContext") -> "dict[str, Tensor]":
    weak = context.evaluate_target().logits
    return {"labels": sure_labels(context.state["labels"], weak, context.target_places)}


_WEIGHT = Weight(
    name="pseudo_label",
    default=0.1,
    about="of pseudo-labels of the target",
    origin="ours: the published 1 left one class of rendered clips",
)


def _register(name: str, label: str, source: str, loss: "Loss") -> None:
    term = Term(
        name=name.replace("-", "_") + "_target",
        label=label.lower() if name != "uda" else label,
        loss=_by(loss),
        uses_source=False,
        weight=_WEIGHT,
    )
    register_method(Method(name=name, label=label, source=source, terms=(term,)))


_register(
    "pseudo-label",
    "Pseudo-labels",
    "Sohn et al., NeurIPS 2020, equation 4",
    lambda strong, weak: labelled_loss(strong, weak, _THRESHOLD),
)
_register(
    "pseudo-label-inclusive",
    "Pseudo-labels, the threshold included",
    "Sohn et al., NeurIPS 2020, as in USB",
    lambda strong, weak: labelled_loss(strong, weak, _THRESHOLD, inclusive=True),
)
_register(
    "pseudo-label-kept",
    "Pseudo-labels, mean of the sure",
    "Wei et al., NeurIPS 2023",
    lambda strong, weak: kept_loss(strong, weak, _KEPT_THRESHOLD),
)
_register(
    "uda",
    "UDA",
    "Xie et al., NeurIPS 2020",
    lambda strong, weak: uda_loss(strong, weak, _UDA_THRESHOLD, _UDA_TEMPERATURE),
)
_register(
    "self-distillation",
    "Self-distillation",
    "Hinton et al., 2015, of the model without dropout",
    lambda strong, weak: distillation_loss(strong, weak, _DISTILLED_TEMPERATURE),
)

FLEXMATCH = Term(
    name="flexmatch_target",
    label="FlexMatch",
    loss=_flexmatch,
    uses_source=False,
    weight=_WEIGHT,
    start=_start,
    after_step=_after_step,
)

register_method(
    Method(
        name="flexmatch",
        label="FlexMatch",
        source="Zhang et al., NeurIPS 2021, section 3",
        terms=(FLEXMATCH,),
    )
)
