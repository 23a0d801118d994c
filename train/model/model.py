"""TA3N and all its baselines as one module with orthogonal switches (sections 2.1 to 2.3).

Shapes: B videos (of either domain), K segments, D feature width, H hidden width, R relation width,
V video feature width (that of the encoder: H with TemPooling, R with TemRelation), P parts of a
video (the K-1 relations n = K..2 of TemRelation), C classes.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, cast

import torch
from torch import Tensor, nn

from ta3n.common.errors import DataConflictError, UsageError
from ta3n.train.encoders.registry import ENCODERS, Encoder
from ta3n.train.layers.attention import ConventionalAttention, attend, domain_attention
from ta3n.train.layers.discriminator import Discriminator
from ta3n.train.layers.dropout import DropoutMasks
from ta3n.train.layers.feature_scale import FeatureScale
from ta3n.train.layers.initialisation import Linear, drawn_from, initialise
from ta3n.train.layers.normalisation import DomainNorm, Domains
from ta3n.train.layers.reversal import Coefficients
from ta3n.train.layers.streams import StreamEncoders, StreamLinears
from ta3n.train.layers.temporal import EncoderModule
from ta3n.train.methods.base import LEVELS, Level, Method
from ta3n.train.methods.heads import ClassHead
from ta3n.train.recipe.recipes import NormLayers, Recipe

MIN_SEGMENTS = 2
MAX_SEGMENTS = 64

_FRAMES_TO_CLASSES = ("feature_scale.", "frame_fc.", "frame_norm.", "encoder.", "video_classifier.")
_DISCRIMINATOR = "discriminator"


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """What a model is built from.

    Args:
        num_classes: C, with several heads the sum of theirs.
        feature_dim: D.
        num_segments: K, 2 to 64.
        hidden_dim: H.
        relation_dim: R.
        max_subsets: most frame subsets evaluated per n-frame relation.
        dropout: probability of dropping, in [0, 1).
        temporal: name of an encoder, such as `pooling` (TemPooling) or `relation` (TemRelation).
        attention: `domain` for the attention of section 2.3, `conventional` for a learned one
            (both need an encoder with parts, such as relations), or `none`.
        norm_layers: where each domain is normalised, see `Recipe`; `none` nowhere.
        second_classifier: whether there is one, as MCD needs.
        extra: what makes further modules that terms need, by name.
        heads: where there are several.
        streams: widths of the streams of a frame's feature, each with a spatial module and an
            encoder of its own: H and V are S times as large then. None where all share one.
        num_domains: M, how many domains discriminators tell apart: 2 (source and target), or the
            target and each of several sources.
        feature_scale: how features are scaled before the first layer, see `Recipe`.
        stream_widths: of the streams that lie side by side in a feature, whatever they share.

    Raises:
        UsageError: for a value out of its range, or attention without relations.
    """

    num_classes: int
    feature_dim: int
    num_segments: int = 5
    hidden_dim: int = 512
    relation_dim: int = 256
    max_subsets: int = 3
    dropout: float = 0.5
    temporal: str = "relation"
    attention: str = "none"
    norm_layers: NormLayers | Literal["none"] = "none"
    second_classifier: bool = False
    extra: tuple["Callable[[ModelSpec], Mapping[str, nn.Module]]", ...] = ()
    heads: tuple[ClassHead, ...] = ()
    streams: tuple[int, ...] = ()
    num_domains: int = 2
    feature_scale: str = "none"
    stream_widths: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not MIN_SEGMENTS <= self.num_segments <= MAX_SEGMENTS:
            raise UsageError(
                f"num_segments is {self.num_segments};"
                f" choose a number from {MIN_SEGMENTS} to {MAX_SEGMENTS}"
            )
        for name in ("num_classes", "feature_dim", "hidden_dim", "relation_dim", "max_subsets"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}; it must be 1 or above")
        if not 0 <= self.dropout < 1:
            raise UsageError(f"dropout is {self.dropout}; it must be at least 0 and below 1")
        if self.attention != "none" and not self.encoder.has_parts:
            raise UsageError(
                f"{self.attention} attention weighs n-frame relations, which {self.encoder.label}"
                " does not have; choose the temporal module relation"
            )

    @property
    def encoder(self) -> Encoder:
        """The temporal module."""
        return ENCODERS.find(self.temporal)

    @property
    def frame_dim(self) -> int:
        """The width of a frame's feature after the spatial module."""
        return max(1, len(self.streams)) * self.hidden_dim

    @property
    def video_dim(self) -> int:
        """V, the width of a video feature."""
        return max(1, len(self.streams)) * cast(int, getattr(self, self.encoder.width))


