"""CDAN: a domain discriminator that sees features together with what they are classified as.

Shapes: B videos, the first B_S source and B_T target after them, C classes, F feature width, d the
width of the randomised map, M domains: 2 unless several sources are domains of their own.

Source: Long et al., "Conditional Adversarial Domain Adaptation", NeurIPS 2018, sections 3.2 and
3.3. Predictions and entropy weights are constants here; in the authors' program the gradient of the
weights passes to the classifier, reversed, and each domain has its own sum: `cdan-e-original`.
"""

from collections.abc import Callable, Mapping
from math import sqrt
from typing import TYPE_CHECKING, Literal, TypeAlias

from ta3n.train.methods.base import Method, Term, Weight
from ta3n.train.methods.registry import register_method

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ta3n.train.layers.reversal import Coefficient
    from ta3n.train.loop.objective import Start, Step
    from ta3n.train.model.model import ModelSpec

Conditioning = Literal["none", "entropy", "original"]
"""How videos are weighed: alike, by the entropy of predictions, or as in the authors' program."""

Maps: TypeAlias = "Mapping[str, Tensor]"
"""The matrices of the randomised map: `features` [F, d] and `classes` [C, d]; empty without."""

_HIDDEN = 1024
_LARGEST_PRODUCT = 4096  # C F above which the paper takes the randomised map
_RANDOM_WIDTH = 1024
_EPSILON = 1e-5


def joint_features(predictions: "Tensor", features: "Tensor", maps: Maps) -> "Tensor":
    """Return the multilinear map of predictions [B, C] and features [B, F].

    Returns:
        All products, [B, C F], class by class; or with matrices the randomised map, [B, d].
    """
    if not maps:
        return (predictions.unsqueeze(2) * features.unsqueeze(1)).flatten(1)
    width = maps["features"].shape[1]
    return (features @ maps["features"]) * (predictions @ maps["classes"]) / sqrt(width)


def certainty(predictions: "Tensor", coefficient: "Coefficient | None" = None) -> "Tensor":
    """Return 1 + exp(-entropy) of predictions [B, C] as [B], between 1 and 2.

    Args:
        coefficient: of a reversal of the entropy's gradient, or none.
    """
    from ta3n.train.layers.reversal import reverse_gradient

    entropy = -(predictions * (predictions + _EPSILON).log()).sum(dim=-1)
    if coefficient is not None:
        entropy = reverse_gradient(entropy, coefficient)
    return 1 + (-entropy).exp()


def cdan_loss(
    logits: "Tensor",
    features: "Tensor",
    *,
    num_source: int,
    judge: "Callable[[Tensor], Tensor]",
    coefficient: "Coefficient",
    conditioning: Conditioning,
    maps: Maps,
) -> "Tensor":
    """Return the domain loss of a conditional discriminator, 0-d.

    Args:
        logits: of the classes, [B, C].
        features: [B, F]; their gradient alone is reversed, and the logits have none but with
            `original`.
        num_source: B_S.
        judge: the discriminator: of [B, C F] (or [B, d]) a logit [B, 1] of being source, or with
            more domains one for each, [B, M].
        coefficient: of the reversal.
        conditioning: `entropy` has the weights sum to B over both domains, `original` to 1/2 in
            each.
        maps: matrices of the randomised map, empty for the multilinear one.
    """
    import torch
    from torch.nn import functional as F

    from ta3n.train.layers.domains import by_domain
    from ta3n.train.layers.reversal import reverse_gradient

    predictions = logits.softmax(dim=-1)
    joint = joint_features(predictions.detach(), features, maps)
    judged = judge(reverse_gradient(joint, coefficient))
    num_domains = max(judged.shape[-1], 2)
    if num_domains == 2:
        judged = judged.squeeze(-1)  # [B]
        is_source = (torch.arange(len(judged), device=judged.device) < num_source).to(judged)
        each = F.binary_cross_entropy_with_logits(judged, is_source, reduction="none")
    else:
        own = by_domain(judged.log_softmax(dim=-1), num_source, num_domains)
        each = -torch.cat([rows[:, domain] for domain, rows in enumerate(own)])  # [B]
    if conditioning == "none":
        return each.mean()
    if conditioning == "entropy":
        weights = certainty(predictions.detach())
        return (each * weights).sum() / weights.sum()
    weights = certainty(predictions, coefficient)
    pairs = zip(*(by_domain(x, num_source, num_domains) for x in (each, weights)), strict=True)
    halves = [(losses * w).sum() / w.detach().sum() for losses, w in pairs]
    return torch.stack(halves).mean()


def _uses_maps(spec: "ModelSpec", *, randomised: bool) -> bool:
    return randomised or spec.num_classes * spec.video_dim > _LARGEST_PRODUCT


def _register(
    name: str,
    label: str,
    where: str,
    conditioning: Conditioning,
    videos: str = "",
    *,
    randomised: bool = False,
) -> None:
    term_name = f"adversarial_{name.replace('-', '_')}"

    def modules(spec: "ModelSpec") -> "dict[str, nn.Module]":
        from torch import nn

        from ta3n.train.layers.initialisation import Linear

        uses_maps = _uses_maps(spec, randomised=randomised)
        width = _RANDOM_WIDTH if uses_maps else spec.num_classes * spec.video_dim
        discriminator = nn.Sequential(
            Linear(width, _HIDDEN, "default"),
            nn.ReLU(),
            Linear(_HIDDEN, _HIDDEN, "default"),
            nn.ReLU(),
            Linear(_HIDDEN, 1 if spec.num_domains == 2 else spec.num_domains, "default"),
        )
        return {term_name: discriminator}

    def start(begin: "Start") -> "dict[str, Tensor]":
        import torch

        spec = begin.model.spec
        if not _uses_maps(spec, randomised=randomised):
            return {}
        sizes = {"features": spec.video_dim, "classes": spec.num_classes}
        return {
            key: torch.randn(size, _RANDOM_WIDTH, generator=begin.generator)
            for key, size in sizes.items()
        }

    def loss(step: "Step") -> "Tensor":
        return cdan_loss(
            step.output.logits,
            step.output.video_features,
            num_source=step.num_source,
            judge=step.model.extra[term_name],
            coefficient=step.weights[_WEIGHT.name],
            conditioning=conditioning,
            maps=step.state,
        )

    term = Term(
        name=term_name,
        label=f"a conditional discriminator{videos}",
        loss=loss,
        weight=_WEIGHT,
        scales="gradient",
        modules=modules,
        start=start,
        sources="classes",
    )
    source = f"Long et al., NeurIPS 2018, {where}"
    register_method(Method(name=name, label=label, source=source, terms=(term,)))


_WEIGHT = Weight(
    name="cdan",
    default=0.3,
    about="gradient reversal of CDAN's discriminator",
    origin="ours: by stability on rendered clips, where the published ramp to 1 went up and down",
    ramps=True,
)

_register("cdan", "CDAN", "section 3.2", "none")
_register("cdan-e", "CDAN+E", "section 3.3", "entropy", " of sure videos")
_register(
    "cdan-e-original",
    "CDAN+E as programmed",
    "the authors' program",
    "original",
    " of sure videos, weights with gradient",
)
_register(
    "cdan-e-random",
    "CDAN+E randomised",
    "section 3.2, the randomised map",
    "entropy",
    " of sure videos, randomised map",
    randomised=True,
)
