"""What deep embedded validation computes with: a domain classifier's weights, and their risk.

Shapes: S source and T target videos, M videos to weigh, R = S + T rows, E feature width.

Source: You et al. 2019, "Towards Accurate Model Selection in Deep Unsupervised Domain Adaptation",
and the authors' program, whose two-layer network as the domain classifier is a logistic regression
here: convex, hence the same for every run, and fast enough for every epoch.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ta3n.train.recipe.optimizers import uncompiled

# Every fifth video of a domain is kept apart to choose the weight decay.
_FOLD = 5

MOST_VIDEOS = 512
"""Of a domain with more videos, so many evenly spaced ones are used: a bound on the time."""

# From the strongest; on inputs of about unit length, whatever the feature width.
_DECAYS = (1e-1, 1e-2, 1e-3, 1e-4)
_STEPS = 10
# Below this share of the widest feature's spread, a feature is taken for constant.
_LEAST_SPREAD = 1e-6


def importance_weights(source: Tensor, target: Tensor, videos: Tensor) -> Tensor:
    """Return the density ratio target / source of videos.

    The ratio is P(target | f) / P(source | f) times S / T, with the probabilities of a logistic
    regression on standardised features. It is fitted to four fifths of the videos for each weight
    decay in turn, from the strongest, until the log loss on the last fifth no longer falls. No
    random number is drawn.

    Args:
        source: features [S, E], S at least 5.
        target: features [T, E], T at least 5.
        videos: features [M, E].

    Returns:
        Float64 [M] on the CPU, at least 0; NaN where no classifier can be fitted.
    """
    source, target = _spaced(source), _spaced(target)
    rows = torch.cat([source, target]).float()
    in_target = (torch.arange(len(rows), device=rows.device) >= len(source)).float()
    apart = torch.cat([torch.arange(len(part)) % _FOLD == 0 for part in (source, target)])
    apart = apart.to(rows.device)
    standardise = _standardiser(rows[~apart])
    fitted, checked = in_target[~apart], in_target[apart]
    parameters = _fit(standardise(rows[~apart]), fitted, standardise(rows[apart]), checked)
    num_target = float(fitted.sum())
    odds = (standardise(videos.float()) @ parameters).double().exp().cpu()
    return odds * (len(fitted) - num_target) / num_target


def _spaced(features: Tensor) -> Tensor:
    """Return all rows, or so many evenly spaced ones as are allowed."""
    if len(features) <= MOST_VIDEOS:
        return features
    return features[
        torch.arange(MOST_VIDEOS, device=features.device) * len(features) // MOST_VIDEOS
    ]


def _standardiser(features: Tensor) -> Callable[[Tensor], Tensor]:
    """Return the map to mean 0, about unit length, and a last column of ones for the bias."""
    spread, mean = torch.std_mean(features, dim=0, correction=0)
    constant = spread <= _LEAST_SPREAD * spread.max()
    scale = spread.masked_fill(constant, 1.0) * (~constant).sum().clamp(min=1).sqrt()

    def standardise(rows: Tensor) -> Tensor:
        return F.pad((rows - mean).div_(scale), (0, 1), value=1.0)

    return standardise


def _fit(rows: Tensor, in_target: Tensor, check: Tensor, checked: Tensor) -> Tensor:
    """Return weights and bias [E + 1] for the decay with the least log loss on the check rows.

    They are NaN where no loss is finite, so that no weight looks like a result.
    """
    parameters = rows.new_zeros(rows.shape[1])
    best, best_loss = torch.full_like(parameters, torch.nan), float("inf")
    for decay in _DECAYS:
        parameters = _descend(parameters, rows, in_target, decay)
        loss = float(_log_loss(check @ parameters, checked))
        if not loss < best_loss:
            break
        best, best_loss = parameters, loss
    return best


def _descend(start: Tensor, rows: Tensor, in_target: Tensor, decay: float) -> Tensor:
    """Minimise the mean log loss plus decay / 2 times the squared weights, without the bias."""
    parameters = start.clone()
    decays = torch.full_like(parameters, decay)
    decays[-1] = 0.0
    optimiser = uncompiled(torch.optim.LBFGS)(
        [parameters], max_iter=_STEPS, line_search_fn="strong_wolfe"
    )

    def closure() -> float:
        logits = rows @ parameters
        parameters.grad = rows.T @ (logits.sigmoid() - in_target) / len(rows) + decays * parameters
        penalty = (decays * parameters.square()).sum() / 2
        return float(_log_loss(logits, in_target) + penalty)

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    return parameters


def _log_loss(logits: Tensor, in_target: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits.double(), in_target.double())


def weighted_risk(weights: Tensor, errors: Tensor) -> float:
    """Return mean(L) + eta mean(W) - eta with L_i = W_i errors_i, eta = -Cov(L, W) / Var(W).

    The control variate eta uses that weights are 1 in the mean to lower the variance. Equal weights
    tell nothing, and eta is 0.

    Args:
        weights: importance weights W, float64 [M], M at least 2.
        errors: 1 for a wrong prediction, 0 for a right one, float64 [M].
    """
    losses = weights * errors
    covariance = torch.cov(torch.stack([losses, weights]))  # [2, 2]
    variance = covariance[1, 1]
    eta = -covariance[0, 1] / variance if variance > 0 else torch.zeros_like(variance)
    return float(losses.mean() + eta * weights.mean() - eta)


def effective_sample(weights: Tensor) -> float:
    """Return how many equally weighted videos say as much: (sum W)^2 / sum W^2, between 0 and M.

    Source: Kish 1965, "Survey Sampling".
    """
    squares = float(weights.square().sum())
    return float(weights.sum()) ** 2 / squares if squares > 0 else 0.0
