"""What a method is made of: terms with their weights, and what they need. No torch here.

A method is one file in this folder, or a plug-in of a user, that registers one `Method`. Its terms
can be combined with those of any other.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

from ta3n.common.errors import UsageError
from ta3n.train.encoders.registry import ENCODERS, Encoder
from ta3n.train.methods.closed_form import ClosedForm
from ta3n.train.recipe.recipes import Recipe

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ta3n.train.loop.objective import EpochContext, Start, Step, StepContext
    from ta3n.train.model.model import ModelSpec

Level = Literal["relation", "video", "frame"]
LEVELS: tuple[Level, ...] = get_args(Level)

Group = Literal["adversarial", "entropy", "alignment", "", "attention", "norm"]
"""Terms of one group take each other's place where a switch such as `--alignment` names one."""

_GROUPS: tuple[Group, ...] = get_args(Group)


@dataclass(frozen=True, kw_only=True)
class Weight:
    """A number that says how much of a term there is.

    Args:
        name: as options, grids and records call it: `--weight NAME=VALUE`.
        default: its value, where a direction has none of its own.
        about: what it does, for lists.
        origin: where the default comes from.
        ramps: whether a negative value means the DANN ramp, from 0 to 1 over the run.
    """

    name: str
    default: float
    about: str
    origin: str
    ramps: bool = False

    def __post_init__(self) -> None:
        _check_name("weight", self.name)

    def check(self, value: float) -> None:
        """Refuse what it cannot be.

        Raises:
            UsageError: for a value that is not finite, or negative where that means nothing.
        """
        if not (abs(value) < float("inf") and (value >= 0 or self.ramps)):
            wanted = "a number" if self.ramps else "a number, 0 or above"
            raise UsageError(f"weight {self.name} is {value}; it must be {wanted}")


def _check_name(what: str, name: str) -> None:
    if not name.isidentifier():
        raise UsageError(f"{what} {name!r} must be letters, digits and _ alone")


def reversal(level: Level) -> Weight:
    """Return the gradient reversal coefficient of a level's discriminators, beta of equation 1.

    The domain losses themselves have weight 1.
    """
    return Weight(
        name=f"beta_{level}",
        default={"relation": 1.0, "video": 0.75, "frame": 0.5}[level],
        about=f"gradient reversal of {_DISCRIMINATORS[level]}",
        origin="published for UCF-HMDB",
        ramps=True,
    )


_DISCRIMINATORS: Mapping[Level, str] = {"relation": "G_rd", "video": "G_td", "frame": "G_sd"}


ENCODER_REVERSAL = Weight(
    name="beta_encoder",
    default=-1.0,
    about="gradient reversal of a discriminator inside the temporal module",
    origin="Sacilotti et al., WACV 2025, for UCF->HMDB: the ramp",
    ramps=True,
)


@dataclass(frozen=True, kw_only=True)
class Update:
    """One update within a step: what it minimises, and which weights it moves.

    Args:
        name: such as `joint`.
        moves: says of a parameter of the model, by its name, whether the update may change it.
        losses: every loss of the update and their weighted `total`; none for the joint objective
            of classification and all terms.
        term: whose update it is: filled in.
    """

    name: str
    moves: Callable[[str], bool]
    losses: "Callable[[Step], dict[str, Tensor]] | None" = None
    term: str = ""

    @property
    def is_joint(self) -> bool:
        """Whether it is the one that every step begins with."""
        return self.losses is None


def _everything(_parameter: str) -> bool:
    return True


JOINT = Update(name="joint", moves=_everything)
"""The update that every step begins with."""


