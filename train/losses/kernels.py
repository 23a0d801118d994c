"""Gaussian kernels of several bandwidths, and what a mean over their entries estimates.

Shapes: n source and m target items, N = n + m, F feature width.

Sources: Long et al., "Learning Transferable Features with Deep Adaptation Networks" (DAN), and
"Deep Transfer Learning with Joint Adaptation Networks" (JAN), equations 7 and 9; the choice of
bandwidths is that of TA3N's authors.
"""

import torch
from torch import Tensor

from ta3n.train.recipe.recipes import MmdEstimator

MULTIPLIER = 2.0


def squared_distances(items: Tensor) -> Tensor:
    """Return the squared Euclidean distance of every two items: [N, F] to [N, N]."""
    # One matrix product instead of N x N x F differences. Distances do not change with the origin,
    # and around the mean the product loses no digits to a common offset.
    centred = items - items.detach().mean(dim=0)
    products = centred @ centred.T
    norms = products.diagonal()
    return (norms[:, None] + norms[None, :] - 2 * products).clamp_min(0)


def gaussian_kernel(
    source: Tensor, target: Tensor, *, num_bandwidths: int, bandwidth_floor: float
) -> Tensor:
    """Return the sum of Gaussian kernels over all items of both domains.

    The bandwidths are the mean squared distance of two distinct items, times powers of 2 centred
    on it. No gradient flows through them.

    Args:
        source: [n, F].
        target: [m, F].
        num_bandwidths: number of kernels in the sum.
        bandwidth_floor: smallest mean distance: where all items agree, the kernel is that sum's
            largest value instead of 0 / 0.

    Returns:
        [N, N], source items first, each entry between 0 and `num_bandwidths`.
    """
    items = torch.cat([source, target])
    total = len(items)
    distances = squared_distances(items)
    mean = distances.detach().sum() / (total * (total - 1))
    smallest = mean.clamp_min(bandwidth_floor) / MULTIPLIER ** (num_bandwidths // 2)
    kernels = [torch.exp(-distances / (smallest * MULTIPLIER**i)) for i in range(num_bandwidths)]
    return torch.stack(kernels).sum(dim=0)


def paired(items: Tensor, other: Tensor, estimator: MmdEstimator) -> Tensor:
    """Return the items that the estimator looks at: for `paired`, as many as there are others."""
    return items[: len(other)] if estimator == "paired" else items


def kernel_discrepancy(kernel: Tensor, num_source: int, estimator: MmdEstimator) -> Tensor:
    """Estimate a squared maximum mean discrepancy from a kernel matrix.

    E k(s, s') + E k(t, t') - 2 E k(s, t). The biased estimator takes the mean over all pairs and is
    never negative; the unbiased one leaves out each item's pair with itself and may be. Both hold
    for n different from m. With a single item in a domain there is no other pair, and the unbiased
    estimator takes that item's pair with itself.

    Args:
        kernel: [N, N], source items first.
        num_source: n.
        estimator: `unbiased`, or `biased`; `paired` is the biased one, see `paired`.

    Returns:
        A 0-d tensor.
    """
    within_source = kernel[:num_source, :num_source]
    within_target = kernel[num_source:, num_source:]
    across = kernel[:num_source, num_source:].mean()
    mean = _mean_of_distinct if estimator == "unbiased" else torch.mean
    return mean(within_source) + mean(within_target) - 2 * across


def _mean_of_distinct(kernel: Tensor) -> Tensor:
    """Return the mean off the diagonal of [n, n]."""
    count = len(kernel)
    if count == 1:
        return kernel.mean()
    return (kernel.sum() - kernel.diagonal().sum()) / (count * (count - 1))
