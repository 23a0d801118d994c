"""Squared joint maximum mean discrepancy over several layers, the loss of JAN.

Shapes: n source and m target items, F_l width of layer l.

Source: Long et al., "Deep Transfer Learning with Joint Adaptation Networks", equation 9.
"""

from collections.abc import Sequence

from torch import Tensor

from ta3n.train.losses.kernels import gaussian_kernel, kernel_discrepancy, paired
from ta3n.train.recipe.recipes import MmdEstimator


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
        estimator: see `kernel_discrepancy`.
        bandwidth_floor: see `gaussian_kernel`.

    Returns:
        A 0-d tensor, at most twice the product of `num_bandwidths`; negative only with the
        unbiased estimator.
    """
    pairs = [
        (paired(s, t, estimator), paired(t, s, estimator))
        for s, t in zip(source, target, strict=True)
    ]
    layers = zip(pairs, num_bandwidths, strict=True)
    kernels = [
        gaussian_kernel(s, t, num_bandwidths=number, bandwidth_floor=bandwidth_floor)
        for (s, t), number in layers
    ]
    joint = kernels[0]
    for kernel in kernels[1:]:
        joint = joint * kernel
    return kernel_discrepancy(joint, len(pairs[0][0]), estimator)
