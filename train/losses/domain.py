"""Adversarial domain loss of one level: L_sd, L_rd or L_td of equation 1.

Shapes: S source and T target items: frames, relations or videos, in any leading dimensions.
"""

import torch
from torch import Tensor


def domain_loss(source_logits: Tensor, target_logits: Tensor) -> Tensor:
    """Return the mean domain cross-entropy over all items of both domains, in nats.

    `1/N_{S u T} sum_i L_d^i`: the domains count by their number of items, and the K-1 relation
    discriminators are pooled into one mean. Equation 1 subtracts this term for the features and
    minimises it for the discriminator; here it is only ever added, since the gradient reversal
    inside the discriminator carries the minus and the trade-off.

    Args:
        source_logits: domain logits of source items, [S..., 2].
        target_logits: domain logits of target items, [T..., 2].
    """
    source = source_logits.flatten(end_dim=-2).log_softmax(dim=-1)[:, 0]
    target = target_logits.flatten(end_dim=-2).log_softmax(dim=-1)[:, 1]
    return -torch.cat([source, target]).mean()
