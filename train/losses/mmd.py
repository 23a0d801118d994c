"""Squared maximum mean discrepancy of two samples, the loss of DAN.

Shapes: n source and m target items, F feature width.

Source: Long et al., "Learning Transferable Features with Deep Adaptation Networks".
"""

from torch import Tensor

from ta3n.train.losses.kernels import gaussian_kernel, kernel_discrepancy, paired
from ta3n.train.recipe.recipes import MmdEstimator

NUM_BANDWIDTHS = 5


def mmd_loss(
    source: Tensor, target: Tensor, *, estimator: MmdEstimator, bandwidth_floor: float
) -> Tensor:
    """Return the squared MMD with five Gaussian kernels.

    Args:
        source: [n, F].
        target: [m, F].
        estimator: see `kernel_discrepancy`.
        bandwidth_floor: see `gaussian_kernel`.

    Returns:
        A 0-d tensor, at most 2 * 5; negative only with the unbiased estimator.
    """
    source, target = paired(source, target, estimator), paired(target, source, estimator)
    kernel = gaussian_kernel(
        source, target, num_bandwidths=NUM_BANDWIDTHS, bandwidth_floor=bandwidth_floor
    )
    return kernel_discrepancy(kernel, len(source), estimator)
