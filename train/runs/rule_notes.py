"""What is told of selection rules beside their figures: on which videos, and what was withheld.

No torch here.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ta3n.common.log import counted
from ta3n.train.runs.folder import RunResult
from ta3n.train.runs.selection import LAST, ORACLE
from ta3n.train.validators.rules import RULES as VALIDATORS


def rules_on(settings: Mapping[str, Any]) -> str:
    """Return which of the target's videos label-free rules looked at in a run: `train` or `val`.

    Runs that do not tell are older than the choice: they looked at the validation videos.
    """
    return str(settings.get("rules_on", "val"))


def rules_on_note(settings: Mapping[str, Any]) -> str:
    """Return the same in words."""
    if settings.get("tested") == "train":
        return "the target's training videos, the very ones that are tested"
    return _RULES_ON.get(rules_on(settings), "videos not known here")


_RULES_ON = {
    "val": "the target's validation videos, the very ones that are tested",
    "train": "the target's training videos, not at those that are tested",
}


def looks_at_target(rule: str) -> bool:
    """Return whether a rule chooses by target videos without their labels; one not known may."""
    known = next((found for found in VALIDATORS if found.name == rule), None)
    looks = known is None or any(name.startswith("target") for name in known.inputs)
    return looks and rule not in (LAST, ORACLE)


def withheld_note(rule: str, results: Sequence[RunResult]) -> str:
    """Say in how many epochs of some runs the score of a rule was withheld, and why.

    Empty where it never was.
    """
    epochs: Counter[str] = Counter()
    for result in results:
        epochs.update(result.withheld.get(rule, {}))
    if not epochs:
        return ""
    reasons = "; ".join(f"{reason} ({count})" for reason, count in epochs.most_common())
    judged = [r for r in results if rule in r.rules or rule in r.withheld]
    runs = counted(len(judged), "run")
    told = f"{rule}: score withheld in {counted(sum(epochs.values()), 'epoch')} of {runs}"
    if lacking := sum(rule not in result.rules for result in judged):
        told += f", in {lacking} of them in all, where it chooses no epoch and has no figure"
    return f"{told}: {reasons}."
