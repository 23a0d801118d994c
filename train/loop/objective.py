"""What a step minimises: the losses of equation 1, of the baselines, and MCD's three steps.

Shapes: B_S source and B_T target videos, the source first; see `model` for the rest.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

import torch
from torch import Tensor

from ta3n.train.layers.dropout import DropoutMasks
from ta3n.train.loop.batches import Batch
from ta3n.train.loop.measurements import Measured, measure
from ta3n.train.losses.attentive_entropy import attentive_entropy_loss
from ta3n.train.losses.classification import classification_loss
from ta3n.train.losses.classifier_discrepancy import classifier_discrepancy
from ta3n.train.losses.domain import domain_loss
from ta3n.train.losses.entropy import entropy
from ta3n.train.losses.joint_mmd import joint_mmd_loss
from ta3n.train.losses.mmd import mmd_loss
from ta3n.train.methods.method import Method
from ta3n.train.model.model import ModelOutput
from ta3n.train.recipe.recipes import Recipe
from ta3n.train.recipe.schedule import TradeOffs

Losses = dict[str, Tensor]

_JAN_BANDWIDTHS = (2, 5)  # of logits and video features: the authors' program


class Phase(Enum):
    """One update within a step: which losses, and which weights they move.

    All methods have the phase `JOINT` alone, but for the three steps of MCD (Saito et al.,
    section 3.3): A is `JOINT`, B is `CLASSIFIERS`, C is `GENERATOR`.
    """

    JOINT = "joint"
    CLASSIFIERS = "classifiers"
    GENERATOR = "generator"

    def moves(self, parameter: str) -> bool:
        """Say whether the phase may change a parameter of the model, by its name."""
        is_classifier = parameter.startswith("video_classifier")
        return self is Phase.JOINT or is_classifier == (self is Phase.CLASSIFIERS)


class PhaseResult(NamedTuple):
    """What a phase of a step yields: a tuple, so that it passes through `vmap`.

    Attributes:
        losses: of `compute_losses`.
        statistics: of normalised layers, by name.
        measured: of `measure`, for the joint phase; without a graph.
    """

    losses: Losses
    statistics: dict[str, Tensor]
    measured: Measured


@dataclass(frozen=True, kw_only=True)
class Objective:
    """What is minimised, step by step.

    Args:
        method: which terms the objective has.
        recipe: how the discrepancies are measured, and in how many steps MCD is made.
    """

    method: Method
    recipe: Recipe

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The updates of a step in their order."""
        if self.method.alignment != "mcd" or self.recipe.mcd == "one":
            return (Phase.JOINT,)
        repeated = (Phase.GENERATOR,) * self.recipe.mcd_generator_updates
        return (Phase.JOINT, Phase.CLASSIFIERS, *repeated)

    @property
    def reverses_classifiers(self) -> bool:
        """Whether MCD is made in one step, by a gradient reversal before the classifiers."""
        return self.method.alignment == "mcd" and self.recipe.mcd == "one"


def step_features(batch: Batch, method: Method) -> Tensor:
    """Return the videos that a step runs on: source, then target if the method uses it.

    Returns:
        [B_S (+ B_T), K, D]. The target is left out entirely where no loss needs it, so that it
        cannot influence such a run.
    """
    if not method.uses_target or batch.target_features is None:
        return batch.source_features
    return torch.cat([batch.source_features, batch.target_features])


def run_phase(
    forward: Callable[..., ModelOutput],
    batch: Batch,
    masks: DropoutMasks | None,
    *,
    objective: Objective,
    phase: Phase,
    trade_offs: TradeOffs,
) -> PhaseResult:
    """Run the model on a batch, and measure what a phase minimises.

    Args:
        forward: the model, or a call of it with other weights.
        batch: videos of this step.
        masks: dropout masks for `step_features`, or none for no dropout.
        objective: what is minimised.
        phase: which update of the step this is.
        trade_offs: in force at this step.
    """
    joint = phase is Phase.JOINT
    output = forward(
        step_features(batch, objective.method),
        trade_offs.coefficients,
        masks=masks,
        levels=objective.method.levels if joint else (),
        num_source=len(batch.source_features),
        classifier_reversal=trade_offs.mu if joint and objective.reverses_classifiers else None,
    )
    losses = compute_losses(
        output, batch.source_labels, objective=objective, phase=phase, trade_offs=trade_offs
    )
    placed = objective.method.discriminators
    measured = measure(output, len(batch.source_labels), placed) if joint else {}
    return PhaseResult(losses, output.statistics, measured)


