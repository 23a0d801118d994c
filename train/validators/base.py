"""What a label-free selection rule is, and what it may see.

No torch is loaded here, nor by `rules`: tables and pages read what they are called.

Shapes: N target videos, S source training videos, M held-out source videos, E feature width,
C classes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from inspect import signature
from math import isfinite
from typing import TYPE_CHECKING, Any

from ta3n.common.errors import DataConflictError

if TYPE_CHECKING:
    from torch import Tensor as Tensor
else:
    Tensor = Any


@dataclass(frozen=True, kw_only=True)
class ValidatorInputs:
    """A model's outputs after an epoch. There is no place for a target label.

    Features are those of whole videos, right before the classifier. Everything may lie on any
    device; features on one and the same.

    Attributes:
        target_logits: Class logits of unlabelled target videos, [N, C].
        target_features: Of the same videos, [N, E].
        source_features: Of source training videos, [S, E].
        held_out_logits: Class logits of labelled source videos that nothing was learned from,
            [M, C].
        held_out_features: Of the same videos, [M, E].
        held_out_labels: Their class indices, int64 [M].

    Raises:
        DataConflictError: If there is no target video, or shapes do not fit together.
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
        labels = self.held_out_labels
        if labels is not None and str(labels.dtype) != "torch.int64":
            raise DataConflictError(f"held_out_labels are {labels.dtype}; expected torch.int64")


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


@dataclass(frozen=True, kw_only=True)
class Validator:
    """One label-free rule.

    Attributes:
        description: What a high score means, in one line.
        citation: Where it comes from.
        compute: Returns the score, higher is better. Its parameters are the fields of
            `ValidatorInputs` that it looks at, logits in double precision on the CPU.
        fewest: Videos of an input that it takes, where one is not enough.
    """

    name: str
    description: str
    citation: str
    compute: Callable[..., float]
    fewest: Mapping[str, int] = field(default_factory=dict)

    @property
    def inputs(self) -> tuple[str, ...]:
        """What it looks at."""
        return tuple(signature(self.compute).parameters)

    def score(self, inputs: ValidatorInputs) -> float | None:
        """Return the score, or None where inputs are missing, too few or not finite, or it is."""
        tensors: dict[str, Tensor | None] = {n: getattr(inputs, n) for n in self.inputs}
        found = {name: _ready(name, t) for name, t in tensors.items() if t is not None}
        if len(found) < len(tensors) or any(
            len(tensor) < self.fewest.get(name, 1) or not bool(tensor.isfinite().all())
            for name, tensor in found.items()
        ):
            return None
        score = self.compute(**found)
        return score if isfinite(score) else None


def _ready(name: str, tensor: Tensor) -> Tensor:
    if name.endswith("features"):
        return tensor.detach()
    # So few numbers cost nothing to move, and the score then is the same for every device.
    return tensor.detach().cpu().double() if name.endswith("logits") else tensor.cpu()
