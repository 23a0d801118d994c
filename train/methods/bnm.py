"""BNM: predictions of the target that are certain and diverse, by the norm of their matrix.

Shapes: B target videos, C classes, P [B, C] their predictions, m = min(B, C).
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from ta3n.train.methods.base import Method, Term, Weight
from ta3n.train.methods.registry import register_method

if TYPE_CHECKING:
    from torch import Tensor

    from ta3n.train.loop.objective import Step


def bnm(logits: "Tensor") -> "Tensor":
    """Return minus the nuclear norm of P over B, between -1 and 0: Cui et al., CVPR 2020.

    Args:
        logits: [B, C].
    """
    return -_nuclear_norm(logits) / len(logits)


def bnm_mean(logits: "Tensor") -> "Tensor":
    """Return minus the mean of the m singular values of P, as in the authors' program."""
    return -_nuclear_norm(logits) / min(logits.shape)


def bnm_root(logits: "Tensor") -> "Tensor":
    """Return minus the nuclear norm of P times the root of m over B, as in ATDOC's program."""
    return bnm(logits) * math.sqrt(min(logits.shape))


def fbnm(logits: "Tensor") -> "Tensor":
    """Return minus the mean of the m largest norms of a column of P: no singular values."""
    columns: Tensor = logits.softmax(dim=-1).norm(dim=0)  # [C]
    return -columns.topk(min(logits.shape)).values.mean()


def bfm(logits: "Tensor") -> "Tensor":
    """Return minus the root of the squared Frobenius norm of P over m."""
    return -(logits.softmax(dim=-1).square().sum() / min(logits.shape)).sqrt()


def _nuclear_norm(logits: "Tensor") -> "Tensor":
    import torch

    values: Tensor = torch.linalg.svdvals(logits.softmax(dim=-1))  # [m]
    return values.sum()


_WEIGHT = Weight(
    name="bnm",
    default=1.0,
    about="of the batch nuclear norm in any form",
    origin="published",
)


def _register(
    name: str, label: str, norm: str, source: str, objective: "Callable[[Tensor], Tensor]"
) -> None:
    def loss(step: "Step") -> "Tensor":
        return objective(step.target_logits)

    term = Term(
        name=name.replace("-", "_"), label=norm, loss=loss, weight=_WEIGHT, uses_source=False
    )
    register_method(Method(name=name, label=label, source=source, terms=(term,)))


_AUTHORS, _LATER = "Cui et al., CVPR 2020", "Cui et al., 2021, arXiv:2107.06154"
_register("bnm", "BNM", "nuclear norm", _AUTHORS, bnm)
_register("bnm-mean", "BNM as programmed", "mean singular value", _AUTHORS, bnm_mean)
_register("bnm-root", "BNM of ATDOC", "scaled nuclear norm", "the program of ATDOC", bnm_root)
_register("fbnm", "FBNM", "fast nuclear norm", _LATER, fbnm)
_register("bfm", "BFM", "Frobenius norm", _LATER, bfm)
