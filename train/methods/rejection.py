"""When a video of an open target is told unknown. No torch here.

Legend: N videos, C known classes, O outputs of a model.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import log
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

DEFAULT_THRESHOLD = 0.5
"""Of the entropy over its highest, ln C: that of Saito et al., Universal Domain Adaptation through
Self-Supervision, NeurIPS 2020, whose threshold is ln(C) / 2."""


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """What makes a prediction `unknown`, without any target label.

    A video is unknown where the entropy of its class probabilities is above a threshold, or where
    a model that has an output for unknown gives it most.

    Args:
        label: what stands for unknown, C.
        threshold: of the entropy over ln C, from 0 to 1; none where there is such an output, whose
            place is the label.
    """

    label: int
    threshold: float | None = DEFAULT_THRESHOLD

    def rejects(self, probabilities: "Tensor") -> "Tensor":
        """Return which videos are unknown, bool [N], by the probabilities of outputs [N, O]."""
        import torch

        if self.threshold is None:
            return probabilities.argmax(dim=1) == self.label
        entropy: Tensor = torch.special.entr(probabilities).sum(dim=1)
        return entropy > self.threshold * log(self.label)

    @property
    def num_outputs(self) -> int:
        """O: of a model, C or one more."""
        return self.label + (self.threshold is None)

    @property
    def rule(self) -> str:
        """The same in words."""
        if self.threshold is None:
            return "a video is told unknown where the model's own output for it is the largest"
        return (
            f"a video is told unknown where the entropy of its class probabilities is above "
            f"{self.threshold:g} of the highest there is, the logarithm of {self.label} classes"
        )

    def record(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)


def rejection_of(settings: Mapping[str, Any]) -> Rejection | None:
    """Return how a run tells unknown videos, by its recorded settings; None for a closed set."""
    recorded = settings.get("rejection")
    return None if recorded is None else Rejection(**recorded)
