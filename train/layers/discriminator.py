"""The adversarial domain discriminator of sections 2.1 and 2.2.

Shapes: F feature width; the two logits are source (index 0) and target (index 1). Where several
sources are domains of their own, there is one for each source, and the target's is the last.
"""

from torch import Tensor, nn

from ta3n.train.layers.initialisation import Linear, Start
from ta3n.train.layers.reversal import Coefficient, reverse_gradient


class Discriminator(nn.Module):
    """Gradient reversal, Linear F->F, ReLU, Linear F->2: the paper's G_d with its hat.

    The reversal lives here and nowhere else, so a gradient can be reversed neither twice nor never.

    Args:
        width: F. The hidden layer is as wide as the input.
        num_domains: M, how many domains are told apart.
    """

    def __init__(self, width: int, start: Start = "normal", *, num_domains: int = 2) -> None:
        super().__init__()
        self.hidden = Linear(width, width, start)
        self.output = Linear(width, num_domains, start)

    def forward(self, features: Tensor, coefficient: Coefficient) -> Tensor:
        """Map features [..., F] to domain logits [..., M]."""
        hidden = self.hidden(reverse_gradient(features, coefficient)).relu()
        logits: Tensor = self.output(hidden)
        return logits
