"""The recipes `official`, `paper` and `epic100`, as plain data.

Everything here is read by the command line before anything heavy is imported, so this module
must not import torch. `docs/recipes.md` says what the recipes differ in and why.

Sources: "Temporal Attentive Alignment for Video Domain Adaptation" (Chen et al.), sections 2-3, and
the settings of its authors' published program where the paper is silent.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from ta3n.common.errors import UsageError

Ramp = Literal["epoch", "step"]
Batches = Literal["zip", "cycle"]
FeatureScaling = Literal["none", "l2", "standard"]
Sampling = Literal["centre", "random"]
Fusion = Literal["concat", "late"]
MmdEstimator = Literal["paired", "biased", "unbiased"]
JointInput = Literal["logits", "softmax"]
McdSteps = Literal["one", "three"]
NormLayers = Literal["spatial", "all"]
Optimizer = Literal["sgd", "adam", "adamw"]
Schedule = Literal["inverse", "cosine", "constant", "steps"]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Hyper-parameters that every row of a table shares.

    Args:
        name: what the recipe is called in run records.
        num_segments: frames K taken from each video.
        sampling: which frame stands for each of the K parts of a video in training: that at its
            `centre`, or one drawn at `random`, anew in each epoch.
        views: sets of K frames, spread evenly over the parts, over whose logits the mean is taken
            in evaluation; one is the centres.
        fusion: how streams of features are joined: `concat`, one beside another in a frame's
            feature, or `late`, each with a spatial module and an encoder of its own, whose logits
            are summed.
        stream_loss: weight of the sum of the classification losses of each stream by itself.
        feature_scale: of a frame's feature before the first layer: `none`, its length to 1 (`l2`),
            or each value by mean and spread over the source's training frames (`standard`).
        hidden_dim: width H of a frame's feature after the spatial module.
        relation_dim: width R of an n-frame relation.
        max_subsets: most ordered frame subsets evaluated per n.
        dropout: probability of dropping, after the spatial module and before the classifier.
        optimizer: `sgd`, `adam` or `adamw`.
        learning_rate: rate of the very first step.
        schedule: how the rate goes on, see `schedule.learning_rate`.
        lr_decay_rate: a of the schedule `inverse`.
        lr_decay_power: b of the schedule `inverse`.
        lr_steps: epochs, from 1, at whose start the schedule `steps` divides the rate by 10.
        momentum: of SGD, or the first beta of Adam.
        nesterov: whether the momentum of SGD is Nesterov's.
        adam_beta2: second beta of Adam.
        weight_decay: L2 penalty, or the decoupled decay of AdamW.
        clip_norm: largest L2 norm of the whole gradient.
        epochs: passes over the source.
        source_batch: source videos per step; the target's follows from the sizes of the domains.
        ramp: how often a weight on the DANN ramp is renewed. The authors' program renews it
            at the first step of an epoch only.
        reversal_ramp: a of 2 / (1 + exp(-a p)) - 1, which multiplies the reversal coefficients at
            every step; 0 leaves them constant. The DANN ramp of a negative one is not multiplied.
        batches: `zip` ends an epoch with the domain that has fewer batches, as the authors'
            loaders do; `cycle` goes on with a fresh permutation of it until the other is done.
        mmd_estimator: for DAN and JAN; `paired` is the biased one on as many videos of either
            domain as the smaller part of the batch has, as in the authors' program.
        joint_input: what JAN compares beside the video features: logits, or their softmax.
        bandwidth_floor: smallest kernel bandwidth. The authors have none, and divide by zero
            where all features of a batch agree.
        mcd: `one` step with a reversal (the authors), or the `three` steps of Saito et al.
        mcd_generator_updates: how often the third step is made, n of Saito et al.
        mcd_rate: share of the learning rate at which weights move with `three` steps. Momentum is
            applied in each of the 2 + n updates: a gradient goes on moving the weights before the
            next one can correct it. Ours, chosen without target labels: `docs/recipes.md`.
        norm_layers: where AdaBN normalises: after the linear of the `spatial` module with scale
            and shift per domain (the authors), or after `all` linear layers that make features,
            with scale and shift shared (Li et al.).
        norm_momentum: share of a batch in the running statistics.

    Raises:
        UsageError: for a value out of its range.
    """

    name: str
    num_segments: int = 5
    hidden_dim: int = 512
    relation_dim: int = 256
    max_subsets: int = 3
    dropout: float = 0.5
    optimizer: Optimizer = "sgd"
    learning_rate: float = 0.03
    schedule: Schedule = "inverse"
    lr_decay_rate: float = 10.0
    lr_decay_power: float = 0.75
    lr_steps: tuple[int, ...] = (10, 20)
    momentum: float = 0.9
    nesterov: bool = True
    adam_beta2: float = 0.999
    weight_decay: float = 1e-4
    clip_norm: float = 20.0
    epochs: int = 30
    source_batch: int = 128
    ramp: Ramp = "epoch"
    reversal_ramp: float = 0.0
    batches: Batches = "zip"
    mmd_estimator: MmdEstimator = "paired"
    joint_input: JointInput = "logits"
    bandwidth_floor: float = 1e-12
    mcd: McdSteps = "one"
    mcd_generator_updates: int = 4
    mcd_rate: float = 1.0
    norm_layers: NormLayers = "spatial"
    norm_momentum: float = 0.1
    sampling: Sampling = "centre"
    views: int = 1
    fusion: Fusion = "concat"
    stream_loss: float = 0.0
    feature_scale: FeatureScaling = "none"

    def __post_init__(self) -> None:
        object.__setattr__(self, "lr_steps", tuple(self.lr_steps))
        positive = ("learning_rate", "clip_norm", "epochs", "source_batch", "bandwidth_floor")
        for name in (*positive, "views", "mcd_generator_updates", "mcd_rate", "norm_momentum"):
            if not getattr(self, name) > 0:
                raise UsageError(f"{name} is {getattr(self, name)}; it must be above 0")
        from_zero = ("lr_decay_rate", "lr_decay_power", "reversal_ramp", "weight_decay", "momentum")
        for name in from_zero:
            if not getattr(self, name) >= 0:
                raise UsageError(f"{name} is {getattr(self, name)}; it must be 0 or above")
        for name, known in (("optimizer", Optimizer), ("schedule", Schedule)):
            if getattr(self, name) not in get_args(known):
                raise UsageError(
                    f"{name} is {getattr(self, name)!r}; choose one of {', '.join(get_args(known))}"
                )
        if self.optimizer != "sgd" and not (self.momentum < 1 and 0 <= self.adam_beta2 < 1):
            raise UsageError("the betas of Adam are momentum and adam_beta2; both must be below 1")
        if self.optimizer == "sgd" and self.nesterov and self.momentum == 0:
            raise UsageError("nesterov needs a momentum above 0; set nesterov to false")

    def record(self) -> dict[str, Any]:
        """Return the recipe as plain values, for `Recipe(**record)`.

        What came later than runs that are kept is left out where it has its default.
        """
        return {
            name: value
            for name, value in asdict(self).items()
            if name not in _LATER or value != getattr(OFFICIAL, name)
        }


_LATER = (
    "lr_steps",
    "reversal_ramp",
    "sampling",
    "views",
    "fusion",
    "stream_loss",
    "feature_scale",
)

OFFICIAL = Recipe(name="official")

PAPER = Recipe(
    name="paper",
    ramp="step",
    batches="cycle",
    mmd_estimator="unbiased",
    joint_input="softmax",
    bandwidth_floor=1e-6,
    mcd="three",
    mcd_rate=1 / 3,
    norm_layers="all",
)

EPIC100 = Recipe(name="epic100", learning_rate=0.003, schedule="steps", reversal_ramp=1.0)
"""That of the official baseline for EPIC-KITCHENS-100, a TA3N with two heads."""

RECIPES: Mapping[str, Recipe] = {recipe.name: recipe for recipe in (OFFICIAL, PAPER, EPIC100)}
