"""MDD: an adversarial classifier that leaves the main one on the target alone.

Shapes: B_S source and B_T target videos, C classes, V video feature width.

Source: Zhang et al., "Bridging Theory and Algorithm for Domain Adaptation", ICML 2019, section 4.
"""

from typing import TYPE_CHECKING

from ta3n.train.methods.base import Method, Term, Weight
from ta3n.train.methods.registry import register_method

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ta3n.train.loop.objective import Step
    from ta3n.train.model.model import ModelSpec

_MARGIN = 4.0  # gamma of the paper
_OFFSET = 1e-6
_HIDDEN = 1024
_SHARE = 0.1


def source_disparity(logits: "Tensor", adversarial: "Tensor") -> "Tensor":
    """Return how much an adversary departs from the main classifier, [B_S].

    Args:
        logits: of the main classifier, [B_S, C]; it gets no gradient.
        adversarial: logits of the adversary, [B_S, C].
    """
    from torch.nn import functional as F

    return F.cross_entropy(adversarial, logits.argmax(dim=-1), reduction="none")


def target_disparity(logits: "Tensor", adversarial: "Tensor") -> "Tensor":
    """Return log(1 - q + 1e-6), at most 0, as [B_T]: q is the adversary's share of our class.

    Args:
        logits: of the main classifier, [B_T, C]; it gets no gradient.
        adversarial: logits of the adversary, [B_T, C].
    """
    label = logits.argmax(dim=-1, keepdim=True)
    agreed = adversarial.softmax(dim=-1).gather(-1, label).squeeze(-1)
    return (1 - agreed + _OFFSET).clamp(max=1.0).log()


def margin_disparity_discrepancy(
    source: "Tensor",
    adversarial_source: "Tensor",
    target: "Tensor",
    adversarial_target: "Tensor",
    *,
    margin: float = _MARGIN,
) -> "Tensor":
    """Return what the adversary maximises and features minimise, 0-d: a mean of each domain.

    Args:
        source: logits of the main classifier, [B_S, C].
        adversarial_source: logits of the adversary, [B_S, C].
        target: logits of the main classifier, [B_T, C].
        adversarial_target: logits of the adversary, [B_T, C].
        margin: weight of the source.
    """
    on_source = source_disparity(source, adversarial_source).mean()
    return target_disparity(target, adversarial_target).mean() - margin * on_source


def _modules(spec: "ModelSpec") -> "dict[str, nn.Module]":
    from torch import nn

    from ta3n.train.layers.initialisation import Linear

    # Published features are batch-normalised. Without a norm they grow for good: there is no other
    # bound to a cross-entropy that they maximise.
    adversary = nn.Sequential(
        nn.LayerNorm(spec.video_dim, elementwise_affine=False),
        Linear(spec.video_dim, _HIDDEN, "default"),
        nn.ReLU(),
        Linear(_HIDDEN, spec.num_classes, "default"),
    )
    return {"mdd": adversary}


def _loss(step: "Step") -> "Tensor":
    from ta3n.train.layers.reversal import reverse_gradient

    turned = reverse_gradient(step.output.classified, step.weights["mdd"])
    adversarial = step.model.extra["mdd"](turned)
    # Published programs turn a tenth of the gradient. Taking a tenth of all is the same for the
    # features, and lets the adversary learn at its published rate where the model's is far higher.
    return -_SHARE * margin_disparity_discrepancy(
        step.source_logits,
        adversarial[: step.num_source],
        step.target_logits,
        adversarial[step.num_source :],
    )


MDD = Term(
    name="disparity_mdd",
    label="MDD",
    loss=_loss,
    weight=Weight(
        name="mdd",
        default=0.1,
        about="gradient reversal of MDD's classifier",
        origin="ours: the published ramp left two of twelve classes of rendered clips",
        ramps=True,
    ),
    scales="gradient",
    modules=_modules,
)

register_method(
    Method(name="mdd", label="MDD", source="Zhang et al., ICML 2019, section 4", terms=(MDD,))
)
