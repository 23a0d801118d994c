"""A closed form that was fitted, as a model: averaged frames, a map of each domain, a classifier.

Shapes: B videos, K segments, D cached feature width, E the width after the maps, N source training
videos, C classes.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ta3n.train.layers.reversal import Coefficients
from ta3n.train.methods.closed_form import ABSENT
from ta3n.train.model.model import ModelOutput


class _Map(nn.Module):
    """(x - mean) / scale, times a matrix if there is one: [B, D] to [B, E]."""

    mean: Tensor
    scale: Tensor
    matrix: Tensor | None

    def __init__(self, mean: Tensor, scale: Tensor, matrix: Tensor | None) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)
        self.register_buffer("matrix", matrix)

    def forward(self, videos: Tensor) -> Tensor:
        """Map videos."""
        scaled = (videos - self.mean) / self.scale
        return scaled if self.matrix is None else scaled @ self.matrix


class Nearest(nn.Module):
    """Scores classes by the nearest item: minus its squared distance, [B, E] to [B, C].

    Args:
        items: [N, E].
        labels: int64 [N].
        num_classes: C; one that no item is of gets the score `ABSENT`.
    """

    weight: Tensor
    labels: Tensor

    def __init__(self, items: Tensor, labels: Tensor, num_classes: int) -> None:
        super().__init__()
        self.register_buffer("weight", items)
        self.register_buffer("labels", labels)
        self._num_classes = num_classes

    def forward(self, videos: Tensor) -> Tensor:
        """Return the scores."""
        squared = torch.cdist(
            videos, self.weight, compute_mode="donot_use_mm_for_euclid_dist"
        ).square()  # [B, N]
        scores = squared.new_full((len(videos), self._num_classes), ABSENT)
        of_each = self.labels.expand_as(squared)
        return scores.scatter_reduce(1, of_each, -squared, "amax", include_self=False)


class AlignedModel(nn.Module):
    """What a closed form came to. It is called as `TA3N` is, and has neither dropout nor gradient.

    Args:
        weights: of the maps and the classifier, by the names that `state_dict` gives them.
        num_classes: C.
    """

    def __init__(self, weights: Mapping[str, Tensor], num_classes: int) -> None:
        super().__init__()
        self.source, self.target = (
            _Map(weights[f"{side}.mean"], weights[f"{side}.scale"], weights.get(f"{side}.matrix"))
            for side in ("source", "target")
        )
        weight, bias = weights["video_classifier.weight"], weights.get("video_classifier.bias")
        self.video_classifier: nn.Linear | Nearest
        if bias is None:
            labels = weights["video_classifier.labels"]
            self.video_classifier = Nearest(weight, labels, num_classes)
        else:
            self.video_classifier = nn.Linear(weight.shape[1], num_classes)
            self.video_classifier.load_state_dict({"weight": weight, "bias": bias})
        self.requires_grad_(False)

    @classmethod
    def of(cls, fitted: Mapping[str, Any], num_classes: int) -> "AlignedModel":
        """Return the model of the arrays that `fit` returned, in single precision."""
        tensors = {name: torch.as_tensor(array) for name, array in fitted.items()}
        singles = {n: t.float() if t.is_floating_point() else t for n, t in tensors.items()}
        return cls(singles, num_classes)

    def forward(
        self, features: Tensor, _coefficients: Coefficients, *, num_source: int = 0
    ) -> ModelOutput:
        """Score videos, the first `num_source` as source videos: [B, K, D] to logits [B, C].

        The scores of a class are no log probabilities: margins of an SVM, or negative squared
        distances.
        """
        means = features.mean(dim=1)
        mapped = torch.cat([self.source(means[:num_source]), self.target(means[num_source:])])
        return ModelOutput(
            logits=self.video_classifier(mapped), video_features=mapped, classified=mapped
        )
