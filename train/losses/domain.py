"""Adversarial domain loss of one level: L_sd, L_rd or L_td of equation 1.

Shapes: S source and T target items: frames, relations or videos, in any leading dimensions; M
domains, 2 unless several sources are domains of their own.
"""

import torch
from torch import Tensor


def domain_loss(*logits: Tensor) -> Tensor:
    """Return the mean domain cross-entropy over all items of all domains, in nats.

    `1/N_{S u T} sum_i L_d^i`: the domains count by their number of items, and the K-1 relation
    discriminators are pooled into one mean. Equation 1 subtracts this term for the features and
    minimises it for the discriminator; here it is only ever added, since the gradient reversal
    inside the discriminator carries the minus and the trade-off.

    Args:
        logits: domain logits of the items of each domain in order, [S..., M] of the source (of each
            source), [T..., M] of the target last.
    """
    own = [
        items.flatten(end_dim=-2).log_softmax(dim=-1)[:, domain]
        for domain, items in enumerate(logits)
    ]
    return -torch.cat(own).mean()
