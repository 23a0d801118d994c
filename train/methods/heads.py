"""What a run knows of the heads of its benchmark. No torch here.

Shapes: C_1, C_2, ... classes of the heads, whose logits stand side by side in this order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from typing import Any

from ta3n.common.errors import UsageError, did_you_mean
from ta3n.datasets.benchmarks.benchmark import Head


@dataclass(frozen=True)
class ClassHead:
    """One of several heads on the same video feature.

    Args:
        name: such as `verb`.
        num_classes: C_i.
        weight: of what is learned by it among all heads; 0 leaves it as it started.
    """

    name: str
    num_classes: int
    weight: float = 1.0


def columns_of(heads: Sequence[ClassHead]) -> dict[str, slice]:
    """Return which of the logits are a head's, by its name."""
    ends = accumulate(head.num_classes for head in heads)
    return {h.name: slice(e - h.num_classes, e) for h, e in zip(heads, ends, strict=True)}


def shares_of(heads: Sequence[ClassHead]) -> dict[str, float]:
    """Return the share of each trained head in a loss, by name: its weight over their sum."""
    total = sum(head.weight for head in heads)
    return {head.name: head.weight / total for head in heads if head.weight}


def trained_heads(heads: Sequence[Head], chosen: str | None) -> tuple[ClassHead, ...]:
    """Return the heads of a benchmark; none where it has but one.

    Args:
        chosen: names of those to train, such as `verb,noun`; none trains all.

    Raises:
        UsageError: for a name that no head has.
    """
    known = [head.name for head in heads]
    names = known if chosen is None else [name.strip() for name in chosen.split(",")]
    if unknown := [name for name in names if name not in known]:
        raise UsageError(
            f"no head {unknown[0]!r}{did_you_mean(unknown[0], known)}; the benchmark has"
            f" {', '.join(known)}"
        )
    if len(heads) == 1:
        return ()
    return tuple(
        ClassHead(h.name, len(h.class_names), h.weight if h.name in names else 0.0) for h in heads
    )


def heads_record(heads: Sequence[ClassHead]) -> list[dict[str, Any]]:
    """Return heads as plain values."""
    return [asdict(head) for head in heads]


def heads_of(settings: Mapping[str, Any]) -> tuple[ClassHead, ...]:
    """Return the heads of a run by its recorded settings; none where it has but one."""
    return tuple(ClassHead(**head) for head in settings.get("heads", ()))
