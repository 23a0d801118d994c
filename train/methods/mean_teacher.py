"""Mean teacher: predictions that agree with those of the moving average of the weights.

Shapes: B_T target videos, C classes.

Sources: Tarvainen and Valpola, "Mean teachers are better role models", NeurIPS 2017; French et al.,
"Self-ensembling for visual domain adaptation", ICLR 2018, for the threshold and the class balance.
"""

from typing import TYPE_CHECKING

from ta3n.train.methods.base import Method, Term, Weight
from ta3n.train.methods.registry import register_method

if TYPE_CHECKING:
    from torch import Tensor

    from ta3n.train.loop.objective import Start, Step, StepContext

_MOMENTUM = 0.99
_CONFIDENCE = 0.8
_WEIGHT = 3.0
_BALANCE = 0.01


def moving_average(teacher: "Tensor", student: "Tensor", momentum: float) -> "Tensor":
    """Return the next value of a teacher's parameter."""
    return momentum * teacher + (1 - momentum) * student


def consistency(logits: "Tensor", teacher: "Tensor", mask: "Tensor") -> "Tensor":
    """Return the squared difference of predictions, 0-d.

    Args:
        logits: of the student, [B_T, C].
        teacher: logits of the teacher, [B_T, C].
        mask: of the videos that count, [B_T]; the mean is over all.
    """
    difference = logits.softmax(dim=-1) - teacher.softmax(dim=-1)
    return (mask * difference.square().sum(dim=-1)).mean()


def class_balance(logits: "Tensor") -> "Tensor":
    """Return the binary cross-entropy of the mean prediction with 1/C, a mean over classes, 0-d.

    Args:
        logits: [B_T, C].
    """
    import torch
    from torch.nn import functional as F

    mean = logits.softmax(dim=-1).mean(dim=0)
    return F.binary_cross_entropy(mean, torch.full_like(mean, 1 / len(mean)))


def _start(begin: "Start") -> "dict[str, Tensor]":
    return dict(begin.model.named_parameters())


def _after_step(context: "StepContext") -> "dict[str, Tensor]":
    student = dict(context.model.named_parameters())
    return {
        name: moving_average(teacher, student[name], _MOMENTUM)
        for name, teacher in context.state.items()
    }


def _loss(step: "Step") -> "Tensor":
    teacher = step.evaluate_target(step.state).logits
    mask = (teacher.softmax(dim=-1).amax(dim=-1) > _CONFIDENCE).to(teacher)
    balance = mask.mean() * class_balance(step.target_logits)
    return consistency(step.target_logits, teacher, mask) + _BALANCE / _WEIGHT * balance


MEAN_TEACHER = Term(
    name="consistency_teacher",
    label="agreement with a mean teacher",
    loss=_loss,
    uses_source=False,
    weight=Weight(
        name="mean_teacher",
        default=_WEIGHT,
        about="of the agreement with a mean teacher",
        origin="published",
    ),
    start=_start,
    after_step=_after_step,
    # What it keeps is a model, with all its heads.
    heads="each",
)

register_method(
    Method(
        name="mean-teacher",
        label="Mean teacher",
        source="Tarvainen and Valpola, NeurIPS 2017; French et al., ICLR 2018",
        terms=(MEAN_TEACHER,),
    )
)