def model_spec(
    method: Method,
    recipe: Recipe,
    *,
    num_classes: int,
    feature_dim: int,
    heads: tuple[ClassHead, ...] = (),
    stream_dims: tuple[int, ...] = (),
    num_domains: int = 2,
    stream_widths: tuple[int, ...] = (),
) -> ModelSpec:
    """Return the model that a method needs under a recipe.

    Raises:
        UsageError: for a value that the model cannot be built from.
    """
    return ModelSpec(
        num_classes=num_classes,
        feature_dim=feature_dim,
        num_segments=recipe.num_segments,
        hidden_dim=recipe.hidden_dim,
        relation_dim=recipe.relation_dim,
        max_subsets=recipe.max_subsets,
        dropout=recipe.dropout,
        temporal=method.temporal,
        attention=method.attention,
        norm_layers=recipe.norm_layers if any(t.normalises for t in method.terms) else "none",
        second_classifier=any(term.second_classifier for term in method.terms),
        extra=tuple(term.modules for term in method.terms if term.modules),
        heads=heads,
        streams=stream_dims,
        num_domains=num_domains,
        feature_scale=recipe.feature_scale,
        stream_widths=stream_widths,
    )


@dataclass(frozen=True, kw_only=True)
class ModelOutput:
    """What one forward pass yields. A level that was not evaluated is absent, not zero.

    Args:
        logits: class logits, [B, C]; of several heads those of one beside another.
        video_features: video features before dropout and classifier, [B, V].
        domain_logits: per evaluated level: frame [B, K, M], relation [B, K-1, M] in the order
            n = K..2 (of other encoders [B, P, M]), video [B, M]. With M = 2 index 0 is source, 1 is
            target; with more each source has one, and the target the last.
        attention: [B, P], with relations in the order n = K..2, or none without attention.
        classified: video features after dropout, which classifiers and the video discriminator
            see, [B, V].
        parts: of the videos, such as relations, before attention, [B, P, V]; none without any.
        second_logits: of the second classifier, [B, C], or none without one.
        stream_logits: of each stream with an encoder of its own, [S, B, C], whose sum the logits
            are; none without such.
        statistics: of the batch, by normalisation, see `Domains`; empty in evaluation.
    """

    logits: Tensor
    video_features: Tensor
    classified: Tensor
    parts: Tensor | None = None
    domain_logits: dict[Level, Tensor] = field(default_factory=dict)
    attention: Tensor | None = None
    second_logits: Tensor | None = None
    stream_logits: Tensor | None = None
    statistics: dict[str, Tensor] = field(default_factory=dict)

    @property
    def levels(self) -> tuple[Level, ...]:
        """The levels whose discriminator was evaluated: asked for, or needed by attention."""
        return tuple(level for level in LEVELS if level in self.domain_logits)


class HeadedClassifier(nn.ModuleDict):
    """A linear layer for each head on the same videos: [B, V] to [B, C_1 + C_2 + ...].

    Each has its own, so that one that no loss reaches is left alone by the optimiser.
    """

    def __init__(self, video_dim: int, heads: Sequence[ClassHead]) -> None:
        super().__init__({head.name: Linear(video_dim, head.num_classes) for head in heads})

    def forward(self, videos: Tensor) -> Tensor:
        """Return the logits of all heads."""
        return torch.cat([layer(videos) for layer in self.values()], dim=-1)

    @property
    def weight(self) -> Tensor:
        """Of the first head, [C_1, V]."""
        return cast(nn.Linear, next(iter(self.values()))).weight


def _encoders(spec: ModelSpec) -> list[EncoderModule]:
    alone = [replace(spec, feature_dim=width, streams=()) for width in spec.streams]
    return [spec.encoder.build(each) for each in alone]


