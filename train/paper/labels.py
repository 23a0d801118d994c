"""How methods and selection rules are called in tables and pictures."""

from collections.abc import Sequence

from ta3n.train.validators.suite import RULES as VALIDATORS

METHOD_ORDER = (
    "target-only",
    "source-only",
    "revgrad",
    "dan",
    "jan",
    "adabn",
    "mcd",
    "",
    "ta2n",
    "ta3n",
)
"""The paper's Table 3, with DAN beside JAN; the empty name stands for all other methods."""

_METHODS = {
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
NOT_ADAPTING = ("target-only", "source-only")

_RULES: dict[str, str] = {
    "last": "the final epoch: no target label is used to choose it",
    "oracle": (
        "the epoch with the best accuracy on the labels of the target's validation videos: the "
        "protocol of the paper, and not available in practice, where the target has no labels"
    ),
    **{rule.name: f"no target label: {rule.description}" for rule in VALIDATORS},
}
DEFAULT_LABEL_FREE = "im"
"""The label-free rule that is shown where there is room for one."""


def rule_note(rule: str) -> str:
    """Return what a selection rule goes by."""
    return _RULES.get(rule, "a rule that this version does not know")


def rule_citation(rule: str) -> str:
    """Return where a label-free rule comes from; empty for the others."""
    return next((found.citation for found in VALIDATORS if found.name == rule), "")


def few_rules(rules: Sequence[str]) -> list[str]:
    """Return the rules to show where there is little room: last, one without labels, oracle."""
    return [rule for rule in rules if rule in ("last", DEFAULT_LABEL_FREE, "oracle")]


def rule_place(rule: str) -> tuple[bool, int, str]:
    """Return what to sort rules by: last, those without labels, the oracle as the odd one out."""
    known = list(_RULES)
    return rule == "oracle", known.index(rule) if rule in known else len(known), rule


def method_label(method: str) -> str:
    """Return the name that the paper gives a method, or its own."""
    return _METHODS.get(method, method)


def losses_label(name: str) -> str:
    """Return a name of a loss term that can be read."""
    kind, _, level = name.partition("_")
    return f"domain, {level}" if kind == "adversarial" else name.replace("_", " ")
