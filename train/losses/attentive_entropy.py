"""Attentive entropy L_ae, the second term of equation 1 (section 2.3).

Shapes: B videos of both domains, C classes.
"""

from torch import Tensor

from ta3n.train.losses.entropy import entropy


def attentive_entropy_loss(class_logits: Tensor, domain_logits: Tensor) -> Tensor:
    """Return the mean of (1 + H(d)) H(y) over all videos.

    Certainty is asked most of those videos whose domain is hardest to tell. The gradient flows
    through both entropies.

    Args:
        class_logits: [B, C].
        domain_logits: video-level domain logits, [B, 2]. Always of the video level: the authors'
            program silently took another one where this discriminator was left out.

    Returns:
        A 0-d tensor, in nats (the product of an entropy and a factor between 1 and 1 + ln 2).
    """
    return ((1 + entropy(domain_logits)) * entropy(class_logits)).mean()
