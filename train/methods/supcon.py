"""Supervised contrastive alignment: videos of one class agree, whatever their domain.

The classes are labels of the source, and what the model is sure of in the target.

Shapes: B items (videos, or views of them), F feature width.
"""

from typing import TYPE_CHECKING

from ta3n.train.methods.base import Method, Term, Weight
from ta3n.train.methods.pct import unit
from ta3n.train.methods.registry import register_method

if TYPE_CHECKING:
    from torch import Tensor

    from ta3n.train.loop.objective import Step

BASE_TEMPERATURE = 0.07
THRESHOLD = 0.7
_NEVER = -1e30


def supervised_contrastive(
    items: "Tensor", classes: "Tensor", taking_part: "Tensor", temperature: float
) -> "Tensor":
    """Return how surprising an item's own class is among all others, mean over the items.

    -mean over i of mean over j of the same class of log softmax_j(z_i . z_j / T), j other than i,
    times T / 0.07. An item that is alone in its class is no anchor; without any anchor it is 0.

    Args:
        items: z, [B, F].
        classes: int64 [B].
        taking_part: bool [B]; the others are as if they were not there.
        temperature: T.
    """
    import torch

    similarity = items @ items.T / temperature  # [B, B]
    itself = torch.eye(len(items), dtype=torch.bool, device=items.device)
    others = taking_part & ~itself
    logarithms = similarity - similarity.masked_fill(~others, _NEVER).logsumexp(dim=1, keepdim=True)
    positive = (others & (classes[:, None] == classes)).to(items)
    count = positive.sum(dim=1)
    each = (positive * logarithms.masked_fill(~others, 0)).sum(dim=1) / count.clamp_min(1)
    anchors = (taking_part & (count > 0)).to(items)
    mean = (anchors * each).sum() / anchors.sum().clamp_min(1)
    return -mean * temperature / BASE_TEMPERATURE


def _classes(step: "Step") -> "tuple[Tensor, Tensor]":
    """Return the classes of source and target, and which of them are sure."""
    import torch

    surest, classes = step.target_logits.detach().softmax(dim=1).max(dim=1)
    known = torch.ones_like(step.labels, dtype=torch.bool)
    return torch.cat([step.labels, classes]), torch.cat([known, surest > THRESHOLD])


def _of_features(step: "Step") -> "Tensor":
    features = unit(step.output.video_features)
    return supervised_contrastive(features, *_classes(step), BASE_TEMPERATURE)


def _of_predictions(step: "Step") -> "Tensor":
    predictions = step.output.logits.softmax(dim=1)
    return supervised_contrastive(predictions, *_classes(step), 0.5)


SUPCON = Term(
    name="supervised_contrastive",
    label="supervised contrast of features",
    loss=_of_features,
    weight=Weight(
        name="supcon",
        default=0.1,
        about="of the supervised contrast of unit features, temperature 0.07",
        origin="by im on rendered clips, of 0.1 and 0.3",
    ),
)

register_method(
    Method(
        name="supcon",
        label="SupCon",
        source="Khosla et al., NeurIPS 2020, over both domains",
        terms=(SUPCON,),
    )
)

COMIX = Term(
    name="supervised_contrastive_comix",
    label="supervised contrast of predictions",
    loss=_of_predictions,
    weight=Weight(
        name="supcon_comix",
        default=0.003,
        about="of the supervised contrast of predictions, temperature 0.5",
        origin="by im on rendered clips; the authors' 0.01 makes it worse than none",
    ),
)

register_method(
    Method(
        name="supcon-comix",
        label="SupCon (CoMix)",
        source="Sahoo et al., NeurIPS 2021, its contrast alone, over both domains",
        terms=(COMIX,),
    )
)
