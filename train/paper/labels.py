"""How methods and selection rules are called in tables and pictures, and in which order.

No torch here.
"""

from collections.abc import Sequence

from ta3n.train.methods.base import Method
from ta3n.train.methods.registry import METHODS
from ta3n.train.validators.rules import RULES as VALIDATORS

NOT_ADAPTING = ("target-only", "source-only")

_RULES: dict[str, str] = {
    "last": "the final epoch: no target label is used to choose it",
    "oracle": (
        "the epoch with the best accuracy on the labels of the target's validation videos: the "
        "protocol of the paper, and not available in practice, where the target has no labels"
    ),
    **{rule.name: f"no target label: {rule.description}" for rule in VALIDATORS},
}
# The label-free rule that is shown where there is room for one.
_DEFAULT_LABEL_FREE = "im"


def paper_methods() -> list[str]:
    """Return the methods of the paper's tables, in their order, with DAN beside JAN."""
    return [name for name, method in METHODS.all().items() if method.rank < Method.rank]


def method_label(name: str) -> str:
    """Return what a method is called in tables; its own name where it is not known here."""
    known = METHODS.all()
    return known[name].label if name in known else name


def method_place(name: str) -> tuple[int, str]:
    """Return what to sort methods by: those of the paper in its order, then others by name."""
    known = paper_methods()
    return known.index(name) if name in known else len(known), name


def rule_note(rule: str) -> str:
    """Return what a selection rule goes by."""
    return _RULES.get(rule, "a rule that this version does not know")


def rule_citation(rule: str) -> str:
    """Return where a label-free rule comes from, in brackets; empty for the others."""
    return next((f" ({found.citation})" for found in VALIDATORS if found.name == rule), "")


def rule_place(rule: str) -> tuple[bool, int, str]:
    """Return what to sort rules by: last, those without labels, the oracle as the odd one out."""
    known = list(_RULES)
    return rule == "oracle", known.index(rule) if rule in known else len(known), rule


def few_rules(rules: Sequence[str]) -> list[str]:
    """Return the rules to show where there is little room: last, one without labels, oracle."""
    return [rule for rule in rules if rule in ("last", _DEFAULT_LABEL_FREE, "oracle")]
