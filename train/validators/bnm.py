"""Nuclear norm of the matrix of target predictions.

Shapes: target_logits [N, C], N target videos, at least one, and C classes.

Source: Cui et al. 2020, "Towards Discriminability and Diversity: Batch Nuclear-norm Maximization
under Label Insufficient Situations", whose loss is the negative of this; as a validator in Musgrave
et al. 2022, "Three New Validators and a Large-Scale Benchmark Ranking".
"""

from ta3n.train.validators.base import Tensor, Validator


def nuclear_norm(target_logits: Tensor) -> float:
    """Return 1/N ||P||_*, the sum of the singular values of P = softmax(logits), [N, C].

    The norm is large for certain predictions (large rows) over many classes (high rank). It is at
    most sqrt(min(N, C) / N): compare it only between epochs of the same videos.
    """
    import torch

    singular_values: Tensor = torch.linalg.svdvals(target_logits.softmax(dim=1))
    return float(singular_values.sum()) / len(target_logits)


RULE = Validator(
    name="bnm",
    place=5,
    description="large nuclear norm of the target predictions: certain and diverse",
    citation="Cui et al., Batch Nuclear-norm Maximization, CVPR 2020",
    compute=nuclear_norm,
)
