"""Information maximisation: certain predictions, spread over the classes.

Shapes: N target videos, C classes.

Source: Shi and Sha 2012, "Information-Theoretical Learning of Discriminative Clusters for
Unsupervised Domain Adaptation": the mutual information of videos and predicted classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ta3n.train.validators.base import validator
from ta3n.train.validators.entropy import negative_entropy

if TYPE_CHECKING:
    from torch import Tensor


@validator(
    name="im",
    place=3,
    description="certain target predictions that are spread over the classes",
    citation="Shi and Sha, Information-Theoretical Learning, ICML 2012",
)
def information_maximisation(target_logits: Tensor) -> float:
    """Return H(1/N sum_i p_i) - 1/N sum_i H(p_i), between 0 and ln C.

    ln C takes certain predictions, equally many for each class. Equal predictions for all videos
    score 0, however certain they are.

    Args:
        target_logits: [N, C], at least one video.
    """
    import torch

    mean_prediction = target_logits.softmax(dim=1).mean(dim=0)
    return float(torch.special.entr(mean_prediction).sum()) + negative_entropy(target_logits)
