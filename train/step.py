"""One training step: the losses of equation 1, and the update.

Shapes: B_S source and B_T target videos; see `model` for the rest.
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from ta3n.train.batches import Batch
from ta3n.train.dropout import DropoutMasks
from ta3n.train.losses.attentive_entropy import attentive_entropy_loss
from ta3n.train.losses.classification import classification_loss
from ta3n.train.losses.domain import domain_loss
from ta3n.train.model import TA3N, ModelOutput
from ta3n.train.recipes import Method
from ta3n.train.reversal import Coefficients


def step_features(batch: Batch, method: Method) -> Tensor:
    """Return the videos that a step runs on: source, then target if the method uses it.

    Returns:
        [B_S (+ B_T), K, D]. The target is left out entirely where no loss needs it, so that it
        cannot influence such a run.
    """
    if not method.uses_target or batch.target_features is None:
        return batch.source_features
    return torch.cat([batch.source_features, batch.target_features])


def compute_losses(
    output: ModelOutput, labels: Tensor, *, method: Method, gamma: float | Tensor
) -> dict[str, Tensor]:
    """Return every loss that the method has, and their weighted total (equation 1).

    Args:
        output: of the model on `step_features`.
        labels: of the source videos, int64 [B_S]; they come first in the output.
        method: which terms the objective has.
        gamma: weight of the attentive entropy.

    Returns:
        0-d tensors: `classification`; `adversarial_<level>` for each placed discriminator;
        `attentive_entropy`, before its weight; `total`. Only what was computed is in it.
    """
    num_source = labels.shape[0]
    losses = {"classification": classification_loss(output.logits[:num_source], labels)}
    total = losses["classification"]
    for level in method.discriminators:
        logits = output.domain_logits[level]
        losses[f"adversarial_{level}"] = domain_loss(logits[:num_source], logits[num_source:])
        total = total + losses[f"adversarial_{level}"]
    if method.attentive_entropy:
        losses["attentive_entropy"] = attentive_entropy_loss(
            output.logits, output.domain_logits["video"]
        )
        total = total + gamma * losses["attentive_entropy"]
    return {**losses, "total": total}


def train_step(
    model: TA3N,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    *,
    method: Method,
    gamma: float,
    coefficients: Coefficients,
    masks: DropoutMasks | None,
    clip_norm: float,
) -> Mapping[str, Tensor]:
    """Make one update of the weights, without ever waiting for the device.

    Args:
        model: updated in place.
        optimizer: over the model's parameters, at the rate of this step.
        batch: videos of this step.
        method: which terms the objective has.
        gamma: weight of the attentive entropy.
        coefficients: gradient reversal at this step.
        masks: dropout masks for `step_features`, or none for no dropout.
        clip_norm: largest L2 norm of the gradient.

    Returns:
        The losses of `compute_losses`, and `grad_norm`, the norm before clipping: 0-d tensors on
        the device, without a graph.
    """
    optimizer.zero_grad()
    features = step_features(batch, method)
    output = model(features, coefficients, masks=masks, levels=method.levels)
    losses = compute_losses(output, batch.source_labels, method=method, gamma=gamma)
    losses["total"].backward()  # type: ignore[no-untyped-call]
    grad_norm = clip_grad_norm_(model.parameters(), clip_norm)
    optimizer.step()
    return {**{name: loss.detach() for name, loss in losses.items()}, "grad_norm": grad_norm}
