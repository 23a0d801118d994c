"""How methods and selection rules are called in tables and pictures."""

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

RULES = {
    "last": "the final epoch: no target label is used to choose it",
    "oracle": (
        "the epoch with the best accuracy on the labels of the target's validation videos: the "
        "protocol of the paper, and not available in practice, where the target has no labels"
    ),
}


def method_label(method: str) -> str:
    """Return the name that the paper gives a method, or its own."""
    return _METHODS.get(method, method)


def losses_label(name: str) -> str:
    """Return a name of a loss term that can be read."""
    kind, _, level = name.partition("_")
    return f"domain, {level}" if kind == "adversarial" else name.replace("_", " ")
