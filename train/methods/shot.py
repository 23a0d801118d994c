"""SHOT: a source model adapted to the unlabelled target alone, behind its frozen classifier."""

from dataclasses import replace
from typing import TYPE_CHECKING

from ta3n.train.methods.atcon import ATCON
from ta3n.train.methods.base import Method, Term, Weight
from ta3n.train.methods.information_maximisation import IM
from ta3n.train.methods.registry import register_method

if TYPE_CHECKING:
    from torch import Tensor

    from ta3n.train.loop.objective import EpochContext, Start, Step


def centroid_labels(
    features: "Tensor",
    probabilities: "Tensor",
    *,
    threshold: int = 0,
    distance: str = "cosine",
    rounds: int = 2,
    keeps_classes: bool = False,
) -> "Tensor":
    """Return the class of the nearest centroid of each video (Liang et al., ICML 2020, eq. 4 to 7).

    The centroids of the first round are means weighed by the predictions, those of the second means
    of the videos that the first gave to a class. A class that more than `threshold` videos are not
    predicted as is no candidate; where none is, predictions stand.

    Args:
        features: [N, V].
        probabilities: of the classes, [N, C].
        threshold: videos that a class must have more of.
        distance: `cosine` of the features with a 1 appended, or `euclidean`.
        rounds: how often.
        keeps_classes: whether the second round has the candidates of the first.

    Returns:
        int64 [N].
    """
    import torch
    from torch.nn.functional import normalize, one_hot

    is_cosine = distance == "cosine"
    if is_cosine:
        features = normalize(torch.cat([features, features.new_ones(len(features), 1)], dim=1))
    num_classes = probabilities.shape[1]
    shares, labels = probabilities, probabilities.argmax(dim=1)
    kept = one_hot(labels, num_classes).sum(dim=0) > threshold
    for _ in range(rounds):
        sizes = shares.sum(dim=0)[:, None]
        centroids = shares.mT @ features / (1e-8 + sizes)  # [C, V]
        if is_cosine:
            distances = 1 - features @ normalize(centroids).mT  # [N, C]
        else:
            distances = torch.linalg.vector_norm(features[:, None] - centroids, dim=-1)
        # Where no class is kept, all are as far as each other: the predictions stand.
        nearest = distances.masked_fill(~kept, torch.inf).argmin(dim=1)
        labels = torch.where(kept.any(), nearest, labels)
        shares = one_hot(labels, num_classes).to(features.dtype)
        if not keeps_classes:
            kept = one_hot(labels, num_classes).sum(dim=0) > threshold
    return labels


def _start(begin: "Start") -> "dict[str, Tensor]":
    import torch

    return {"labels": torch.zeros(begin.num_target, dtype=torch.int64)}


def _each_epoch(context: "EpochContext") -> "dict[str, Tensor]":
    target = context.evaluation.target
    return {"labels": centroid_labels(target.features, target.logits.softmax(dim=1))}


def _loss(step: "Step") -> "Tensor":
    from torch.nn.functional import cross_entropy

    return cross_entropy(step.target_logits, step.state["labels"][step.target_places])


CENTROID_LABELS = Term(
    name="centroid_labels",
    label="centroid pseudo-labels",
    loss=_loss,
    weight=Weight(
        name="centroid_labels",
        default=0.3,
        about="classification by SHOT's pseudo-labels, renewed each epoch",
        origin="the authors' program",
    ),
    start=_start,
    each_epoch=_each_epoch,
    uses_source=False,
)


def _loss_by_batch(step: "Step") -> "Tensor":
    from torch.nn.functional import cross_entropy

    features, probabilities = step.target_features, step.target_logits.softmax(dim=1)
    labels = centroid_labels(features.detach(), probabilities.detach(), keeps_classes=True)
    return cross_entropy(step.target_logits, labels)


FROZEN_CLASSIFIER = Term(
    name="frozen_classifier",
    label="frozen classifier",
    freezes=lambda parameter: parameter.startswith("video_classifier"),
    uses_source=False,
)

_INFORMATION = replace(
    IM,
    name="information_shot",
    weight=Weight(
        name="im_shot",
        default=1.0,
        about="of the information maximisation of a trained model",
        origin="published",
    ),
)

SHOT = register_method(
    Method(
        name="shot",
        label="SHOT",
        source="Liang et al., ICML 2020",
        trains_on="nothing",
        terms=(_INFORMATION, CENTROID_LABELS, FROZEN_CLASSIFIER),
    )
)

SHOT_ATCON = register_method(
    Method(
        name="shot-atcon",
        label="ATCoN",
        source="Xu et al., ECCV 2022",
        trains_on="nothing",
        terms=(
            Term(
                name="information_atcon",
                label="information maximisation",
                loss=IM.loss,
                fewest=IM.fewest,
                weight=Weight(
                    name="im_atcon",
                    default=0.5,
                    about="of the information maximisation beside ATCoN's consistency",
                    origin="the authors' program",
                ),
                uses_source=False,
            ),
            Term(
                name="batch_labels",
                label="centroid pseudo-labels of the batch",
                loss=_loss_by_batch,
                weight=Weight(
                    name="batch_labels",
                    default=0.2,
                    about="classification by pseudo-labels from the centroids of the batch",
                    origin="the authors' program",
                ),
                uses_source=False,
            ),
            FROZEN_CLASSIFIER,
            *ATCON.terms,
        ),
    )
)
