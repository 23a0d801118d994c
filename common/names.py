"""Names in messages: suggestions for mistyped ones, and hostile ones on one line."""

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `" (did you mean 'x'?)"` for the nearest known name, or an empty string."""
    by_folded = {candidate.casefold(): candidate for candidate in known}
    close = get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.6)
    return f" (did you mean '{by_folded[close[0]]}'?)" if close else ""


def shorten(names: Iterable[str], limit: int = 5) -> str:
    """Join names with commas; after `limit` of them say how many are left out."""
    listed = list(names)
    more = len(listed) - limit
    return ", ".join(listed[:limit]) + (f" and {more} more" if more > 0 else "")


def printable(text: str) -> str:
    """Return text fit for one line of a message on any terminal.

    Line breaks, control characters and bytes that are not UTF-8 come out as escapes.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
