"""ATDOC: a classifier for the target alone, made of a memory, gives pseudo-labels.

The memory holds a centroid of each class (NC), or a unit feature and a prediction of every target
video (NA). Nearness to it gives each video of a batch a class; the model learns that class. Written
from the formulas; the weight grows linearly with the epochs, as the memory starts at random.

Shapes: B target videos of a batch, N target training videos, C classes, V feature width.
"""

from typing import TYPE_CHECKING

from ta3n.train.methods.base import Method, Term, Weight
from ta3n.train.methods.registry import register_method

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from ta3n.train.loop.objective import EpochContext, Start, Step, StepContext

NEIGHBOURS = 5
MOMENTUM = 0.1
_LEAST_NORM = 1e-6


def _unit(rows: "Tensor") -> "Tensor":
    import torch

    lengths: Tensor = torch.linalg.vector_norm(rows, dim=-1, keepdim=True)
    return rows / lengths.clamp_min(_LEAST_NORM)


def centroid_labels(features: "Tensor", centroids: "Tensor") -> "Tensor":
    """Return the class of the centroid in whose direction a feature reaches furthest.

    Args:
        features: [B, V].
        centroids: [C, V].

    Returns:
        int64 [B].
    """
    return (features.detach() @ _unit(centroids).T).argmax(dim=1)


def next_centroids(centroids: "Tensor", features: "Tensor", logits: "Tensor") -> "Tensor":
    """Return the centroids moved towards the means of the videos that are predicted as each class.

    A class that no video of the batch is predicted as decays towards 0, as in the authors' program.

    Args:
        centroids: [C, V].
        features: [B, V].
        logits: [B, C].
    """
    import torch

    classes = torch.arange(logits.shape[1], device=logits.device)
    predicted = (logits.argmax(dim=1)[:, None] == classes).to(features)  # [B, C]
    means = predicted.T @ features / (predicted.sum(dim=0)[:, None] + 1e-8)
    return (1 - MOMENTUM) * centroids + MOMENTUM * means


def neighbour_predictions(
    features: "Tensor",
    memory_features: "Tensor",
    memory_predictions: "Tensor",
    places: "Tensor",
    neighbours: int = NEIGHBOURS,
) -> "Tensor":
    """Return the mean prediction of the nearest other videos in the memory, [B, C].

    A memory of one video holds no other, and the mean is 0.

    Args:
        features: [B, V], of any length.
        memory_features: of length 1, [N, V].
        memory_predictions: [N, C].
        places: of the batch in the memory, int64 [B].
        neighbours: how many are asked, at most N - 1.
    """
    import torch

    total = len(memory_features)
    similarity = features.detach() @ memory_features.T  # [B, N]
    own = torch.arange(total, device=places.device) == places[:, None]
    similarity = similarity.masked_fill(own, -torch.inf)
    nearest = similarity.topk(min(neighbours, total - 1), dim=1).indices  # [B, k]
    chosen = torch.zeros_like(similarity).scatter(1, nearest, 1.0)
    return chosen.to(memory_predictions) @ memory_predictions / max(nearest.shape[1], 1)


def neighbour_loss(logits: "Tensor", predictions: "Tensor") -> "Tensor":
    """Return the cross-entropy with the likeliest class, weighed by how likely that is.

    The weights are scaled to sum 1 over the batch and have no gradient.

    Args:
        logits: [B, C].
        predictions: of the neighbours, [B, C].
    """
    import torch
    import torch.nn.functional as F

    weights, labels = predictions.detach().max(dim=1)
    losses = F.cross_entropy(logits, labels, reduction="none")
    return (weights * losses).sum() / weights.sum().clamp_min(torch.finfo(logits.dtype).tiny)


def sharpened(logits: "Tensor") -> "Tensor":
    """Return p^2 by the sum of p^2 over the batch, p = softmax(logits): [B, C].

    Columns sum to 1 and rows do not, as in the authors' program. A class whose square is 0 for the
    whole batch stays 0.
    """
    import torch

    squares = logits.softmax(dim=1).square()
    return squares / squares.sum(dim=0).clamp_min(torch.finfo(logits.dtype).tiny)


def replaced(memory: "Tensor", places: "Tensor", rows: "Tensor") -> "Tensor":
    """Return a memory [N, ...] with rows [B, ...] put at their places, int64 [B]."""
    return memory.scatter(0, places[:, None].expand_as(rows), rows)


def _grown(context: "EpochContext") -> "Mapping[str, Tensor]":
    import torch

    return {"growth": torch.tensor(context.epoch / context.recipe.epochs)}


def _start_centroids(begin: "Start") -> "Mapping[str, Tensor]":
    import torch

    spec = begin.model.spec
    draws = torch.rand(spec.num_classes, spec.video_dim, generator=begin.generator)
    return {"centroids": _unit(draws), "growth": torch.zeros(())}


def _centroid_loss(step: "Step") -> "Tensor":
    import torch.nn.functional as F

    labels = centroid_labels(step.target_features, step.state["centroids"])
    return step.state["growth"] * F.cross_entropy(step.target_logits, labels)


def _after_centroids(context: "StepContext") -> "Mapping[str, Tensor]":
    target = context.evaluate_target()
    moved = next_centroids(context.state["centroids"], target.features, target.logits)
    return {"centroids": moved}


def _start_neighbours(begin: "Start") -> "Mapping[str, Tensor]":
    import torch

    spec, total = begin.model.spec, begin.num_target
    draws = torch.rand(total, spec.video_dim, generator=begin.generator)
    # A video that was not seen yet says nothing: equal shares would leave its class to rounding.
    predictions = torch.zeros(total, spec.num_classes)
    return {"features": _unit(draws), "predictions": predictions, "growth": torch.zeros(())}


def _neighbour_loss(step: "Step") -> "Tensor":
    state = step.state
    predictions = neighbour_predictions(
        step.target_features, state["features"], state["predictions"], step.target_places
    )
    return state["growth"] * neighbour_loss(step.target_logits, predictions)


def _after_neighbours(context: "StepContext") -> "Mapping[str, Tensor]":
    target, state, places = context.evaluate_target(), context.state, context.target_places
    return {
        "features": replaced(state["features"], places, _unit(target.features)),
        "predictions": replaced(state["predictions"], places, sharpened(target.logits)),
    }


ATDOC_NC = Term(
    name="atdoc_nc",
    label="pseudo-labels of the nearest centroid",
    loss=_centroid_loss,
    weight=Weight(
        name="atdoc_nc",
        default=0.1,
        about="of ATDOC-NC in the last epoch; it grows linearly",
        origin="the authors'",
    ),
    uses_source=False,
    start=_start_centroids,
    after_step=_after_centroids,
    each_epoch=_grown,
)

register_method(
    Method(name="atdoc-nc", label="ATDOC-NC", source="Liang et al., CVPR 2021", terms=(ATDOC_NC,))
)

ATDOC_NA = Term(
    name="atdoc_na",
    label="pseudo-labels of the nearest neighbours",
    loss=_neighbour_loss,
    weight=Weight(
        name="atdoc_na",
        default=0.2,
        about="of ATDOC-NA in the last epoch; it grows linearly",
        origin="the authors'",
    ),
    uses_source=False,
    start=_start_neighbours,
    after_step=_after_neighbours,
    each_epoch=_grown,
)

register_method(
    Method(name="atdoc-na", label="ATDOC-NA", source="Liang et al., CVPR 2021", terms=(ATDOC_NA,))
)