def compute_losses(
    output: ModelOutput,
    labels: Tensor,
    *,
    objective: Objective,
    trade_offs: TradeOffs,
    phase: Phase = Phase.JOINT,
) -> Losses:
    """Return every loss of a phase, and their weighted `total`, which is what it minimises.

    Args:
        output: of the model on `step_features`.
        labels: of the source videos, int64 [B_S]; they come first in the output.
        objective: which terms there are.
        trade_offs: weights of the terms.
        phase: which update of the step this is.

    Returns:
        0-d tensors before their weights, and only what was computed. For the joint phase:
        `classification` (of both classifiers with MCD), `adversarial_<level>` for each placed
        discriminator, `attentive_entropy` or `target_entropy`, `discrepancy_<alignment>`, which
        for MCD in one step is negative, since the classifiers maximise it. For the other phases of
        MCD: `discrepancy_mcd_maximised` and `discrepancy_mcd_minimised`.
    """
    if phase is Phase.JOINT:
        return _joint_losses(output, labels, objective, trade_offs)
    discrepancy = _target_discrepancy(output, len(labels))
    if phase is Phase.CLASSIFIERS:
        total = _classification(output, labels) - discrepancy
        return {"discrepancy_mcd_maximised": discrepancy, "total": total}
    return {"discrepancy_mcd_minimised": discrepancy, "total": trade_offs.mu * discrepancy}


def _joint_losses(
    output: ModelOutput, labels: Tensor, objective: Objective, trade_offs: TradeOffs
) -> Losses:
    method, num_source = objective.method, len(labels)
    losses = {"classification": _classification(output, labels)}
    total = losses["classification"]
    for level in method.discriminators:
        logits = output.domain_logits[level]
        losses[f"adversarial_{level}"] = domain_loss(logits[:num_source], logits[num_source:])
        total = total + losses[f"adversarial_{level}"]
    if method.entropy == "attentive":
        losses["attentive_entropy"] = attentive_entropy_loss(
            output.logits, output.domain_logits["video"]
        )
        total = total + trade_offs.gamma * losses["attentive_entropy"]
    elif method.entropy == "target":
        losses["target_entropy"] = entropy(output.logits[num_source:]).mean()
        total = total + trade_offs.gamma * losses["target_entropy"]
    if method.alignment in ("dan", "jan"):
        losses[f"discrepancy_{method.alignment}"] = _kernel_discrepancy(
            output, num_source, objective
        )
        total = total + trade_offs.alpha * losses[f"discrepancy_{method.alignment}"]
    elif objective.reverses_classifiers:
        assert output.reversed_logits is not None, "asked for in run_phase"
        first, second = output.reversed_logits
        losses["discrepancy_mcd"] = -classifier_discrepancy(first[num_source:], second[num_source:])
        total = total + losses["discrepancy_mcd"]
    return {**losses, "total": total}


def _classification(output: ModelOutput, labels: Tensor) -> Tensor:
    loss = classification_loss(output.logits[: len(labels)], labels)
    if output.second_logits is not None:
        loss = loss + classification_loss(output.second_logits[: len(labels)], labels)
    return loss


def _target_discrepancy(output: ModelOutput, num_source: int) -> Tensor:
    assert output.second_logits is not None, "MCD has a second classifier"
    return classifier_discrepancy(output.logits[num_source:], output.second_logits[num_source:])


def _kernel_discrepancy(output: ModelOutput, num_source: int, objective: Objective) -> Tensor:
    """Measure DAN's sum of MMDs, or JAN's joint MMD, of [logits, video feature]."""
    recipe, logits = objective.recipe, output.logits
    if objective.method.alignment == "jan" and recipe.joint_input == "softmax":
        logits = logits.softmax(dim=-1)
    layers = (logits, output.video_features)
    source = [layer[:num_source] for layer in layers]
    target = [layer[num_source:] for layer in layers]
    if objective.method.alignment == "jan":
        return joint_mmd_loss(
            source,
            target,
            num_bandwidths=_JAN_BANDWIDTHS,
            estimator=recipe.mmd_estimator,
            bandwidth_floor=recipe.bandwidth_floor,
        )
    each = [
        mmd_loss(s, t, estimator=recipe.mmd_estimator, bandwidth_floor=recipe.bandwidth_floor)
        for s, t in zip(source, target, strict=True)
    ]
    return torch.stack(each).sum()
