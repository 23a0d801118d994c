"""Names of videos as the authors of TA3N published them, with their features and lists."""

_DROPPED = str.maketrans("", "", "()&")


def published_name(stem: str) -> str:
    """Return a clip's name as in the published lists: without `(`, `)` and `&`.

    No two clips of a built-in dataset come to the same name.

    Args:
        stem: File name without suffix.
    """
    return stem.translate(_DROPPED)
