"""Shannon entropy of predicted distributions, in nats, and the attentive entropy loss.

Shapes: C classes (2 for domains, M with several sources), B videos of all domains; any leading
dimensions.
"""

from math import log

from torch import Tensor


def entropy(logits: Tensor) -> Tensor:
    """Return H(softmax(logits)) over the last dimension: [..., C] to [...], between 0 and ln C.

    Written with the logarithm of the softmax, so that a probability of zero contributes zero
    instead of NaN: finite for any finite logits.
    """
    log_probabilities = logits.log_softmax(dim=-1)
    return -(log_probabilities.exp() * log_probabilities).sum(dim=-1)


def domain_entropy(logits: Tensor) -> Tensor:
    """Return the entropy of domains, [..., M] to [...], between 0 and ln 2 however many there are.

    Of more than two domains it is scaled by ln 2 / ln M (ours), so that what is made of it, such as
    attention, has the range that it has with two.
    """
    num_domains = logits.shape[-1]
    if num_domains == 2:
        return entropy(logits)
    return entropy(logits) * (log(2) / log(num_domains))


def attentive_entropy_loss(class_logits: Tensor, domain_logits: Tensor) -> Tensor:
    """Return the mean of (1 + H(d)) H(y) over all videos: L_ae of equation 1 (section 2.3).

    Certainty is asked most of those videos whose domain is hardest to tell. The gradient flows
    through both entropies.

    Args:
        class_logits: [B, C].
        domain_logits: video-level domain logits, [B, M]. Always of the video level: the authors'
            program silently took another one where this discriminator was left out.
    """
    return ((1 + domain_entropy(domain_logits)) * entropy(class_logits)).mean()
