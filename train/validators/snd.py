"""Soft neighbourhood density of the target predictions.

Shapes: target_logits [N, C], N target videos, at least one, and C classes.

Source: Saito et al. 2021, "Tune it the Right Way: Unsupervised Validation of Domain Adaptation via
Soft Neighborhood Density", and the authors' program, which compares softmax outputs.
"""

from ta3n.train.validators.base import Tensor, Validator

TEMPERATURE = 0.05
_ROWS = 1024  # bounds the memory: one block of similarities is [1024, N]


def soft_neighbourhood_density(target_logits: Tensor) -> float:
    """Return 1/N sum_i H(q_i), between 0 and ln N.

    With u_i = p_i / |p_i| and p_i = softmax(logits_i), the similarity distribution of a video is
    q_i = softmax_j(u_i . u_j / 0.05). A video is no neighbour of its own: as in the authors'
    program its own similarity counts as -1, the least there is. The entropy is high where many
    videos are equally near. One class for all videos gives the highest score, as the paper says.
    A single video scores 0.
    """
    import torch
    import torch.nn.functional as F

    from ta3n.train.losses.entropy import entropy

    directions = F.normalize(target_logits.softmax(dim=1), dim=1)
    total = 0.0
    for start in range(0, len(directions), _ROWS):
        block = directions[start : start + _ROWS]
        similarities = block @ directions.T  # [rows, N]
        own = torch.arange(len(block), device=block.device)
        similarities[own, start + own] = -1.0
        total += float(entropy(similarities / TEMPERATURE).sum())
    return total / len(directions)


RULE = Validator(
    name="snd",
    place=4,
    description="target predictions with many close neighbours; fooled by a single class",
    citation="Saito et al., Tune it the Right Way, ICCV 2021",
    compute=soft_neighbourhood_density,
)
