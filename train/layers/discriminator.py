"""The adversarial domain discriminator of sections 2.1 and 2.2.

Shapes: F feature width; the two logits are source (index 0) and target (index 1).
"""

from torch import Tensor, nn

from ta3n.train.layers.initialisation import Linear, Start
from ta3n.train.layers.reversal import Coefficient, reverse_gradient


class Discriminator(nn.Module):
    """Gradient reversal, Linear F->F, ReLU, Linear F->2: the paper's G_d with its hat.

    The reversal lives here and nowhere else, so a gradient can be reversed neither twice nor never.

    Args:
        width: F. The hidden layer is as wide as the input.
    """

    def __init__(self, width: int, start: Start = "normal") -> None:
        super().__init__()
        self.hidden = Linear(width, width, start)
        self.output = Linear(width, 2, start)

    def forward(self, features: Tensor, coefficient: Coefficient) -> Tensor:
        """Map features [..., F] to domain logits [..., 2]."""
        hidden = self.hidden(reverse_gradient(features, coefficient)).relu()
        logits: Tensor = self.output(hidden)
        return logits