@dataclass(frozen=True, kw_only=True)
class Term:
    """A part of a method: most often one loss, weighed and added to the others.

    All functions are called on the weights of one run, also where several seeds are trained as one
    program: they have no branch on data and draw no random numbers.

    Args:
        name: of its loss in records, and of the term in what is saved.
        label: in words, for tables.
        loss: 0-d, before its weight, or none where the recipe has it made in another way; left out
            for a term that only changes the model or keeps a state.
        weight: of the loss; none stands for 1.
        scales: whether the weight multiplies the `loss`, or takes part in its `gradient` alone,
            which is then the term's own business.
        group: see `Group`, with `choice`, its name within the group.
        choice: what a switch calls it.
        level: a discriminator whose loss this is.
        levels: further discriminators that must be evaluated.
        attends: attention over the parts of a video: `domain` or `conventional`.
        normalises: whether the model normalises each domain by itself.
        second_classifier: whether the model has two classifiers.
        parts: whether it looks at the parts of a video, such as relations.
        uses_target: whether unlabelled target videos take part in a step.
        uses_source: whether it needs source videos. One that does not can be part of source-free
            adaptation.
        freezes: says of a parameter of the model, by its name, whether the joint update must leave
            it as it is.
        reads: fields of the recipe that it depends on.
        updates: what is updated in a step after the joint update. Discriminators are evaluated in
            the joint update alone.
        modules: further modules of the model by name, `step.model.extra[name]`. Their weights are
            drawn from the run's seed, whatever layers they are made of.
        start: tensors to keep between steps, by name: `step.state`. They are saved and restored
            with the model, and stacked with it.
        after_step: new values of those tensors (or of some), after the weights were updated.
        each_epoch: likewise before the first step of each epoch, from all training videos at once.
            It is called for one run at a time and may branch on data.
        heads: of several heads, whether the loss is that of `each` (a step as it is with that head
            alone), averaged with their shares, `once` for all where it reads neither class logits
            nor labels, or `one`: then it needs a benchmark with one head. Left out, it is `one`
            for terms with modules, states, updates or a second classifier, which are made for the
            classes of one head, `once` for discriminators, and else `each`.
        unknown_output: whether the model has an output for unknown videos, the last one. The
            method then is for open targets alone.
        fewest: videos of each domain that a batch must have to tell it anything. Of fewer, in the
            last batch of an epoch, the loss is zero or constant; a run all of whose batches have
            fewer is refused.
        sources: what becomes of several sources that are to be domains of their own. `classes`: it
            makes of `step.model.spec.num_domains` domains what it makes of two. `pairs`: it
            compares the source with the target, and its loss is the mean over the sources of that
            of each source and the target alone. `one`: it takes all sources as one domain.
    """

    name: str
    label: str
    loss: "Callable[[Step], Tensor | None] | None" = None
    weight: Weight | None = None
    scales: Literal["loss", "gradient"] = "loss"
    group: Group = ""
    choice: str = ""
    level: Level | None = None
    levels: tuple[Level, ...] = ()
    attends: Literal["", "domain", "conventional"] = ""
    normalises: bool = False
    second_classifier: bool = False
    parts: bool = False
    uses_target: bool = True
    uses_source: bool = True
    freezes: Callable[[str], bool] | None = None
    reads: tuple[str, ...] = ()
    updates: Callable[[Recipe], tuple[Update, ...]] | None = None
    modules: "Callable[[ModelSpec], Mapping[str, nn.Module]] | None" = None
    start: "Callable[[Start], Mapping[str, Tensor]] | None" = None
    after_step: "Callable[[StepContext], Mapping[str, Tensor]] | None" = None
    each_epoch: "Callable[[EpochContext], Mapping[str, Tensor]] | None" = None
    heads: Literal["", "each", "once", "one"] = ""
    unknown_output: bool = False
    fewest: int = 1
    sources: Literal["one", "classes", "pairs"] = "one"

    def __post_init__(self) -> None:
        _check_name("term", self.name)
        if self.name in _RESERVED or self.name.startswith(("attention_", "domain_accuracy_")):
            raise UsageError(f"a record has a column {self.name!r} of its own; rename the term")
        if unknown := set(self.reads) - {field.name for field in fields(Recipe)}:
            raise UsageError(f"term {self.name} reads {', '.join(unknown)}, which no recipe has")
        if self.group not in _GROUPS:
            raise UsageError(f"term {self.name} is of group {self.group!r}; use one of {_GROUPS}")

    @property
    def with_heads(self) -> str:
        """What becomes of the loss with several heads, see `heads`."""
        of_classes = (self.modules, self.start, self.updates, self.second_classifier)
        return self.heads or ("one" if any(of_classes) else "once" if self.level else "each")

    @property
    def judges_domains(self) -> bool:
        """Whether it has to do with discriminators of the model."""
        return bool(self.level or self.levels or self.attends == "domain")

    @property
    def needs_parts(self) -> bool:
        """Whether only encoders with parts, such as relations, will do."""
        return self.parts or bool(self.attends) or "relation" in (self.level, *self.levels)


_RESERVED = ("attention", "classification", "grad_norm", "total")


