"""What options may stand beside one that turns `ta3n-train` to a run that was trained."""

from collections.abc import Iterable, Mapping
from typing import Any

from ta3n.common.errors import UsageError


def given_names(options: Mapping[str, Any]) -> set[str]:
    """Return the names of options that were given."""
    return {name for name, value in options.items() if value not in (None, ())}


def dashed(names: Iterable[str]) -> str:
    """Return names of options as they are typed, separated by commas."""
    return ", ".join(f"--{name.replace('_', '-')}" for name in names)


def refuse_without(option: str, own: Mapping[str, Any]) -> None:
    """Refuse options that only go with another, which was not given.

    Raises:
        UsageError: If there are some.
    """
    if lost := given_names(own):
        typed = dashed(name for name in own if name in lost)
        raise UsageError(f"{typed} cannot go without {option} RUN; give it too")


def refuse_training(option: str, whose: str, given: Iterable[str], shared: Iterable[str]) -> None:
    """Refuse options of training beside one that trains nothing.

    Args:
        option: The one that trains nothing.
        whose: Settings that it keeps to.
        given: Names of the options of training that were given.
        shared: Those that it takes too.

    Raises:
        UsageError: If there are others.
    """
    if wrong := sorted(set(given) - set(shared)):
        raise UsageError(
            f"{option} trains nothing and keeps to {whose} settings; leave {dashed(wrong)} out"
        )
