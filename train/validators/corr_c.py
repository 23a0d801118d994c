"""Class correlation: how little the predicted classes are confused, and how evenly they are used.

Shapes: target_logits [N, C], N target videos, at least one, and C classes.

Source: Tu et al. 2022, "Assessing Model Out-of-Distribution Generalization with Softmax Prediction
Probability Baselines and a Correlation Method" (SoftmaxCorr), also called Corr-C in comparisons of
model selection.
"""

from math import sqrt

from ta3n.train.validators.base import Tensor, Validator


def class_correlation(target_logits: Tensor) -> float:
    """Return cos(R, I) = tr(R) / (sqrt(C) ||R||_F) with R = P^T P / N and P = softmax(logits).

    Between 1 / sqrt(C) and 1. R[a, b] is how much of classes a and b is predicted together. It is
    a multiple of the identity, and the cosine 1, just where every prediction is certain and every
    class equally frequent; uncertain videos fill the rest of R, and a single class leaves one
    entry, so that both come down to 1 / sqrt(C). Hence higher is better, as the authors find for
    models under shift. Some published comparisons choose the smallest value instead, which prefers
    collapsed models.
    """
    predictions = target_logits.softmax(dim=1)
    correlation = predictions.T @ predictions / len(predictions)  # [C, C]
    return float(correlation.trace() / (sqrt(len(correlation)) * correlation.norm()))


RULE = Validator(
    name="corr_c",
    place=7,
    description="target predictions whose classes are not confused and equally frequent",
    citation="Tu et al. 2022, Softmax Probability Baselines and a Correlation Method",
    compute=class_correlation,
)
