"""How methods and selection rules are called in tables and pictures, and in which order.

No torch here.
"""

from collections.abc import Sequence

from ta3n.train.validators.names import RULES as VALIDATORS

METHODS = {
    "target-only": "Target only",
    "source-only": "Source only",
    "revgrad": "RevGrad",
    "dan": "DAN",
    "jan": "JAN",
    "adabn": "AdaBN",
    "mcd": "MCD",
    "ta2n": "TA2N",
    "ta3n": "TA3N",
}
"""Labels by name, in the order of the paper's Table 3, with DAN beside JAN."""
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


def method_label(name: str) -> str:
    """Return what a method is called: as in the paper, else its own name."""
    return METHODS.get(name, name)


def method_place(name: str) -> tuple[int, str]:
    """Return what to sort methods by: those of the paper in its order, then others by name."""
    known = list(METHODS)
    return known.index(name) if name in known else len(known), name


def rule_note(rule: str) -> str:
    """Return what a selection rule goes by."""
    return _RULES.get(rule, "a rule that this version does not know")


def rule_citation(rule: str) -> str:
    """Return where a label-free rule comes from; empty for the others."""
    return next((found.citation for found in VALIDATORS if found.name == rule), "")


def rule_place(rule: str) -> tuple[bool, int, str]:
    """Return what to sort rules by: last, those without labels, the oracle as the odd one out."""
    known = list(_RULES)
    return rule == "oracle", known.index(rule) if rule in known else len(known), rule


def few_rules(rules: Sequence[str]) -> list[str]:
    """Return the rules to show where there is little room: last, one without labels, oracle."""
    return [rule for rule in rules if rule in ("last", _DEFAULT_LABEL_FREE, "oracle")]
