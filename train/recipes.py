"""The official recipe and the method presets, as plain data.

Everything here is read by the command line before anything heavy is imported, so this module
must not import torch.

Sources: "Temporal Attentive Alignment for Video Domain Adaptation" (Chen et al.), sections 2-3, and
the settings of its authors' published program where the paper is silent.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from ta3n.common.errors import UsageError

Temporal = Literal["pooling", "relation"]
Attention = Literal["none", "domain"]
Level = Literal["relation", "video", "frame"]
Ramp = Literal["epoch", "step"]

LEVELS: tuple[Level, ...] = get_args(Level)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Hyper-parameters that every row of a table shares.

    Args:
        name: what the recipe is called in run records.
        num_segments: frames K taken from each video.
        hidden_dim: width H of a frame's feature after the spatial module.
        relation_dim: width R of an n-frame relation.
        max_subsets: most ordered frame subsets evaluated per n.
        dropout: probability of dropping, after the spatial module and before the classifier.
        learning_rate: rate of the very first step.
        lr_decay_rate: a of `learning_rate / (1 + a p) ** lr_decay_power`.
        lr_decay_power: exponent of the decay.
        momentum: momentum of SGD.
        nesterov: whether the momentum is Nesterov's.
        weight_decay: L2 penalty of SGD.
        clip_norm: largest L2 norm of the whole gradient.
        epochs: passes over the source.
        source_batch: source videos per step; the target's follows from the sizes of the domains.
        ramp: how often a coefficient on the DANN ramp is renewed. The authors' program renews it
            at the first step of an epoch only.

    Raises:
        UsageError: for a value out of its range.
    """

    name: str
    num_segments: int = 5
    hidden_dim: int = 512
    relation_dim: int = 256
    max_subsets: int = 3
    dropout: float = 0.5
    learning_rate: float = 0.03
    lr_decay_rate: float = 10.0
    lr_decay_power: float = 0.75
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 1e-4
    clip_norm: float = 20.0
    epochs: int = 30
    source_batch: int = 128
    ramp: Ramp = "epoch"

    def __post_init__(self) -> None:
        for name in ("learning_rate", "clip_norm", "epochs", "source_batch"):
            if not getattr(self, name) > 0:
                raise UsageError(f"{name} is {getattr(self, name)}; it must be above 0")
        for name in ("lr_decay_rate", "lr_decay_power", "weight_decay", "momentum"):
            if not getattr(self, name) >= 0:
                raise UsageError(f"{name} is {getattr(self, name)}; it must be 0 or above")
        if self.nesterov and self.momentum == 0:
            raise UsageError("nesterov needs a momentum above 0; set nesterov to false")


OFFICIAL = Recipe(name="official")


@dataclass(frozen=True, kw_only=True)
class ReversalCoefficients:
    """Gradient reversal coefficient per level as configured; negative means the DANN ramp.

    They are the trade-offs lambda of equation 1: the domain losses themselves have weight 1.
    """

    relation: float
    video: float
    frame: float


@dataclass(frozen=True, kw_only=True)
class Adaptation:
    """Trade-offs of one direction of one benchmark.

    Args:
        coefficients: gradient reversal per level.
        gamma: weight of the attentive entropy in equation 1.
        published: whether the authors published these values for this very direction.
    """

    coefficients: ReversalCoefficients
    gamma: float
    published: bool


_UCF_TO_HMDB = (ReversalCoefficients(relation=0.75, video=0.75, frame=0.5), 0.003)
_HMDB_TO_UCF = (ReversalCoefficients(relation=1.0, video=0.75, frame=0.5), 0.3)
_PUBLISHED: Mapping[tuple[str, str, str], tuple[ReversalCoefficients, float]] = {
    ("ucf-hmdb-full", "ucf101", "hmdb51"): _UCF_TO_HMDB,
    ("ucf-hmdb-full", "hmdb51", "ucf101"): _HMDB_TO_UCF,
}


