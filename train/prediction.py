"""Class logits of a trained model.

Shapes: N videos, K segments, D feature width, C classes.
"""

import torch
from torch import Tensor

from ta3n.train.model import TA3N
from ta3n.train.reversal import Coefficients

NO_REVERSAL = Coefficients(relation=0.0, video=0.0, frame=0.0)


@torch.no_grad()
def predict(model: TA3N, features: Tensor, batch_size: int) -> Tensor:
    """Return class logits without dropout, leaving the model as it was.

    Args:
        model: its weights decide device and type.
        features: [N, K, D], on any device.
        batch_size: videos per forward pass.

    Returns:
        Logits [N, C] on the model's device.
    """
    weight = model.video_classifier.weight
    was_training = model.training
    model.eval()
    try:
        parts = torch.split(features, batch_size)
        return torch.cat([model(part.to(weight), NO_REVERSAL).logits for part in parts])
    finally:
        model.train(was_training)
