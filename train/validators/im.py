"""Information maximisation: certain predictions, spread over the classes.

Shapes: N target videos, C classes.

Source: Shi and Sha 2012, "Information-Theoretical Learning of Discriminative Clusters for
Unsupervised Domain Adaptation": the mutual information of videos and predicted classes.
"""

import torch
from torch import Tensor

from ta3n.train.validators.entropy import negative_entropy


def information_maximisation(logits: Tensor) -> float:
    """Return H(1/N sum_i p_i) - 1/N sum_i H(p_i), between 0 and ln C.

    ln C takes certain predictions, equally many for each class. Equal predictions for all videos
    score 0, however certain they are.

    Args:
        logits: [N, C], at least one video.
    """
    mean_prediction = logits.softmax(dim=1).mean(dim=0)
    return float(torch.special.entr(mean_prediction).sum()) + negative_entropy(logits)
