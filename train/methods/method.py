"""What a row of the paper's tables does, as switches that can be combined freely.

Read by the command line before anything heavy is imported: no torch here.

Source: sections 2.1 to 2.3 and Tables 2 to 4 of the paper.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from ta3n.common.errors import UsageError

Temporal = Literal["pooling", "relation"]
Attention = Literal["none", "domain", "conventional"]
Entropy = Literal["none", "attentive", "target"]
Alignment = Literal["none", "dan", "jan", "mcd"]
Norm = Literal["none", "adabn"]
Level = Literal["relation", "video", "frame"]

LEVELS: tuple[Level, ...] = get_args(Level)


@dataclass(frozen=True, kw_only=True)
class Method:
    """One row of the paper's tables.

    Args:
        name: what the row is called.
        temporal: TemPooling or TemRelation (sections 2.1 and 2.2).
        discriminators: levels whose domain loss is part of the objective: `frame` is G_sd,
            `relation` G_rd, `video` G_td.
        attention: over the relations: the `domain` attention of section 2.3, a `conventional`
            one that is learned, or none.
        entropy: `attentive` (section 2.3), `target` (class entropy of target videos), or none.
        alignment: discrepancy that is minimised: DAN, JAN, MCD, or none.
        norm: AdaBN, or no normalisation.
        trains_on: the domain whose labels are learned from.

    Raises:
        UsageError: for switches that contradict each other.
    """

    name: str
    temporal: Temporal
    discriminators: tuple[Level, ...] = ()
    attention: Attention = "none"
    entropy: Entropy = "none"
    alignment: Alignment = "none"
    norm: Norm = "none"
    trains_on: Literal["source", "target"] = "source"

    def __post_init__(self) -> None:
        needs = [
            ("the relation discriminators", "relation" in self.discriminators),
            (f"{self.attention} attention", self.attention != "none"),
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
                " drop discriminators, entropy, alignment and norm"
            )

    @property
    def uses_target(self) -> bool:
        """Whether unlabelled target videos take part in a step."""
        switches = (self.entropy, self.alignment, self.norm)
        return bool(self.discriminators) or any(switch != "none" for switch in switches)

    @property
    def levels(self) -> tuple[Level, ...]:
        """Levels whose discriminator must be evaluated for the objective.

        Those placed, and the video level for the attentive entropy, which takes its domain entropy
        there no matter which discriminators are placed. What attention needs, the model adds.
        """
        extra = ("video",) if self.entropy == "attentive" else ()
        return tuple(level for level in LEVELS if level in {*self.discriminators, *extra})

    def describe(self) -> str:
        """Return the switches in words, such as `relation, G_sd, domain attention`."""
        placed = [_DISCRIMINATORS[level] for level in reversed(self.discriminators)]
        words = {
            "attention": f"{self.attention} attention",
            "entropy": f"{self.entropy} entropy",
            "alignment": self.alignment.upper(),
            "norm": "normalisation per domain",
        }
        others = [word for name, word in words.items() if getattr(self, name) != "none"]
        learned = ["target labels"] if self.trains_on == "target" else []
        return ", ".join([self.temporal, *placed, *others, *learned])


_DISCRIMINATORS: Mapping[Level, str] = {"relation": "G_rd", "video": "G_td", "frame": "G_sd"}


def _revgrad(temporal: Temporal) -> Method:
    """Return the RevGrad row of Table 3: with TemRelation it is the G_sd row of Table 4."""
    placed: tuple[Level, ...] = ("video", "frame") if temporal == "pooling" else ("frame",)
    return Method(name="revgrad", temporal=temporal, discriminators=placed)


_METHODS: Mapping[str, Callable[[Temporal], Method]] = {
    "source-only": lambda t: Method(name="source-only", temporal=t),
    "target-only": lambda t: Method(name="target-only", temporal=t, trains_on="target"),
    "revgrad": _revgrad,
    "dan": lambda t: Method(name="dan", temporal=t, alignment="dan"),
    "jan": lambda t: Method(name="jan", temporal=t, alignment="jan"),
    "adabn": lambda t: Method(name="adabn", temporal=t, norm="adabn"),
    "mcd": lambda t: Method(name="mcd", temporal=t, alignment="mcd"),
    "ta2n": lambda t: Method(name="ta2n", temporal=t, discriminators=LEVELS),
    "ta3n": lambda t: Method(
        name="ta3n",
        temporal=t,
        discriminators=LEVELS,
        attention="domain",
        entropy="attentive",
    ),
}

METHOD_NAMES: tuple[str, ...] = tuple(_METHODS)


def method_for(name: str, temporal: Temporal) -> Method:
    """Return a preset: a method of the paper's Table 3, or DAN, which it leaves out.

    RevGrad places the frame and the video discriminator with TemPooling, but only the frame
    discriminator with TemRelation: that row of Table 3 is the G_sd row of Table 4.

    Args:
        name: one of `METHOD_NAMES`.
        temporal: the temporal module of the row.

    Raises:
        UsageError: for an unknown name, or a method that the temporal module cannot carry.
    """
    if name not in _METHODS:
        raise UsageError(f"unknown method {name!r}; choose one of {', '.join(METHOD_NAMES)}")
    return _METHODS[name](temporal)


def parse_levels(text: str) -> tuple[Level, ...]:
    """Read where discriminators are placed: `none`, `all`, or levels such as `frame,video`.

    Raises:
        UsageError: for a level that there is not.
    """
    words = {word.strip() for word in text.split(",")}
    if words == {"none"}:
        return ()
    if words == {"all"}:
        return LEVELS
    if unknown := sorted(words - set(LEVELS)):
        raise UsageError(
            f"discriminators {text!r}: no level {', '.join(map(repr, unknown))};"
            f" use none, all, or some of {','.join(LEVELS)}"
        )
    return tuple(level for level in LEVELS if level in words)
