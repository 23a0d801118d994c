"""Information maximisation: certain predictions, spread over the classes.

Shapes: target_logits [N, C], N target videos, at least one, and C classes.

Source: Shi and Sha 2012, "Information-Theoretical Learning of Discriminative Clusters for
Unsupervised Domain Adaptation": the mutual information of videos and predicted classes.
"""

from ta3n.train.validators.base import Tensor, Validator
from ta3n.train.validators.entropy import negative_entropy


def information_maximisation(target_logits: Tensor) -> float:
    """Return H(1/N sum_i p_i) - 1/N sum_i H(p_i), between 0 and ln C.

    ln C takes certain predictions, equally many for each class. Equal predictions for all videos
    score 0, however certain they are.
    """
    import torch

    mean_prediction = target_logits.softmax(dim=1).mean(dim=0)
    return float(torch.special.entr(mean_prediction).sum()) + negative_entropy(target_logits)


RULE = Validator(
    name="im",
    place=3,
    description="certain target predictions that are spread over the classes",
    citation="Shi and Sha, Information-Theoretical Learning, ICML 2012",
    compute=information_maximisation,
)
