"""Deep embedded validation: the source error, weighted so that it speaks for the target.

Shapes: S source training videos, N target videos, M held-out source videos, E feature width,
C classes.

Source: You et al. 2019, "Towards Accurate Model Selection in Deep Unsupervised Domain Adaptation",
and the authors' program, whose two-layer network as the domain classifier is a logistic regression
here: convex, hence the same for every run, and fast enough for every epoch.
"""

from ta3n.train.validators.base import Tensor, Validator


def deep_embedded_validation(
    source_features: Tensor,
    target_features: Tensor,
    held_out_features: Tensor,
    held_out_logits: Tensor,
    held_out_labels: Tensor,
) -> float:
    """Return the negative of the estimated target error.

    Args:
        source_features: [S, E], S at least 5.
        target_features: [N, E], N at least 5.
        held_out_features: [M, E], M at least 2.
        held_out_logits: [M, C].
        held_out_labels: int64 [M].
    """
    from ta3n.train.validators._domain_classifier import importance_weights

    weights = importance_weights(source_features, target_features, held_out_features)
    errors = held_out_logits.argmax(dim=1) != held_out_labels
    return 0.0 - weighted_risk(weights, errors.cpu().double())  # never -0.0


def weighted_risk(weights: Tensor, errors: Tensor) -> float:
    """Return mean(L) + eta mean(W) - eta with L_i = W_i errors_i, eta = -Cov(L, W) / Var(W).

    The control variate eta uses that weights are 1 in the mean to lower the variance. Equal weights
    tell nothing, and eta is 0.

    Args:
        weights: importance weights W, float64 [M], M at least 2.
        errors: 1 for a wrong prediction, 0 for a right one, float64 [M].
    """
    import torch

    losses = weights * errors
    covariance = torch.cov(torch.stack([losses, weights]))  # [2, 2]
    variance = covariance[1, 1]
    eta = -covariance[0, 1] / variance if variance > 0 else torch.zeros_like(variance)
    return float(losses.mean() + eta * weights.mean() - eta)


RULE = Validator(
    name="dev",
    place=6,
    description="low error on held-out source videos, weighted to look like the target",
    citation="You et al., Deep Embedded Validation, ICML 2019",
    compute=deep_embedded_validation,
    # Five leave one to check the domain classifier on, and a covariance needs two.
    fewest={"source_features": 5, "target_features": 5, "held_out_labels": 2},
)