@dataclass(frozen=True, kw_only=True)
class Method:
    """A set of terms under a name, with the temporal module that they are trained with.

    Args:
        name: on the command line and in records.
        label: in tables and pictures.
        source: where it is described.
        terms: in any order; kept in one order, so that equal sets are equal.
        with_encoder: other terms for some temporal modules, by name of the module.
        temporal: name of the temporal module.
        trains_on: the domain whose labels are learned from; `nothing` for source-free adaptation,
            which goes on from a trained model and sees unlabelled target videos alone.
        closed_form: what is fitted in place of terms and epochs, on averaged frames.
        rank: place in lists; the paper's come first.

    Raises:
        UsageError: for terms that contradict each other or the temporal module.
    """

    name: str
    label: str = ""
    source: str = field(default="", compare=False)
    terms: tuple[Term, ...] = ()
    with_encoder: Mapping[str, tuple[Term, ...]] | None = None
    temporal: str = "relation"
    trains_on: Literal["source", "target", "nothing"] = "source"
    closed_form: ClosedForm | None = None
    rank: int = field(default=100, compare=False)

    def __post_init__(self) -> None:
        unique = {term.name: term for term in self.terms}
        ordered = sorted(
            unique.values(),
            key=lambda term: (
                _GROUPS.index(term.group),
                LEVELS.index(term.level) if term.level else 0,
                term.name,
            ),
        )
        object.__setattr__(self, "terms", tuple(ordered))
        if not self.label:
            object.__setattr__(self, "label", self.name)
        attentions = [term for term in self.terms if term.attends]
        if len(attentions) > 1:
            labels = " and ".join(term.label for term in attentions)
            raise UsageError(f"{self.name} has two attentions, {labels}; choose by --attention")
        if self.closed_form is not None and (self.terms or self.temporal != "pooling"):
            raise UsageError(
                f"{self.closed_form.name} is a closed form on averaged frames: it takes no terms,"
                " and no temporal module but pooling; leave out what adds or changes them"
            )
        if self.trains_on == "target" and any(term.uses_target for term in self.terms):
            raise UsageError(
                f"{self.name} trains on target labels, so there is nothing to align;"
                " drop discriminators, entropy, alignment, norm and what was added"
            )
        if self.trains_on == "nothing":
            self._check_source_free()

    def _check_source_free(self) -> None:
        if needing := [term.label for term in self.terms if term.uses_source]:
            raise UsageError(
                f"{self.name}: {needing[0]} needs source videos, and source-free adaptation has "
                "none; leave it out, or train without --source-free"
            )
        if not any(term.loss for term in self.terms):
            raise UsageError(
                f"{self.name} has nothing to minimise without source labels; choose a method for "
                "the unlabelled target, such as shot"
            )

    def on(self, temporal: str) -> "Method":
        """Return the method with a temporal module.

        Raises:
            UsageError: for one that cannot carry it, or that there is not.
        """
        encoder = ENCODERS.find(temporal)
        terms = (self.with_encoder or {}).get(temporal, self.terms)
        for term in terms:
            if term.needs_parts and not encoder.has_parts:
                raise UsageError(
                    f"{self.name} uses {term.label}, which {encoder.label} does not have;"
                    " choose the temporal module relation"
                )
        return replace(self, temporal=temporal, terms=terms, with_encoder=None)

    def check_heads(self, names: "Sequence[str]") -> None:
        """Refuse what cannot be trained with several heads.

        Raises:
            UsageError: for a term, or a closed form, of the classes of one head.
        """
        of_one = [term.label for term in self.terms if term.with_heads == "one"]
        of_one += ["a closed form"] if self.closed_form is not None else []
        if of_one:
            raise UsageError(
                f"{self.name}: {of_one[0]} is for the classes of one head, and the benchmark has"
                f" {', '.join(names)}; choose a method without it, such as ta3n"
            )

    def check_sources(self) -> None:
        """Refuse what several sources cannot be domains of their own to.

        Raises:
            UsageError: for a term that reads discriminators as if there were two domains.
        """
        of_two = [t.label for t in self.terms if t.judges_domains and t.sources != "classes"]
        if of_two:
            raise UsageError(
                f"{self.name}: {of_two[0]} knows two domains alone, as it does not say that it "
                'takes more (sources="classes"); leave out --domains each'
            )

    @property
    def telling_sources(self) -> tuple[Term, ...]:
        """The terms to which each of several sources can be a domain of its own."""
        return tuple(term for term in self.terms if term.sources != "one")

    def plus(self, others: "Sequence[Method]") -> "Method":
        """Return the method with the terms of others added.

        Raises:
            UsageError: for terms that contradict each other or the temporal module.
        """
        if not others:
            return self
        for other in others:
            if other.closed_form is not None:
                raise UsageError(f"{other.name} is a closed form: it adds no terms to {self.name}")
            if other.trains_on not in ("source", self.trains_on):
                learned = {"target": "target labels", "nothing": "no labels"}[other.trains_on]
                ours = {"target": "the target", "source": "the source", "nothing": "no domain"}
                raise UsageError(
                    f"{other.name} trains on {learned}, and {self.name} on those of "
                    f"{ours[self.trains_on]}; they do not combine"
                )
        added = [term for other in others for term in other.on(self.temporal).terms]
        return replace(
            self,
            name="+".join([self.name, *(other.name for other in others)]),
            label=" + ".join([self.label, *(other.label for other in others)]),
            source="; ".join(filter(None, [self.source, *(other.source for other in others)])),
            terms=(*self.terms, *added),
            with_encoder=None,
        )

    def alike(self, other: "Method") -> bool:
        """Say whether another method is the same but for its name."""
        return (self.terms, self.temporal, self.trains_on, self.closed_form) == (
            other.terms,
            other.temporal,
            other.trains_on,
            other.closed_form,
        )

    @property
    def encoder(self) -> Encoder:
        """The temporal module."""
        return ENCODERS.find(self.temporal)

    @property
    def has_unknown_output(self) -> bool:
        """Whether the model has an output for unknown videos."""
        return any(term.unknown_output for term in self.terms)

    @property
    def uses_target(self) -> bool:
        """Whether unlabelled target videos take part in a step."""
        return self.closed_form is not None or any(term.uses_target for term in self.terms)

    @property
    def discriminators(self) -> tuple[Level, ...]:
        """Levels whose domain loss is part of the objective."""
        return tuple(term.level for term in self.terms if term.level)

    @property
    def levels(self) -> tuple[Level, ...]:
        """Levels whose discriminator must be evaluated for the objective.

        Those placed, and what terms need beside them. What attention needs, the model adds.
        """
        extra = {level for term in self.terms for level in term.levels}
        return tuple(level for level in LEVELS if level in {*self.discriminators, *extra})

    @property
    def attention(self) -> str:
        """Attention over the parts of a video: `domain`, `conventional` or `none`."""
        return next((term.attends for term in self.terms if term.attends), "none")

    def choice(self, group: Group) -> str:
        """Return the name of the term in a group, or `none`."""
        return next((term.choice for term in self.terms if term.group == group), "none")

    @property
    def weights(self) -> dict[str, Weight]:
        """Every weight that training depends on, by name."""
        found = {term.weight.name: term.weight for term in self.terms if term.weight}
        judged = {*self.levels, *(("relation",) if self.attention == "domain" else ())}
        for level in LEVELS:
            if level in judged:
                weight = reversal(level)
                found.setdefault(weight.name, weight)
        if self.encoder.reverses:
            found[ENCODER_REVERSAL.name] = ENCODER_REVERSAL
        return found

    @property
    def reads(self) -> tuple[str, ...]:
        """Fields of the recipe that matter to this method and may not matter to others."""
        if self.closed_form is not None:
            return ()
        read = {*self.encoder.reads, *(name for term in self.terms for name in term.reads)}
        return tuple(sorted(read | ({"batches"} if self.uses_target else set())))

    def updates(self, recipe: Recipe) -> tuple[Update, ...]:
        """Return the updates of a step in their order; the joint one comes first."""
        frozen = [term.freezes for term in self.terms if term.freezes]
        more = (
            replace(update, term=term.name)
            for term in self.terms
            if term.updates
            for update in term.updates(recipe)
        )

        def moves(parameter: str) -> bool:
            return not any(freezes(parameter) for freezes in frozen)

        return (replace(JOINT, moves=moves) if frozen else JOINT, *more)

    def describe(self) -> str:
        """Return what it is made of in words, such as `relation, G_sd, domain attention`."""
        placed = [_DISCRIMINATORS[level] for level in reversed(self.discriminators)]
        order: tuple[Group, ...] = ("attention", "entropy", "alignment", "", "norm")
        others = [term.label for group in order for term in self.terms if term.group == group]
        learned = {"target": ["target labels"], "nothing": ["source-free"], "source": []}
        closed = ["closed form"] if self.closed_form is not None else []
        return ", ".join([self.temporal, *placed, *others, *learned[self.trains_on], *closed])

    def record(self) -> dict[str, Any]:
        """Return what `registry.method_of` makes the method of again, as plain values."""
        return {
            "name": self.name,
            "label": self.label,
            "temporal": self.temporal,
            "terms": [term.name for term in self.terms],
            "attention": self.attention,
            "trains_on": self.trains_on,
            "uses_target": self.uses_target,
            **({"closed_form": self.closed_form.name} if self.closed_form is not None else {}),
        }
