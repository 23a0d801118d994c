"""CAN: the discrepancy of equal classes is made small, that of different classes large.

Before each epoch the target videos are clustered around the means of the source's classes
(spherical k-means), which gives them the classes that the discrepancy is measured by.

Shapes: n source and m target videos of a batch, N target training videos, C classes, F the width of
a layer, V that of features.
"""

from typing import TYPE_CHECKING

from ta3n.train.methods.base import Method, Term, Weight
from ta3n.train.methods.registry import register_method

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from ta3n.train.loop.objective import EpochContext, Start, Step

_SCALES = (0.25, 0.5, 1.0, 2.0, 4.0)
_LEAST, _LARGEST = 1e-5, 1e5
_BANDWIDTH_FLOOR = 1e-12
_ROUNDS = 100


def contrastive_discrepancy(
    source: "Sequence[Tensor]", target: "Sequence[Tensor]", of_source: "Tensor", of_target: "Tensor"
) -> "Tensor":
    """Return the mean squared MMD of equal classes minus that of different ones.

    Each pair of a source class and a target class has bandwidths of its own; means are biased,
    as they include an item's pair with itself. Classes that a batch does not hold in both domains
    are left out of the means, and a mean of nothing is 0.

    Args:
        source: layers, each [n, F]; their kernels are added.
        target: the same layers, each [m, F].
        of_source: memberships in classes, 0 or 1, [n, C].
        of_target: likewise [m, C]; a row of zeros takes a video out.
    """
    import torch

    pairs = [
        _discrepancies(s, t, of_source, of_target) for s, t in zip(source, target, strict=True)
    ]
    discrepancies = torch.stack(pairs).sum(dim=0)  # [C, C], source by target class
    in_both = ((of_source.sum(dim=0) > 0) & (of_target.sum(dim=0) > 0)).to(discrepancies)
    present = in_both[:, None] * in_both
    same = present * torch.eye(len(present), dtype=present.dtype, device=present.device)
    other = present - same
    within = (same * discrepancies).sum() / same.sum().clamp_min(1)
    between = (other * discrepancies).sum() / other.sum().clamp_min(1)
    return within - between


def _discrepancies(
    source: "Tensor", target: "Tensor", of_source: "Tensor", of_target: "Tensor"
) -> "Tensor":
    """Return the squared MMD of every source class and target class by one layer, [C, C]."""
    import torch

    from ta3n.train.losses.mmd import squared_distances

    count_s, count_t = of_source.sum(dim=0), of_target.sum(dim=0)
    distances = squared_distances(torch.cat([source, target]))
    n = len(source)
    ss, st, tt = distances[:n, :n], distances[:n, n:], distances[n:, n:]
    with torch.no_grad():
        sum_s = ((of_source.T @ ss) * of_source.T).sum(dim=1)  # [C]
        sum_t = ((of_target.T @ tt) * of_target.T).sum(dim=1)
        sums = sum_s[:, None] + sum_t + 2 * of_source.T @ st @ of_target
        items = count_s[:, None] + count_t
        bandwidths = (sums / (items * (items - 1)).clamp_min(1)).clamp_min(_BANDWIDTH_FLOOR)
    # [n, n, C]: pairs within a source class, by the bandwidth with each target class.
    within_s = _kernel(ss[:, :, None], (of_source @ bandwidths)[:, None])
    within_t = _kernel(tt[:, :, None], (of_target @ bandwidths.T)[:, None])
    across = _kernel(st, of_source @ bandwidths @ of_target.T)  # [n, m]
    # One contraction after the other: the mean over pairs of one class.
    mean_s = _class_sums(within_s, of_source) / count_s.square().clamp_min(1)[:, None]
    mean_t = _class_sums(within_t, of_target).T / count_t.square().clamp_min(1)
    mean_st = of_source.T @ across @ of_target / (count_s[:, None] * count_t).clamp_min(1)
    return mean_s + mean_t - 2 * mean_st


def _kernel(distances: "Tensor", bandwidths: "Tensor") -> "Tensor":
    """Return the sum of five Gaussian kernels; beyond the bounds no gradient arrives."""
    import torch

    # Where an item belongs to no class there is no bandwidth, and nothing is counted.
    ratios = distances / bandwidths.clamp_min(_BANDWIDTH_FLOOR)
    kernels = [torch.exp(-(ratios / scale).clamp(_LEAST, _LARGEST)) for scale in _SCALES]
    return torch.stack(kernels).sum(dim=0)


def _class_sums(kernels: "Tensor", memberships: "Tensor") -> "Tensor":
    """Return the sums of [n, n, C] over the pairs within each class: [class, C]."""
    import torch

    return torch.einsum("ic,ijd,jc->cd", memberships, kernels, memberships)


def spherical_clusters(features: "Tensor", centres: "Tensor") -> "Tensor":
    """Return the cluster of each video by cosine, int64 [N]; branches on data.

    Args:
        features: [N, V].
        centres: at the start, one a class, [C, V]; a cluster that runs empty keeps its centre. One
            of zeros, of a class without source videos, has no direction and takes no video.
    """
    import torch
    import torch.nn.functional as F

    directions = F.normalize(features, dim=1)
    centres = F.normalize(centres, dim=1)
    absent = ~centres.any(dim=1)  # [C]

    def nearest() -> "Tensor":
        return (directions @ centres.T).masked_fill(absent, -torch.inf).argmax(dim=1)

    clusters = nearest()
    for _ in range(_ROUNDS):
        members = F.one_hot(clusters, len(centres)).to(features)  # [N, C]
        moved = F.normalize(members.T @ directions, dim=1)
        centres = torch.where((members.sum(dim=0) > 0)[:, None], moved, centres)
        before, clusters = clusters, nearest()
        if torch.equal(before, clusters):
            break
    return clusters


def _start(begin: "Start") -> "Mapping[str, Tensor]":
    import torch

    return {"classes": torch.zeros(begin.num_target, dtype=torch.int64)}


def _each_epoch(context: "EpochContext") -> "Mapping[str, Tensor]":
    import torch.nn.functional as F

    source = F.normalize(context.evaluation.source.features, dim=1)
    classes = F.one_hot(context.data.source_labels, context.model.spec.num_classes).to(source)
    return {"classes": spherical_clusters(context.evaluation.target.features, classes.T @ source)}


def _members(classes: "Tensor", like: "Tensor") -> "Tensor":
    """Return memberships in the classes of logits `like`, [..., C], 0 or 1."""
    import torch

    return (classes[:, None] == torch.arange(like.shape[1], device=like.device)).to(like)


def _loss(step: "Step") -> "Tensor":
    first, classes = step.num_source, step.state["classes"][step.target_places]
    features, predictions = step.output.video_features, step.output.logits.softmax(dim=1)
    return contrastive_discrepancy(
        [features[:first], predictions[:first]],
        [features[first:], predictions[first:]],
        _members(step.labels, predictions),
        _members(classes, predictions),
    )


CDD = Term(
    name="contrastive_discrepancy",
    label="discrepancy of classes by clustering",
    loss=_loss,
    sources="pairs",
    weight=Weight(
        name="cdd",
        default=0.03,
        about="of the contrastive domain discrepancy of CAN",
        origin="by im on rendered clips; the authors' 0.3 loses the source's classes",
    ),
    start=_start,
    each_epoch=_each_epoch,
)

register_method(Method(name="cdd", label="CAN", source="Kang et al., CVPR 2019", terms=(CDD,)))