class TA3N(nn.Module):
    """Spatial module, temporal module, discriminators and classifier, shared by both domains.

    Every discriminator exists whatever the method, and what only some methods have is drawn last,
    so that a seed gives the same weights to all methods; one that no loss reaches gets no gradient
    and is left alone by the optimiser. The forward pass changes nothing, draws nothing and has no
    branch on data: it runs under `torch.func.vmap` with stacked weights.

    Args:
        spec: the sizes and switches.
        generator: CPU generator that the weights are drawn from; those of layers of other kinds
            than `Linear` come from its seed.

    Attributes:
        spec: as given.
        encoder: the temporal module.
        extra: further modules of terms, by name.
        memory: what terms keep between steps, see `state_of`.

    Raises:
        UsageError: for a layer with dropout of its own.
    """

    def __init__(self, spec: ModelSpec, generator: torch.Generator) -> None:
        super().__init__()
        self.spec = spec
        with drawn_from(generator):
            self._build(spec)
        self._refuse_draws()
        initialise(self, generator)

    def _build(self, spec: ModelSpec) -> None:
        self.frame_fc = Linear(spec.feature_dim, spec.hidden_dim)
        if spec.streams:
            self.frame_fc = cast(Linear, StreamLinears(spec.streams, spec.hidden_dim))
        num_domains = spec.num_domains
        self.frame_discriminator = Discriminator(spec.frame_dim, num_domains=num_domains)
        self.video_discriminator = Discriminator(spec.video_dim, num_domains=num_domains)
        self.video_classifier: nn.Linear | HeadedClassifier = (
            HeadedClassifier(spec.video_dim, spec.heads)
            if spec.heads
            else Linear(spec.video_dim, spec.num_classes)
        )
        self.encoder: EncoderModule = (
            StreamEncoders(_encoders(spec)) if spec.streams else spec.encoder.build(spec)
        )
        self.frame_norm: DomainNorm | None = None
        if spec.norm_layers != "none":
            shared = spec.norm_layers == "all"
            self.frame_norm = DomainNorm("frame_norm", spec.frame_dim, shared_affine=shared)
        self.conventional_attention: ConventionalAttention | None = None
        if spec.attention == "conventional":
            self.conventional_attention = ConventionalAttention(spec.video_dim)
        self.video_classifier_2: nn.Linear | None = None
        if spec.second_classifier:
            self.video_classifier_2 = Linear(spec.video_dim, spec.num_classes)
        self.extra = nn.ModuleDict()
        for build in spec.extra:
            modules = build(spec)
            if twice := self.extra.keys() & modules.keys():
                raise UsageError(f"two terms have a module {min(twice)!r}; rename one of them")
            self.extra.update(modules)
        self.memory = nn.Module()
        # Only where it is asked for: the weights of other runs have the names that they had.
        self.feature_scale: FeatureScale | None = None
        if spec.feature_scale != "none":
            widths = spec.stream_widths or (spec.feature_dim,)
            self.feature_scale = FeatureScale(spec.feature_scale, widths)

    def _refuse_draws(self) -> None:
        for name, layer in self.named_modules():
            is_dropout = isinstance(layer, nn.modules.dropout._DropoutNd)
            rate = layer.p if is_dropout else getattr(layer, "dropout", 0.0)
            if isinstance(rate, float) and rate > 0:
                raise UsageError(
                    f"{name} drops out by itself, with numbers from PyTorch's global generator: a "
                    "run could not be resumed to the bit; build it without dropout"
                )

    def start_from(self, weights: Mapping[str, Tensor]) -> None:
        """Take over what maps frames to classes, and whatever else both models have.

        Raises:
            DataConflictError: if the weights are of a model of another form.
        """
        own = self.state_dict()
        # A discriminator between other domains has another form, and starts anew.
        anew = {
            name
            for name, value in own.items()
            if _DISCRIMINATOR in name
            if name in weights and weights[name].shape != value.shape
        }
        needed = {name for name in own if name.startswith(_FRAMES_TO_CLASSES)} - anew
        ours = {name: value for name, value in own.items() if name in weights.keys() - anew}
        misfits = [name for name, value in ours.items() if value.shape != weights[name].shape]
        misfits += sorted(needed - ours.keys())
        misfits += [
            n for n in weights if n.startswith(_FRAMES_TO_CLASSES) and n not in {*ours, *anew}
        ]
        if misfits:
            raise DataConflictError(
                f"the weights to start from are of a model of another form: {misfits[0]} differs; "
                "choose the temporal module, the frames a video and the norm that it was trained "
                "with"
            )
        self.load_state_dict({name: weights[name] for name in ours}, strict=False)

    def classifier(self, head: str | None = None) -> nn.Linear:
        """Return the classifier of a head, or the one there is."""
        layer = self.video_classifier
        return cast(nn.Linear, layer if head is None else cast(HeadedClassifier, layer)[head])

    @staticmethod
    def state_name(term: str, name: str) -> str:
        """Return the name of the buffer that holds a tensor of a term's state."""
        return f"memory.{term}/{name.replace('.', '|')}"

    def keep_state(self, term: str, state: Mapping[str, Tensor]) -> None:
        """Lay out what a term keeps between steps: buffers, so saved and stacked with the rest."""
        for name, value in state.items():
            buffer = self.state_name(term, name).removeprefix("memory.")
            self.memory.register_buffer(buffer, value.detach().clone())

    def renew_state(self, term: str, state: Mapping[str, Tensor]) -> None:
        """Give tensors that a term keeps new values, in place.

        Raises:
            UsageError: for one that was not laid out.
        """
        kept = self.state_of(term)
        for name, value in state.items():
            if name not in kept:
                raise UsageError(f"each_epoch returns {term}/{name}, which start did not lay out")
            kept[name].copy_(value)

    def state_of(self, term: str) -> dict[str, Tensor]:
        """Return what a term keeps between steps, by name."""
        prefix = f"{term}/"
        return {
            name.removeprefix(prefix).replace("|", "."): value
            for name, value in self.memory.named_buffers()
            if name.startswith(prefix)
        }

    def forward(
        self,
        features: Tensor,
        coefficients: Coefficients,
        *,
        masks: DropoutMasks | None = None,
        levels: Collection[Level] = (),
        num_source: int = 0,
    ) -> ModelOutput:
        """Run the model on videos of any domain.

        Args:
            features: cached frame features, [B, K, D].
            coefficients: gradient reversal per level.
            masks: dropout masks, or none for no dropout (evaluation).
            levels: discriminators to evaluate. Attention adds the relation level by itself.
            num_source: the first so many videos are source, the others target; of interest to
                AdaBN alone.

        Raises:
            TrainingError: if a domain is missing from a training batch of AdaBN.
        """
        domains = Domains(num_source, coefficient=coefficients.encoder)
        frames = self._frames(features, domains)  # [B, K, H]
        whole = frames
        if masks is not None:
            frames = frames * masks.frame
        domain_logits: dict[Level, Tensor] = {}
        if "frame" in levels:
            domain_logits["frame"] = self.frame_discriminator(frames, coefficients.frame)
        judge = "relation" in levels or self.spec.attention == "domain"
        parts = self.encoder(frames, domains)  # [B, P, V], or [B, V] without parts
        if masks is not None and self.training and self.spec.norm_layers == "all":
            # Running statistics are for evaluation, which drops nothing: a dropped frame feature
            # adds variance to whatever is made of it.
            with torch.no_grad():
                self.encoder(whole, domains)
        video_features, attention = parts, None
        if self.spec.encoder.has_parts:
            logits = self.encoder.domain_logits(parts, coefficients.relation) if judge else None
            if logits is not None:
                self._check_judged(logits)
                domain_logits["relation"] = logits
            video_features, attention = self._combine(parts, logits)
        dropped = video_features if masks is None else video_features * masks.video
        if "video" in levels:
            domain_logits["video"] = self.video_discriminator(dropped, coefficients.video)
        second = None if self.video_classifier_2 is None else self.video_classifier_2(dropped)
        return ModelOutput(
            logits=self.video_classifier(dropped),
            video_features=video_features,
            classified=dropped,
            parts=parts if self.spec.encoder.has_parts else None,
            domain_logits=domain_logits,
            attention=attention,
            second_logits=second,
            stream_logits=self._stream_logits(dropped) if self.spec.streams else None,
            statistics=domains.statistics,
        )

    def _check_judged(self, logits: Tensor) -> None:
        if logits.shape[-1] != self.spec.num_domains:
            raise UsageError(
                f"the parts of {self.spec.encoder.label} are judged between {logits.shape[-1]} "
                f"domains, and there are {self.spec.num_domains}; build its discriminators with "
                "num_domains=spec.num_domains, or leave out --domains each"
            )

    def _stream_logits(self, videos: Tensor) -> Tensor:
        """Return what each stream adds to the logits of videos [B, V], [S, B, C].

        The classifier is linear, so that it is a sum over streams; each has a part of its bias.
        """
        count = len(self.spec.streams)
        bias = self.video_classifier(torch.zeros_like(videos))
        zeros = torch.zeros_like(videos).chunk(count, dim=-1)
        alone = [
            torch.cat([*zeros[:n], part, *zeros[n + 1 :]], dim=-1)
            for n, part in enumerate(videos.chunk(count, dim=-1))
        ]
        return torch.stack([self.video_classifier(each) - bias * (1 - 1 / count) for each in alone])

    def _frames(self, features: Tensor, domains: Domains) -> Tensor:
        """Run the spatial module: [B, K, D] to [B, K, H]."""
        if self.feature_scale is not None:
            features = self.feature_scale(features)
        frames: Tensor = self.frame_fc(features)
        if self.frame_norm is not None:
            frames = self.frame_norm(frames, domains)
        return frames.relu()

    def _combine(self, parts: Tensor, logits: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Sum parts [B, P, V] to video features [B, V], weighed by attention [B, P] if there is."""
        attention = None
        if self.conventional_attention is not None:
            attention = self.conventional_attention(parts)
        elif logits is not None and self.spec.attention == "domain":
            attention = domain_attention(logits)
        if attention is not None:
            parts = attend(parts, attention)
        return parts.sum(dim=1), attention
