"""What the label-free rules may see.

Shapes: N target videos, S source training videos, M held-out source videos, E feature width,
C classes.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ta3n.common.errors import DataConflictError


@dataclass(frozen=True, kw_only=True)
class ValidatorInputs:
    """A model's outputs after an epoch. There is no place for a target label.

    Features are those of whole videos, right before the classifier. Everything may lie on any
    device; features on one and the same.

    Args:
        target_logits: class logits of unlabelled target videos, [N, C].
        target_features: of the same videos, [N, E].
        source_features: of source training videos, [S, E].
        held_out_logits: class logits of labelled source videos that nothing was learned from,
            [M, C].
        held_out_features: of the same videos, [M, E].
        held_out_labels: their class indices, int64 [M].

    Raises:
        DataConflictError: if there is no target video, or shapes do not fit together.
    """

    target_logits: Tensor
    target_features: Tensor | None = None
    source_features: Tensor | None = None
    held_out_logits: Tensor | None = None
    held_out_features: Tensor | None = None
    held_out_labels: Tensor | None = None

    def __post_init__(self) -> None:
        if self.target_logits.ndim != 2 or 0 in self.target_logits.shape:
            raise DataConflictError(
                f"target_logits are {list(self.target_logits.shape)}; expected [N, C] with at"
                " least one video and one class"
            )
        n, c = self.target_logits.shape
        m = 0 if self.held_out_logits is None else len(self.held_out_logits)
        features = (self.target_features, self.source_features, self.held_out_features)
        e = next((f.shape[-1] for f in features if f is not None), 0)
        _check("target_features", self.target_features, (n, e))
        _check("source_features", self.source_features, (None, e))
        _check("held_out_logits", self.held_out_logits, (m, c))
        _check("held_out_features", self.held_out_features, (m, e))
        _check("held_out_labels", self.held_out_labels, (m,))
        if self.held_out_labels is not None and self.held_out_labels.dtype != torch.int64:
            raise DataConflictError(
                f"held_out_labels are {self.held_out_labels.dtype}; expected torch.int64"
            )


def _check(name: str, value: Tensor | None, expected: tuple[int | None, ...]) -> None:
    """Refuse a tensor of another shape; None stands for any length."""
    if value is None:
        return
    sizes = expected if value.ndim == len(expected) else (-1,) * value.ndim
    if any(size not in (None, got) for size, got in zip(sizes, value.shape, strict=True)):
        wanted = ["any" if size is None else size for size in expected]
        raise DataConflictError(
            f"{name} are {list(value.shape)}; expected {wanted}, to fit the other outputs"
        )
