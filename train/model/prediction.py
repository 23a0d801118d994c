"""What a trained model makes of videos: class logits and video features.

Shapes: N videos, K segments, D feature width, V video feature width, C classes of all heads, H
trained heads.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ta3n.train.layers.reversal import Coefficients
from ta3n.train.methods.heads import ClassHead, columns_of
from ta3n.train.methods.rejection import Rejection
from ta3n.train.model.aligned import AlignedModel
from ta3n.train.model.model import TA3N
from ta3n.train.model.videos import Videos, over_views, views_of

NO_REVERSAL = Coefficients(relation=0.0, video=0.0, frame=0.0)
"""For forward passes without an adversary."""

BATCH_SIZE = 512
"""Videos in a forward pass, while training and after: figures come out to the bit."""


class Observation(NamedTuple):
    """Outputs of a model in evaluation mode, on its device.

    Attributes:
        logits: Class logits [N, C].
        features: Video features right before the classifier, [N, V].
    """

    logits: Tensor
    features: Tensor


def classes_of(
    logits: Tensor, heads: Sequence[ClassHead] = (), rejection: Rejection | None = None
) -> Tensor:
    """Return the class with the largest logit, int64 [N]; of each trained head [N, H].

    Args:
        logits: [N, C].
        heads: All there are; none for a single one.
        rejection: Tells what is unknown instead, with a single head.
    """
    if not heads:
        told = logits.argmax(dim=1)
        if rejection is None:
            return told
        return told.masked_fill(rejection.rejects(logits.softmax(dim=1)), rejection.label)
    columns = columns_of(heads)
    return torch.stack([logits[:, columns[h.name]].argmax(dim=1) for h in heads if h.weight], dim=1)


def probabilities_of(logits: Tensor, heads: Sequence[ClassHead] = ()) -> Tensor:
    """Return the probabilities of the classes, [N, C]; with several heads each sums to 1."""
    if not heads:
        return logits.softmax(dim=1)
    parts = [logits[:, columns].softmax(dim=1) for columns in columns_of(heads).values()]
    return torch.cat(parts, dim=1)


@torch.no_grad()
def observe(
    model: TA3N | AlignedModel,
    videos: Videos,
    batch_size: int = BATCH_SIZE,
    *,
    are_source: bool = False,
) -> Observation:
    """Run a model without dropout, leaving it as it was.

    Args:
        model: Its weights decide device and type.
        videos: Frame features [N, K, D], on any device. Of several views of a video logits and
            features are the mean.
        batch_size: Videos per forward pass.
        are_source: Whether normalisation per domain takes them for source videos.
    """
    weight = model.video_classifier.weight
    was_training = model.training
    model.eval()
    try:
        seen = []
        for part, num_views in views_of(videos, batch_size):
            output = model(part.to(weight), NO_REVERSAL, num_source=len(part) if are_source else 0)
            seen.append(
                Observation(
                    logits=over_views(output.logits, num_views),
                    features=over_views(output.video_features, num_views),
                )
            )
        return Observation(*map(torch.cat, zip(*seen, strict=True)))
    finally:
        model.train(was_training)
