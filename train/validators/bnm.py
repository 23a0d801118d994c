"""Nuclear norm of the matrix of target predictions.

Shapes: N target videos, C classes.

Source: Cui et al. 2020, "Towards Discriminability and Diversity: Batch Nuclear-norm Maximization
under Label Insufficient Situations", whose loss is the negative of this; as a validator in Musgrave
et al. 2022, "Three New Validators and a Large-Scale Benchmark Ranking".
"""

import torch
from torch import Tensor


def nuclear_norm(logits: Tensor) -> float:
    """Return 1/N ||P||_*, the sum of the singular values of P = softmax(logits), [N, C].

    The norm is large for certain predictions (large rows) over many classes (high rank). It is at
    most sqrt(min(N, C) / N): compare it only between epochs of the same videos.

    Args:
        logits: [N, C], at least one video, finite.
    """
    singular_values: Tensor = torch.linalg.svdvals(logits.softmax(dim=1))
    return float(singular_values.sum()) / len(logits)
