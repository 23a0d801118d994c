"""BSP: no direction of the video features may dominate, beside an adversary.

Shapes: B_S source and B_T target videos, V feature width.
"""

from typing import TYPE_CHECKING

from ta3n.train.methods.adversarial import ADVERSARIAL
from ta3n.train.methods.base import Method, Term, Weight
from ta3n.train.methods.registry import register_method

if TYPE_CHECKING:
    from torch import Tensor

    from ta3n.train.loop.objective import Step


def bsp(source: "Tensor", target: "Tensor", count: int = 1) -> "Tensor":
    """Return the sum of the largest squared singular values of both: Chen et al., ICML 2019.

    Args:
        source: [B_S, V].
        target: [B_T, V].
        count: how many of each.
    """
    return _largest(source, count) + _largest(target, count)


def _largest(features: "Tensor", count: int) -> "Tensor":
    import torch

    # Eigenvalues of the products of videos: cheaper than a decomposition of the features.
    squares: Tensor = torch.linalg.eigvalsh(features @ features.mT)  # [B], ascending
    return squares[..., -count:].sum()


def _loss(step: "Step") -> "Tensor":
    return bsp(step.source_features, step.target_features)


BSP = register_method(
    Method(
        name="bsp",
        label="BSP",
        source="Chen et al., ICML 2019",
        terms=(
            ADVERSARIAL["video"],
            Term(
                name="spectral_penalty",
                label="batch spectral penalty",
                loss=_loss,
                sources="pairs",
                weight=Weight(
                    name="bsp",
                    default=2e-6,
                    about="of the largest singular values",
                    origin="by im on rendered clips; published 2e-4",
                ),
            ),
        ),
    )
)
