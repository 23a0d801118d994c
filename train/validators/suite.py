"""All label-free rules at once.

Legend: N target videos, S source training videos, M held-out source videos, E feature width,
C classes.
"""

from collections.abc import Callable, Mapping
from math import isfinite

from torch import Tensor

from ta3n.train.validators.bnm import nuclear_norm
from ta3n.train.validators.corr_c import class_correlation
from ta3n.train.validators.dev import (
    LEAST_HELD_OUT,
    LEAST_IN_DOMAIN,
    deep_embedded_validation,
)
from ta3n.train.validators.entropy import negative_entropy
from ta3n.train.validators.im import information_maximisation
from ta3n.train.validators.inputs import ValidatorInputs
from ta3n.train.validators.names import RULES, ValidatorName
from ta3n.train.validators.snd import soft_neighbourhood_density
from ta3n.train.validators.source_val import source_accuracy

__all__ = ["ValidatorInputs", "Validators"]


class Validators:
    """Scores an epoch by every rule; higher is always better."""

    def score(self, inputs: ValidatorInputs) -> dict[ValidatorName, float]:
        """Return the scores in the order of `names.RULES`.

        A rule whose inputs are missing, too few or not finite is left out: a score is always a
        finite number. No random number is drawn, and nothing is kept between epochs.

        Args:
            inputs: outputs of the model in evaluation mode.
        """
        scores = {rule.name: _COMPUTE[rule.name](inputs) for rule in RULES}
        return {
            name: score for name, score in scores.items() if score is not None and isfinite(score)
        }


def _on_target(rule: Callable[[Tensor], float]) -> Callable[[ValidatorInputs], float | None]:
    """Return a rule of the target predictions alone, in double precision on the CPU.

    N x C numbers cost nothing to move, and the score then is the same for every device.
    """

    def compute(inputs: ValidatorInputs) -> float | None:
        logits = inputs.target_logits.detach().cpu().double()
        return rule(logits) if bool(logits.isfinite().all()) else None

    return compute


def _source_val(inputs: ValidatorInputs) -> float | None:
    logits, labels = inputs.held_out_logits, inputs.held_out_labels
    if logits is None or labels is None or len(labels) == 0 or not bool(logits.isfinite().all()):
        return None
    return source_accuracy(logits.detach().cpu(), labels.cpu())


def _dev(inputs: ValidatorInputs) -> float | None:
    source, target = inputs.source_features, inputs.target_features
    held_out, logits = inputs.held_out_features, inputs.held_out_logits
    labels = inputs.held_out_labels
    if source is None or target is None or held_out is None or logits is None or labels is None:
        return None
    if min(len(source), len(target)) < LEAST_IN_DOMAIN or len(held_out) < LEAST_HELD_OUT:
        return None
    if not all(bool(part.isfinite().all()) for part in (source, target, held_out, logits)):
        return None
    return deep_embedded_validation(
        source.detach(), target.detach(), held_out.detach(), logits.detach().cpu(), labels.cpu()
    )


_COMPUTE: Mapping[ValidatorName, Callable[[ValidatorInputs], float | None]] = {
    "source_val": _source_val,
    "entropy": _on_target(negative_entropy),
    "im": _on_target(information_maximisation),
    "snd": _on_target(soft_neighbourhood_density),
    "bnm": _on_target(nuclear_norm),
    "dev": _dev,
    "corr_c": _on_target(class_correlation),
}
