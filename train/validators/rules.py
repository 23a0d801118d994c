"""The label-free rules that choose an epoch, and what they may see.

No torch is loaded here: tables and pages read what the rules are called.

Shapes: N target videos, S source training videos, M held-out source videos, at least one of each,
E feature width, C classes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from inspect import signature
from math import exp, isfinite, log, sqrt
from typing import TYPE_CHECKING, Any

from ta3n.common.errors import DataConflictError

if TYPE_CHECKING:
    from torch import Tensor
else:
    Tensor = Any

_TEMPERATURE = 0.05
_ROWS = 128  # bounds the memory: one block of similarities is [128, N]

MOST_COMPARED = 4096
"""Target videos that `snd` compares with each other: of more, so many are drawn."""
_COMPARED_SEED = 0

FEWEST_EFFECTIVE = 25
"""Effective sample below which `dev` is withheld: an error rate near one half, measured on 25
videos, has a standard error of 10 points, more than most methods gain."""

MOST_MEAN_WEIGHT = 2.0
"""Weights are 1 in the mean if the density ratio holds on the held-out videos; where their mean is
twice that or half of it, so may be the error that they estimate."""


@dataclass(frozen=True, kw_only=True)
class ValidatorInputs:
    """A model's outputs after an epoch. There is no place for a target label.

    Features are those of whole videos, right before the classifier. Everything may lie on any
    device; features on one and the same.

    Attributes:
        target_logits: Class logits of unlabelled target videos, [N, C].
        target_features: Of the same videos, [N, E].
        source_features: Of source training videos, [S, E].
        held_out_logits: Class logits of labelled source videos that nothing was learned from,
            [M, C].
        held_out_features: Of the same videos, [M, E].
        held_out_labels: Their class indices, int64 [M].

    Raises:
        DataConflictError: If there is no target video, or shapes do not fit together.
    """

    target_logits: Tensor
    target_features: Tensor | None = None
    source_features: Tensor | None = None
    held_out_logits: Tensor | None = None
    held_out_features: Tensor | None = None
    held_out_labels: Tensor | None = None

    def __post_init__(self) -> None:
        if self.target_logits.ndim != 2 or 0 in self.target_logits.shape:
            raise DataConflictError(
                f"target_logits are {list(self.target_logits.shape)}; expected [N, C] with at"
                " least one video and one class"
            )
        n, c = self.target_logits.shape
        m = 0 if self.held_out_logits is None else len(self.held_out_logits)
        features = (self.target_features, self.source_features, self.held_out_features)
        e = next((f.shape[-1] for f in features if f is not None), 0)
        _check("target_features", self.target_features, (n, e))
        _check("source_features", self.source_features, (None, e))
        _check("held_out_logits", self.held_out_logits, (m, c))
        _check("held_out_features", self.held_out_features, (m, e))
        _check("held_out_labels", self.held_out_labels, (m,))
        labels = self.held_out_labels
        if labels is not None and str(labels.dtype) != "torch.int64":
            raise DataConflictError(f"held_out_labels are {labels.dtype}; expected torch.int64")


def _check(name: str, value: Tensor | None, expected: tuple[int | None, ...]) -> None:
    """Refuse a tensor of another shape; None stands for any length."""
    if value is None:
        return
    sizes = expected if value.ndim == len(expected) else (-1,) * value.ndim
    if any(size not in (None, got) for size, got in zip(sizes, value.shape, strict=True)):
        wanted = ["any" if size is None else size for size in expected]
        raise DataConflictError(
            f"{name} are {list(value.shape)}; expected {wanted}, to fit the other outputs"
        )


@dataclass(frozen=True, kw_only=True)
class Score:
    """What a rule says of an epoch.

    Attributes:
        value: Higher is better; a finite number.
        measures: What the value rests on, by name.
        withheld: Why it means nothing and may not choose, in words; empty where it may.
    """

    value: float
    measures: Mapping[str, float] = field(default_factory=dict)
    withheld: str = ""


@dataclass(frozen=True, kw_only=True)
class Validator:
    """One label-free rule.

    Attributes:
        description: What a high score means, in one line.
        citation: Where it comes from.
        compute: Returns the score, or its value where nothing else is to be told: higher is better.
            Its parameters are the fields of `ValidatorInputs` that it looks at, logits in double
            precision on the CPU.
        fewest: Videos of an input that it takes, where one is not enough.
        falls: Whether the score falls while a model learns. Where the first epoch that has a score
            has the highest, it then tells nothing.
    """

    name: str
    description: str
    citation: str
    compute: Callable[..., float | Score]
    fewest: Mapping[str, int] = field(default_factory=dict)
    falls: bool = False

    @property
    def inputs(self) -> tuple[str, ...]:
        """What it looks at."""
        return tuple(signature(self.compute).parameters)

    def score(self, inputs: ValidatorInputs) -> Score | None:
        """Return the score, or None where inputs are missing, too few or not finite, or it is."""
        tensors: dict[str, Tensor | None] = {n: getattr(inputs, n) for n in self.inputs}
        found = {name: _ready(name, t) for name, t in tensors.items() if t is not None}
        if len(found) < len(tensors) or any(
            len(tensor) < self.fewest.get(name, 1) or not bool(tensor.isfinite().all())
            for name, tensor in found.items()
        ):
            return None
        told = self.compute(**found)
        score = told if isinstance(told, Score) else Score(value=told)
        return score if isfinite(score.value) else None


def _ready(name: str, tensor: Tensor) -> Tensor:
    if name.endswith("features"):
        return tensor.detach()
    # So few numbers cost nothing to move, and the score then is the same for every device.
    return tensor.detach().cpu().double() if name.endswith("logits") else tensor.cpu()


def source_accuracy(held_out_logits: Tensor, held_out_labels: Tensor) -> float:
    """Return the share of videos whose largest logit is that of their class, between 0 and 1.

    Blind to the domain gap: a model that never adapts can have the highest score.
    """
    hits = held_out_logits.argmax(dim=1) == held_out_labels
    return float(hits.double().mean())


def negative_entropy(target_logits: Tensor) -> float:
    """Return -1/N sum_i H(p_i) with p_i = softmax(logits_i), between -ln C and 0.

    Only certainty counts: a model that puts every video into one class with certainty has the
    highest score there is. `im` and `bnm` see through that. The authors choose their
    hyperparameter by it.
    """
    from ta3n.train.losses.entropy import entropy

    return 0.0 - float(entropy(target_logits).mean())  # never -0.0


def information_maximisation(target_logits: Tensor) -> float:
    """Return H(1/N sum_i p_i) - 1/N sum_i H(p_i), between 0 and ln C.

    The mutual information of videos and predicted classes. ln C takes certain predictions, equally
    many for each class. Equal predictions for all videos score 0, however certain they are.
    """
    import torch

    mean_prediction = target_logits.softmax(dim=1).mean(dim=0)
    return float(torch.special.entr(mean_prediction).sum()) + negative_entropy(target_logits)


def soft_neighbourhood_density(target_logits: Tensor) -> float:
    """Return 1/N sum_i H(q_i), between 0 and ln N.

    With u_i = p_i / |p_i| and p_i = softmax(logits_i), as in the authors' program, the similarity
    distribution of a video is q_i = softmax_j(u_i . u_j / 0.05). A video is no neighbour of its
    own: as there its own similarity counts as -1, the least there is. The entropy is high where
    many videos are equally near. One class for all videos gives the highest score, as the paper
    says. A single video scores 0.
    """
    import torch
    import torch.nn.functional as F

    from ta3n.train.losses.entropy import entropy

    directions = F.normalize(target_logits.softmax(dim=1), dim=1)
    total = 0.0
    for start in range(0, len(directions), _ROWS):
        block = directions[start : start + _ROWS]
        similarities = block @ directions.T  # [rows, N]
        own = torch.arange(len(block), device=block.device)
        similarities[own, start + own] = -1.0
        total += float(entropy(similarities / _TEMPERATURE).sum())
    return total / len(directions)


def judged_density(target_logits: Tensor) -> Score:
    """Return the soft neighbourhood density, withheld where it tells nothing of clusters.

    A neighbourhood holds exp(score) videos. Certain predictions make each class a cluster, and give
    just under N exp(-H(p)) videos (a geometric mean), with p the mean prediction. Beyond that,
    neighbours are of other classes: a model that has learned nothing finds all videos alike, and
    would have the highest score there is. The same holds for a model that puts all videos into few
    classes: where in effect, exp(H(p)), fewer than half of them are predicted, neighbourhoods are
    large for that.

    Every video is held against every other one: of more than `MOST_COMPARED` so many take part,
    drawn with a fixed seed, the same after every epoch of every run; `compared_videos` tells.
    """
    import torch

    compared = _compared(target_logits)
    value, (n, c) = soft_neighbourhood_density(compared), compared.shape
    mean_entropy = float(torch.special.entr(compared.softmax(dim=1).mean(dim=0)).sum())
    withheld = ""
    if exp(mean_entropy) < c / 2:
        withheld = "fewer than half of the classes are predicted"
    elif value > log(n) - mean_entropy:
        withheld = "neighbourhoods reach beyond the predicted classes"
    measures = {"neighbours": exp(value), "videos_of_a_class": n * exp(-mean_entropy)}
    if n < len(target_logits):
        measures["compared_videos"] = float(n)
    return Score(value=value, measures=measures, withheld=withheld)


def _compared(target_logits: Tensor) -> Tensor:
    """Return all rows, or of too many those that are drawn, in their order."""
    import torch

    total = len(target_logits)
    if total <= MOST_COMPARED:
        return target_logits
    generator = torch.Generator().manual_seed(_COMPARED_SEED)
    return target_logits[torch.randperm(total, generator=generator)[:MOST_COMPARED].sort().values]


def nuclear_norm(target_logits: Tensor) -> float:
    """Return 1/N ||P||_*, the sum of the singular values of P = softmax(logits), [N, C].

    The norm is large for certain predictions (large rows) over many classes (high rank). It is at
    most sqrt(min(N, C) / N): compare it only between epochs of the same videos. The authors' loss
    is its negative; as a validator in Musgrave et al. 2022, "Three New Validators and a Large-Scale
    Benchmark Ranking".
    """
    import torch

    singular_values: Tensor = torch.linalg.svdvals(target_logits.softmax(dim=1))
    return float(singular_values.sum()) / len(target_logits)


def deep_embedded_validation(
    source_features: Tensor,
    target_features: Tensor,
    held_out_features: Tensor,
    held_out_logits: Tensor,
    held_out_labels: Tensor,
) -> Score:
    """Return the negative of the estimated target error: the source's, weighted by likeness.

    Withheld where the weights rest on too few videos or are not 1 in the mean, see
    `FEWEST_EFFECTIVE` and `MOST_MEAN_WEIGHT`, and where the estimate is no error rate: the control
    variate may take it below 0. S and N are at least 5, M at least 2.
    """
    from ta3n.train.validators.dev import effective_sample, importance_weights, weighted_risk

    weights = importance_weights(source_features, target_features, held_out_features)
    errors = held_out_logits.argmax(dim=1) != held_out_labels
    risk = weighted_risk(weights, errors.cpu().double())
    mean_weight, effective = float(weights.mean()), effective_sample(weights)
    withheld = ""
    if effective < FEWEST_EFFECTIVE:
        withheld = f"the effective sample is below {FEWEST_EFFECTIVE} videos"
    elif not 1 / MOST_MEAN_WEIGHT <= mean_weight <= MOST_MEAN_WEIGHT:
        withheld = f"the mean weight is not within a factor of {MOST_MEAN_WEIGHT:g} of 1"
    elif not 0 <= risk <= 1:
        withheld = "the estimated error is not between 0 and 1"
    measures = {"mean_weight": mean_weight, "effective_videos": effective, "estimated_error": risk}
    # Never -0.0.
    return Score(value=0.0 - risk, measures=measures, withheld=withheld)


def class_correlation(target_logits: Tensor) -> float:
    """Return cos(R, I) = tr(R) / (sqrt(C) ||R||_F) with R = P^T P / N and P = softmax(logits).

    SoftmaxCorr, also called Corr-C in comparisons of model selection, between 1 / sqrt(C) and 1.
    R[a, b] is how much of classes a and b is predicted together. It is a multiple of the identity,
    and the cosine 1, just where every prediction is certain and every class equally frequent;
    uncertain videos fill the rest of R, and a single class leaves one entry, so that both come down
    to 1 / sqrt(C). Hence higher is better, as the authors find for models under shift. Some
    published comparisons choose the smallest value instead, which prefers collapsed models.
    """
    predictions = target_logits.softmax(dim=1)
    correlation = predictions.T @ predictions / len(predictions)  # [C, C]
    return float(correlation.trace() / (sqrt(len(correlation)) * correlation.norm()))


RULES = (
    Validator(
        name="source_val",
        description="accuracy on held-out labelled source videos; blind to the domain gap",
        citation="common practice; Musgrave et al. 2022, Three New Validators, arXiv:2208.07360",
        compute=source_accuracy,
    ),
    Validator(
        name="entropy",
        description="certain target predictions; fooled if all videos go to one class",
        citation="Morerio et al., Minimal-Entropy Correlation Alignment, ICLR 2018",
        compute=negative_entropy,
    ),
    Validator(
        name="im",
        description="certain target predictions that are spread over the classes",
        citation="Shi and Sha, Information-Theoretical Learning, ICML 2012",
        compute=information_maximisation,
    ),
    Validator(
        name="snd",
        description="target predictions with many close neighbours; fooled by a single class",
        citation="Saito et al., Tune it the Right Way, ICCV 2021",
        compute=judged_density,
        # Predictions grow certain, and neighbourhoods small.
        falls=True,
    ),
    Validator(
        name="bnm",
        description="large nuclear norm of the target predictions: certain and diverse",
        citation="Cui et al., Batch Nuclear-norm Maximization, CVPR 2020",
        compute=nuclear_norm,
    ),
    Validator(
        name="dev",
        description="low error on held-out source videos, weighted to look like the target",
        citation="You et al., Deep Embedded Validation, ICML 2019",
        compute=deep_embedded_validation,
        # Five leave one to check the domain classifier on, and a covariance needs two.
        fewest={"source_features": 5, "target_features": 5, "held_out_labels": 2},
    ),
    Validator(
        name="corr_c",
        description="target predictions whose classes are not confused and equally frequent",
        citation="Tu et al. 2022, Softmax Probability Baselines and a Correlation Method",
        compute=class_correlation,
    ),
)
"""In the order in which they are computed and shown."""


def score_by_rule(inputs: ValidatorInputs) -> dict[str, Score]:
    """Return the score of every rule that has one, withheld or not.

    No random number is drawn, and nothing is kept between epochs.
    """
    scores = {rule.name: rule.score(inputs) for rule in RULES}
    return {name: score for name, score in scores.items() if score is not None}
