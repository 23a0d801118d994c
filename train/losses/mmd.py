"""Squared maximum mean discrepancies of two samples: of one layer (DAN), jointly of several (JAN).

Shapes: n source and m target items, N = n + m, F feature width (F_l of layer l).

Sources: Long et al., "Learning Transferable Features with Deep Adaptation Networks" (DAN), and
"Deep Transfer Learning with Joint Adaptation Networks" (JAN), equations 7 and 9; the choice of
bandwidths is that of TA3N's authors.
"""

from collections.abc import Sequence
from functools import reduce
from operator import mul

import torch
from torch import Tensor

from ta3n.train.recipe.recipes import MmdEstimator

MULTIPLIER = 2.0
_NUM_BANDWIDTHS = 5


def mmd_loss(
    source: Tensor, target: Tensor, *, estimator: MmdEstimator, bandwidth_floor: float
) -> Tensor:
    """Return the squared MMD of [n, F] and [m, F] with five Gaussian kernels, see `joint_mmd_loss`.

    At most 2 * 5; negative only with the unbiased estimator.
    """
    return joint_mmd_loss(
        [source],
        [target],
        num_bandwidths=[_NUM_BANDWIDTHS],
        estimator=estimator,
        bandwidth_floor=bandwidth_floor,
    )


def joint_mmd_loss(
    source: Sequence[Tensor],
    target: Sequence[Tensor],
    *,
    num_bandwidths: Sequence[int],
    estimator: MmdEstimator,
    bandwidth_floor: float,
) -> Tensor:
    """Return the squared MMD under the product of one kernel for each layer.

    Args:
        source: for each layer l, [n, F_l].
        target: for each layer l, [m, F_l].
        num_bandwidths: for each layer, how many Gaussian kernels are summed.
        estimator: `unbiased`, or `biased`; `paired` is the biased one on as many items of each
            domain as there are of the other.
        bandwidth_floor: smallest mean distance: where all items agree, a kernel is its largest
            value instead of 0 / 0.

    Returns:
        A 0-d tensor, at most twice the product of `num_bandwidths`; negative only with the
        unbiased estimator.
    """
    if estimator == "paired":
        source, target = (
            [s[: len(t)] for s, t in zip(source, target, strict=True)],
            [t[: len(s)] for s, t in zip(source, target, strict=True)],
        )
    layers = zip(source, target, num_bandwidths, strict=True)
    kernels = (_gaussian_kernel(torch.cat([s, t]), n, bandwidth_floor) for s, t, n in layers)
    return _kernel_discrepancy(reduce(mul, kernels), len(source[0]), estimator)


def squared_distances(items: Tensor) -> Tensor:
    """Return the squared Euclidean distance of every two items: [N, F] to [N, N]."""
    # One matrix product instead of N x N x F differences. Distances do not change with the origin,
    # and around the mean the product loses no digits to a common offset.
    centred = items - items.detach().mean(dim=0)
    products = centred @ centred.T
    norms = products.diagonal()
    return (norms[:, None] + norms[None, :] - 2 * products).clamp_min(0)


def _gaussian_kernel(items: Tensor, num_bandwidths: int, bandwidth_floor: float) -> Tensor:
    """Return the sum of Gaussian kernels, [N, F] to [N, N], between 0 and `num_bandwidths`.

    The bandwidths are the mean squared distance of two distinct items, times powers of 2 centred
    on it. No gradient flows through them.
    """
    total = len(items)
    distances = squared_distances(items)
    mean = distances.detach().sum() / (total * (total - 1))
    smallest = mean.clamp_min(bandwidth_floor) / MULTIPLIER ** (num_bandwidths // 2)
    kernels = [torch.exp(-distances / (smallest * MULTIPLIER**i)) for i in range(num_bandwidths)]
    return torch.stack(kernels).sum(dim=0)


def _kernel_discrepancy(kernel: Tensor, num_source: int, estimator: MmdEstimator) -> Tensor:
    """Return E k(s, s') + E k(t, t') - 2 E k(s, t) from a kernel [N, N], source items first.

    The biased estimator takes the mean over all pairs and is never negative; the unbiased one
    leaves out each item's pair with itself and may be. Both hold for n different from m. With a
    single item in a domain there is no other pair, and the unbiased estimator takes that item's
    pair with itself.
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