def coefficients_for(benchmark: str, source: str, target: str) -> Adaptation:
    """Return the trade-offs to use for one direction.

    The authors published values for the two directions of ucf-hmdb-full only. Elsewhere the choice
    is ours: the values of UCF->HMDB where UCF101 is the source, else those of HMDB->UCF. The source
    decides because it fixes what the classifier learns before the alignment sets in.

    Args:
        benchmark: name of the benchmark, such as `ucf-hmdb-full`.
        source: full name of the source dataset, such as `ucf101`.
        target: full name of the target dataset.
    """
    published = _PUBLISHED.get((benchmark, source, target))
    fallback = _UCF_TO_HMDB if source == "ucf101" else _HMDB_TO_UCF
    coefficients, gamma = published or fallback
    return Adaptation(coefficients=coefficients, gamma=gamma, published=published is not None)


@dataclass(frozen=True, kw_only=True)
class Method:
    """One row of the paper's tables as switches that can be combined freely.

    Args:
        name: what the row is called.
        temporal: TemPooling or TemRelation (sections 2.1 and 2.2).
        discriminators: levels whose domain loss is part of the objective.
        attention: the domain attention of section 2.3, or none.
        attentive_entropy: whether the attentive entropy is part of the objective.
        trains_on: the domain whose labels are learned from.

    Raises:
        UsageError: for switches that contradict each other.
    """

    name: str
    temporal: Temporal
    discriminators: tuple[Level, ...] = ()
    attention: Attention = "none"
    attentive_entropy: bool = False
    trains_on: Literal["source", "target"] = "source"

    def __post_init__(self) -> None:
        needs = [
            ("the relation discriminators", "relation" in self.discriminators),
            ("domain attention", self.attention == "domain"),
        ]
        for what, wanted in needs:
            if wanted and self.temporal != "relation":
                raise UsageError(
                    f"{self.name} uses {what}, which TemPooling does not have;"
                    " choose the temporal module relation"
                )
        if self.trains_on == "target" and self.uses_target:
            raise UsageError(
                f"{self.name} trains on target labels, so there is nothing to align;"
                " drop the discriminators and the attentive entropy"
            )

    @property
    def uses_target(self) -> bool:
        """Whether unlabelled target videos enter the objective."""
        return bool(self.discriminators) or self.attentive_entropy

    @property
    def levels(self) -> tuple[Level, ...]:
        """Levels whose discriminator must be evaluated for the objective.

        Those placed, and the video level for the attentive entropy, which takes its domain entropy
        there no matter which discriminators are placed. What attention needs, the model adds.
        """
        wanted = {*self.discriminators, *(("video",) if self.attentive_entropy else ())}
        return tuple(level for level in LEVELS if level in wanted)


METHOD_NAMES: tuple[str, ...] = ("source-only", "target-only", "revgrad", "ta2n", "ta3n")


def method_for(name: str, temporal: Temporal) -> Method:
    """Return a preset of the paper's Table 3.

    RevGrad places the frame and the video discriminator with TemPooling, but only the frame
    discriminator with TemRelation: that row of Table 3 is the G_sd row of Table 4.

    Args:
        name: one of `METHOD_NAMES`.
        temporal: the temporal module of the row.

    Raises:
        UsageError: for an unknown name, or a method that the temporal module cannot carry.
    """
    if name not in METHOD_NAMES:
        raise UsageError(f"unknown method {name!r}; choose one of {', '.join(METHOD_NAMES)}")
    if name in ("ta2n", "ta3n") and temporal != "relation":
        raise UsageError(
            f"{name} aligns n-frame relations, which TemPooling does not have;"
            " choose the temporal module relation"
        )
    if name == "target-only":
        return Method(name=name, temporal=temporal, trains_on="target")
    if name == "revgrad":
        placed: tuple[Level, ...] = ("video", "frame") if temporal == "pooling" else ("frame",)
        return Method(name=name, temporal=temporal, discriminators=placed)
    if name == "ta2n":
        return Method(name=name, temporal=temporal, discriminators=LEVELS)
    if name == "ta3n":
        return Method(
            name=name,
            temporal=temporal,
            discriminators=LEVELS,
            attention="domain",
            attentive_entropy=True,
        )
    return Method(name=name, temporal=temporal)
